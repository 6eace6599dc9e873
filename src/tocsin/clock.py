"""The one place that reads the time. Everyone else is given a Clock, or `now` as a parameter."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Gives the time as milliseconds since the Unix epoch."""

    def now_ms(self) -> int:
        """Return the current time, ms. It may step back: an NTP correction is not an error."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only by `set` and the like: for tests, the demo and replay."""

    ms: int = 0

    def now_ms(self) -> int:
        return self.ms

    def set(self, ms: int) -> None:
        self.ms = ms

    def advance(self, ms: int) -> None:
        self.ms += ms
