"""Configured quiet hours: ranges of the wall clock with little expected traffic."""

import re
from dataclasses import dataclass
from typing import Self

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
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
        found = _HOURS.fullmatch(text.strip().lower())
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
