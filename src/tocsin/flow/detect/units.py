"""How a distribution is spoken of: its sketch holds microseconds or tokens, people read ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """One signal's: `scale` is how many of the sketch's unit make one of `name`."""

    name: str
    scale: float
    of: str  # what is measured

    def text(self, value: float) -> str:
        """A value of the sketch for a reader."""
        return f"{value / self.scale:,.0f} {self.name}"


_UNITS: Final[Mapping[str, Unit]] = {
    "duration": Unit("ms", 1000.0, "duration"),
    "ttft": Unit("ms", 1000.0, "time to first token"),
    "request_tokens": Unit("tokens", 1.0, "tokens a call"),
}


def unit_of(signal: str) -> Unit:
    """The unit of a key of SKETCH_PREFIX."""
    return _UNITS[signal]
