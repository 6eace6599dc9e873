"""Wall-clock time of a configured zone: hours of the week, holidays, quiet hours. A pure lookup.

A weekly habit belongs to the wall clock: at nine on Monday people come to work, whatever the
offset from UTC is that week. So "the same hour last week" is found by the clock on the wall
and turned back into an instant; where daylight saving begins or ends in between, the two are
167 or 169 hours apart.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
WEEK_HOURS: Final = 168
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE: Final = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? +)?"
    r"(?P<from>\d\d):(?P<from_m>\d\d)-(?P<to>\d\d):(?P<to_m>\d\d)"
)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A range of wall-clock minutes, [start, end) of some days of the week (0 = Monday).

    A range that ends at or before it starts runs into the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `22:00-06:00` (every day), `sat 00:00-24:00` or `mon-fri 20:00-07:00`.

        Raises:
            ValueError: the text is none of these.
        """
        found = _RANGE.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(f"{text!r} is no range of hours, like `mon-fri 20:00-07:00`")
        days = frozenset(range(7))
        if found["first"]:
            names = (found["first"], found["last"] or found["first"])
            for name in names:
                if name not in _DAYS:
                    raise ValueError(f"{text!r}: {name!r} is no day; known: {', '.join(_DAYS)}")
            first, last = (_DAYS.index(name) for name in names)
            days = frozenset((first + i) % 7 for i in range((last - first) % 7 + 1))
        start = int(found["from"]) * 60 + int(found["from_m"])
        end = int(found["to"]) * 60 + int(found["to_m"])
        if max(start, end) > 1_440 or start == end or max(map(int, found.group(4, 6))) > 59:
            raise ValueError(f"{text!r} is no range of hours within a day")
        return cls(days, start, end)

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether a minute of a day of the week lies in the range."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        late = weekday in self.days and minute >= self.start
        return late or ((weekday - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Calendar:
    """A zone (an IANA name), its holidays, and the hours in which little traffic is normal."""

    timezone: str = "UTC"
    holidays: tuple[dt.date, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()

    def slot(self, at: int) -> int:
        """Hour of the week on the wall clock, 0 (Monday, midnight) .. 167."""
        local = _local(self.timezone, at // HOUR_S)
        return local.weekday() * 24 + local.hour

    def weeks_before(self, at: int, weeks: int) -> int:
        """The same wall-clock time some weeks before `at`, epoch s."""
        return at - weeks * WEEK_HOURS * HOUR_S + _moved(self.timezone, at // HOUR_S, weeks)

    def is_weekend(self, at: int) -> bool:
        """Whether `at` lies on a Saturday, a Sunday or a holiday."""
        local = _local(self.timezone, at // HOUR_S)
        return local.weekday() >= 5 or local.date() in self.holidays

    def is_holiday(self, at: int) -> bool:
        """Whether `at` lies on one of the holidays."""
        return bool(self.holidays) and _local(self.timezone, at // HOUR_S).date() in self.holidays

    def is_quiet(self, at: int) -> bool:
        """Whether `at` lies in configured quiet hours."""
        if not self.quiet_hours:
            return False
        local = dt.datetime.fromtimestamp(at, _zone(self.timezone))
        minute = local.hour * 60 + local.minute
        return any(part.holds(local.weekday(), minute) for part in self.quiet_hours)


def check_timezone(name: str) -> str:
    """The name, if it is one of an IANA zone. Raises ValueError."""
    try:
        _zone(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no IANA time zone, like Europe/Berlin or UTC") from None
    return name


@lru_cache(maxsize=8)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


@lru_cache(maxsize=4_096)
def _local(zone: str, hour: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(hour * HOUR_S, _zone(zone))


@lru_cache(maxsize=4_096)
def _moved(zone: str, hour: int, weeks: int) -> int:
    """Seconds the clock of the zone was moved by since, for an hour and a number of weeks."""
    now = _local(zone, hour)
    # Arithmetic of aware datetimes of one zone is that of its wall clock.
    then = now.replace(fold=0) - dt.timedelta(weeks=weeks)
    return round(then.timestamp()) - (hour - weeks * WEEK_HOURS) * HOUR_S
