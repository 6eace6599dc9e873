"""Weeks of history for a rule's test, written as the store holds them.

`hours` of a test are series in the language of `series.py`, one item an hour: 24 of them are a
day that repeats, 168 a week from Monday on, by the wall clock of the test's `timezone`. They
fill the `weeks` before the first window and are restored like any other history.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.history.calendars import HOUR_S, Calendar
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS
from tocsin.flow.baseline.history.weeks import Weeks

_WEEK: Final = 168


def blobs_of(
    series: Mapping[tuple[str, str], Sequence[float]], *, start: int, weeks: int, calendar: Calendar
) -> dict[str, bytes]:
    """The stored days before `start` (epoch s).

    Args:
        series: (series, field) -> totals of the hours of a day, or of a week from Monday on.
        start: the first window of the test; the hour it lies in is still open.
        weeks: how many of them lie before it, six at most.
        calendar: whose wall clock the hours are of.

    Raises:
        ValueError: neither 24 nor 168 hours.
    """
    for (name, _), totals in series.items():
        if len(totals) not in {24, _WEEK}:
            raise ValueError(f"{name}: {len(totals)} hours are neither a day nor a week")
    catalog = Catalog()
    history = Weeks(catalog, calendar, dict.fromkeys(SIGNAL_FIELDS))
    rows = catalog.rows(tuple(dict.fromkeys(name for name, _ in series)))
    store: dict[str, bytes] = {}
    for hour in range(start // HOUR_S - weeks * _WEEK, start // HOUR_S):
        slot = calendar.slot(hour * HOUR_S)
        columns: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(rows)))
        for (name, field), totals in series.items():
            columns[field][catalog.find(name)] += totals[slot % len(totals)]
        values = {
            signal: _sum([columns[field] for field in fields], len(rows))
            for signal, fields in SIGNAL_FIELDS.items()
        }
        blobs = history.push(hour, values, known=True)
        store.update((key, blob) for key, blob in blobs.items() if blob is not None)
    return store


def _sum(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    total = np.zeros(rows)
    for column in columns:
        total = total + column
    return total
