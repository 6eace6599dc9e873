"""Wall-clock time of a configured zone: hours of the week, holidays, quiet hours. A pure lookup.

Weekly seasonality follows the wall clock, whatever the offset from UTC is that week. So "the same
hour last week" is found in local time and converted back to an instant; where daylight saving
begins or ends in between, the two are 167 or 169 hours apart.
"""

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tocsin.types import QuietHours

HOUR_S: Final = 3_600
DAY_S: Final = 86_400


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
        return self.days_before(at, 7 * weeks)

    def days_before(self, at: int, days: int) -> int:
        """The same wall-clock time some days before `at`, epoch s."""
        return at - days * DAY_S + _moved(self.timezone, at // HOUR_S, days)

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


@lru_cache(maxsize=8)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


@lru_cache(maxsize=4_096)
def _local(zone: str, hour: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(hour * HOUR_S, _zone(zone))


@lru_cache(maxsize=4_096)
def _moved(zone: str, hour: int, days: int) -> int:
    """Seconds the clock of the zone was moved by since, for an hour and a number of days."""
    now = _local(zone, hour)
    # Arithmetic of aware datetimes of one zone is that of its wall clock.
    then = now.replace(fold=0) - dt.timedelta(days=days)
    return round(then.timestamp()) - (hour * HOUR_S - days * DAY_S)
