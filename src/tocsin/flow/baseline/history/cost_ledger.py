"""What the series with a budget have cost, hour by hour: exact integers, anomalies included.

Baselines exclude anomalous values, a budget must count them. So the cost of the series that a
budget matches is kept apart, for the last 33 days.

The store holds a blob a day of UTC, `c:<day start>`, written anew as each hour closes. The
running hour is not in it: `restore` adds it up from the stored windows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec
import numpy as np

from tocsin.flow.baseline.frames import decode, totals
from tocsin.flow.windows.views import VIEWS
from tocsin.types import CostBudget, Floats, WindowFrame, split_series

VERSION: Final = 1
PREFIX: Final = "c:"
_HOUR_S, _DAY_S, _KEEP_DAYS = 3_600, 86_400, 33
_DIMS: Final = {v.name: v.dims for v in VIEWS if v.name.startswith("calls_by_") and not v.needs}


class CostLedger:
    """See the module. Times are epoch s, money is integer nano-USD."""

    def __init__(self, budgets: Sequence[CostBudget] = ()) -> None:
        self.budgets = tuple(budgets)
        self._hours: dict[str, dict[int, int]] = {}  # series -> start of the hour -> spent
        self._of: dict[str, tuple[CostBudget, ...]] = {}
        self._first: int | None = None  # the oldest hour that is known

    def of(self, series: str) -> tuple[CostBudget, ...]:
        """The budgets of a series."""
        found = self._of.get(series)
        if found is None:
            found = tuple(budget for budget in self.budgets if matches(budget, series))
            self._of[series] = found
        return found

    def spent(self, series: str, since: int, until: int) -> float:
        """nano-USD in [since, until), epoch s; a partial hour counts in proportion.

        Hours before the ledger begins count as 0.
        """
        hours = self._hours.get(series, {})
        total = 0.0
        for hour in range(since // _HOUR_S * _HOUR_S, until, _HOUR_S):
            part = min(hour + _HOUR_S, until) - max(hour, since)
            # The running hour has only been spent up to `until`.
            whole = min(hour + _HOUR_S, until) - hour
            total += hours.get(hour, 0) * part / whole
        return total

    def days(self, series: str, until: int, count: int) -> Floats:
        """float64 [count]: nano-USD of each 24 hours back from `until`, the newest first.

        NaN before the ledger begins.
        """
        first = math.inf if self._first is None else self._first
        return np.array([
            self.spent(series, end - _DAY_S, end) if end - _DAY_S >= first else np.nan
            for end in range(until, until - count * _DAY_S, -_DAY_S)
        ])  # fmt: skip

    def learn(self, frame: WindowFrame) -> dict[str, bytes | None]:
        """Add a closed window; returns the blobs to save."""
        if not self.budgets:
            return {}
        self._add(frame)
        end = frame.start + frame.seconds
        if end % _HOUR_S:
            return {}
        day = frame.start // _DAY_S * _DAY_S
        oldest = day - _KEEP_DAYS * _DAY_S
        if end % _DAY_S == 0:
            self._forget(oldest)
        return {f"{PREFIX}{day}": self._encode(day, end), f"{PREFIX}{oldest - _DAY_S}": None}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Read the stored days and the running hour; only into an empty ledger.

        Raises:
            ValueError: a blob of another version.
        """
        if not self.budgets:
            return
        last = -1
        for key in sorted(key for key in blobs if key.startswith(PREFIX)):
            version, first, end, spent = msgspec.msgpack.decode(
                blobs[key], type=tuple[int, int, int, dict[str, dict[int, int]]]
            )
            if version != VERSION:
                raise ValueError(f"a ledger of version {version}; this release reads {VERSION}")
            self._first = first if self._first is None else min(first, self._first)
            last = max(last, end)
            for series, hours in spent.items():
                self._hours.setdefault(series, {}).update(hours)
        for start in _windows(blobs, last):
            frame, _ = decode(blobs[f"m:{start}"])
            self._add(frame)

    def _add(self, frame: WindowFrame) -> None:
        hour = frame.start // _HOUR_S * _HOUR_S
        self._first = hour if self._first is None else min(self._first, hour)
        mine = [i for i, series in enumerate(frame.series) if self.of(series)]
        if not mine:
            return
        cost = totals(frame, ("cost",))
        for i in mine:
            if cost[i]:
                hours = self._hours.setdefault(frame.series[i], {})
                hours[hour] = hours.get(hour, 0) + int(cost[i])

    def _forget(self, oldest: int) -> None:
        kept = {
            series: {hour: spent for hour, spent in hours.items() if hour >= oldest}
            for series, hours in self._hours.items()
        }
        self._hours = {series: hours for series, hours in kept.items() if hours}
        self._of = {series: found for series, found in self._of.items() if series in self._hours}
        self._first = oldest if self._first is None else max(self._first, oldest)

    def _encode(self, day: int, end: int) -> bytes:
        """The blob of a day, with the hours up to `end`."""
        starts = range(day, end, _HOUR_S)
        spent = {
            series: {hour: hours[hour] for hour in starts if hour in hours}
            for series, hours in sorted(self._hours.items())
        }
        held = {series: hours for series, hours in spent.items() if hours}
        return msgspec.msgpack.encode((VERSION, self._first, end, held))


def matches(budget: CostBudget, series: str) -> bool:
    """Whether a budget holds for a series: one of model calls by just its dimensions."""
    view, values = split_series(series)
    dims = _DIMS.get(view, ())
    if frozenset(dims) != budget.names | {"env", "service"}:
        return False
    named = dict(zip(dims, values, strict=True))
    return all(fnmatchcase(named[dim], pattern) for dim, pattern in budget.where.items())


def _windows(blobs: Mapping[str, bytes], since: int) -> Iterable[int]:
    """Starts of the stored windows from `since` on, in order."""
    return sorted(s for s in (int(k[2:]) for k in blobs if k.startswith("m:")) if s >= since)
