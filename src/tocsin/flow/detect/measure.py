"""How a distribution is spoken of: its sketch holds microseconds or tokens, people read ms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tocsin.types import Unit


@dataclass(frozen=True, slots=True)
class Measure:
    """What one signal's sketch measures."""

    unit: Unit
    scale: float  # how many of the sketch's unit make one of `unit`
    what: str

    def amount(self, value: float) -> str:
        """A value of the sketch for a reader."""
        return self.unit.amount(value / self.scale)


_MEASURES: Final[Mapping[str, Measure]] = {
    "duration": Measure(Unit.MS, 1000.0, "duration"),
    "ttft": Measure(Unit.MS, 1000.0, "time to first token"),
    "request_tokens": Measure(Unit.TOKENS, 1.0, "tokens a call"),
}


def measure_of(signal: str) -> Measure:
    """What a key of SKETCH_PREFIX measures."""
    return _MEASURES[signal]


_COUNTERS: Final[Mapping[str, Unit]] = {
    "n": Unit.EVENTS,
    "err": Unit.ERRORS,
    "to": Unit.TIMEOUTS,
    "in": Unit.TOKENS,
    "out": Unit.TOKENS,
    "tokens": Unit.TOKENS,
    "cost": Unit.NANO_USD,
    "score": Unit.SCORE,
}


def counter_unit(signal: str) -> Unit:
    """The unit of a count signal."""
    return _COUNTERS[signal]
