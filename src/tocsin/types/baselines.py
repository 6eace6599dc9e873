"""Which part of its own history a series is compared with."""

from enum import IntEnum, auto, unique
from typing import Final


@unique
class Baseline(IntEnum):
    """A baseline. Columns hold the numbers; alerts name it by `text`."""

    NONE = 0
    LAST_3_HOURS = auto()
    LAST_24_HOURS = auto()
    LAST_3_HOURS_AND_YESTERDAY = auto()
    YESTERDAY = auto()
    HOUR_OF_WEEK = auto()
    HOUR_OF_DAY = auto()
    HOURS_BEFORE = auto()

    @property
    def text(self) -> str:
        """What an alert calls it."""
        return _TEXTS[self]


_TEXTS: Final = {
    Baseline.NONE: "none",
    Baseline.LAST_3_HOURS: "last 3 h",
    Baseline.LAST_24_HOURS: "last 24 h",
    Baseline.LAST_3_HOURS_AND_YESTERDAY: "last 3 h and same time yesterday",
    Baseline.YESTERDAY: "same time yesterday",
    Baseline.HOUR_OF_WEEK: "same hour of earlier weeks",
    Baseline.HOUR_OF_DAY: "same hour of earlier days",
    Baseline.HOURS_BEFORE: "the hours before",
}
