"""Which series a shard knows: a row for each, its view and dimensions, and their groups.

Rows are assigned in order of appearance and reused after a series is forgotten, so their order
means nothing: results are ordered by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from tocsin.flow.windows.views import VIEWS
from tocsin.types import Bools, Group, Ints, split_series

_DIMS = {view.name: view.dims for view in VIEWS}
_VIEW_ID = {view.name: i for i, view in enumerate(VIEWS)}


class Catalog:
    """Series names to rows and back, rows by view, rows by group."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._row: dict[str, int] = {}
        self._free: list[int] = []
        self.changes = 0  # how often a name got or lost its row
        self._view = np.empty(0, np.int16)
        self._groups: dict[tuple[str, ...], tuple[dict[Group, int], list[Group], list[int]]] = {}
        self._by_view: dict[str, np.ndarray] = {}
        self._present: dict[tuple[str, ...], bool] = {}
        self._matching: dict[tuple[object, ...], np.ndarray] = {}
        self._latest: tuple[object, np.ndarray] = ((), np.empty(0, np.int64))

    def __len__(self) -> int:
        """Rows assigned so far, free ones included."""
        return len(self.names)

    def rows(self, series: Iterable[str]) -> Ints:
        """int64: the row of each series; new ones get a row."""
        if series is self._latest[0]:  # every step of a window asks for the same
            return self._latest[1]
        rows = np.array([self._enter(name) for name in series], np.int64)
        if isinstance(series, tuple):
            self._latest = (series, rows)
        return rows

    def find(self, series: str) -> int:
        """The row of a series, -1 if it is not known."""
        return self._row.get(series, -1)

    def known(self, series: Iterable[str]) -> Ints:
        """The rows of those series that are known, in their order; others are left out."""
        return np.array([row for row in map(self.find, series) if row >= 0], np.int64)

    def of_view(self, view: str) -> Ints:
        """The rows of a view, ascending."""
        found = self._by_view.get(view)
        if found is None:
            found = np.flatnonzero(self._view[: len(self.names)] == _VIEW_ID[view])
            self._by_view[view] = found
        return found

    def has(self, views: Sequence[str]) -> bool:
        """Whether there is any series of some views."""
        key = tuple(views)
        found = self._present.get(key)
        if found is None:
            found = self._present[key] = any(len(self.of_view(view)) for view in views)
        return found

    def matching(self, view: str, where: Mapping[str, Sequence[str]]) -> Ints:
        """The rows of a view whose dimensions each match one of some shell patterns, ascending."""
        if not where:
            return self.of_view(view)
        key = (view, *((dim, *patterns) for dim, patterns in sorted(where.items())))
        found = self._matching.get(key)
        if found is None:
            rows = [
                row
                for row in self.of_view(view).tolist()
                if all(
                    any(fnmatchcase(value, pattern) for pattern in where[dim])
                    for dim, value in self.dims(row).items()
                    if dim in where
                )
            ]
            found = self._matching[key] = np.array(rows, np.int64)
        return found

    def of_views(self, views: Sequence[str], where: Mapping[str, Sequence[str]]) -> Ints:
        """The rows of each view that `where` admits, view after view."""
        if len(views) == 1:
            return self.matching(views[0], where)
        key: tuple[object, ...] = tuple(views)
        if where:
            key = (key, *((dim, *patterns) for dim, patterns in sorted(where.items())))
        found = self._matching.get(key)
        if found is None:
            parts = [self.matching(view, where) for view in views]
            found = np.concatenate(parts) if parts else np.empty(0, np.int64)
            self._matching[key] = found
        return found

    def dims_of(self, view: str) -> tuple[str, ...]:
        """The dimensions of a view. Raises KeyError on an unknown one."""
        return _DIMS[view]

    def dims(self, row: int) -> dict[str, str]:
        """Dimension -> value of a row; empty for a free row, or a view that no longer exists."""
        view, values = split_series(self.names[row])
        return dict(zip(_DIMS.get(view, ()), values, strict=False))

    def group(self, row: int, group_by: Sequence[str]) -> Group:
        """The group of a row: group_by dimension -> value."""
        dims = self.dims(row)
        return tuple((dim, dims.get(dim, "")) for dim in group_by)

    def group_ids(self, rows: Ints, group_by: tuple[str, ...]) -> tuple[np.ndarray, list[Group]]:
        """int64 [len(rows)]: the number of each row's group; and the groups by number."""
        known = self._groups.setdefault(group_by, ({}, [], []))
        number, groups, of_row = known
        for row in range(len(of_row), len(self.names)):
            group = self.group(row, group_by)
            if group not in number:
                number[group] = len(groups)
                groups.append(group)
            of_row.append(number[group])
        return np.array(of_row, np.int64)[rows] if len(rows) else np.empty(0, np.int64), groups

    def forget(self, rows: Iterable[int]) -> None:
        """Free the rows of forgotten series."""
        for row in rows:
            del self._row[self.names[row]]
            self.names[row] = ""
            self._view[row] = -1
            self._free.append(row)
        self._groups.clear()
        self._by_view.clear()
        self._present.clear()
        self._matching.clear()
        self.changes += 1
        self._latest = ((), np.empty(0, np.int64))

    def in_view(self, rows: Ints, view: str) -> Bools:
        """Bool [len(rows)]: which of the rows belong to a view."""
        inside: Bools = self._view[rows] == _VIEW_ID[view]
        return inside

    def _enter(self, name: str) -> int:
        row = self._row.get(name)
        if row is not None:
            return row
        if self._free:
            row = self._free.pop()
            self.names[row] = name
            self._groups.clear()
        else:
            row = len(self.names)
            self.names.append(name)
            if row >= len(self._view):
                grown = np.full(max(256, 2 * len(self._view)), -1, np.int16)
                grown[: len(self._view)] = self._view
                self._view = grown
        self._row[name] = row
        self._view[row] = _VIEW_ID.get(split_series(name)[0], -1)
        self._by_view.clear()
        self._present.clear()
        self._matching.clear()
        self.changes += 1
        return row
