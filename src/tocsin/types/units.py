"""The units that findings are in, and how a person reads an amount of each."""

from enum import StrEnum
from typing import Final

from tocsin.types.names import NANO


class Unit(StrEnum):
    """A unit; its value is how findings, alerts and schemas name it."""

    EVENTS = "events"
    PER_WINDOW = "per window"
    EVENTS_PER_WINDOW = "events per window"
    REQUESTS = "requests"
    ERRORS = "errors"
    ERRORS_IN_10_MIN = "errors in 10 min"
    ERRORS_PER_CALL = "errors per call"
    TIMEOUTS = "timeouts"
    TIMEOUTS_PER_CALL = "timeouts per call"
    TOKENS = "tokens"
    NANO_USD = "nano-USD"
    USD = "USD"
    MS = "ms"
    SECONDS = "s"
    SHARE = "share"
    OF_RUN_TIME = "of run time"
    SCORE = "score"
    TIMES = "times"
    AGENTS = "agents"
    CALLS = "calls"
    CHILDREN = "children"
    CYCLES = "cycles"
    STEPS = "steps"
    TURNS = "turns"

    def amount(self, value: float, digits: str = ",.0f") -> str:
        """A value of this unit with the unit a person reads: money in USD, never in nano-USD."""
        return f"{self.number(value, digits)} {_READ_AS.get(self, self)}"

    def number(self, value: float, digits: str = ",.0f") -> str:
        """The number alone; `digits` is a format specification."""
        return format(self.read(value), digits)

    def read(self, value: float) -> float:
        """A value in the unit a person reads."""
        return value / _PER_READ.get(self, 1.0)


#: Units of which people read another, and how many of them make one of that.
_READ_AS: Final = {Unit.NANO_USD: Unit.USD}
_PER_READ: Final = {Unit.NANO_USD: float(NANO)}
