"""What runs are like: how deep, wide, long and costly those were that have ended.

Per service, and per agent that runs began with, the stats keeps log-bucket counts of each
quantity in cells of six hours. A run is written into the cell in which it was found to be
over; a judgement at time `t` reads only cells that ended an hour before `t`. By then
everything of that cell has been seen, so what the stats says depends on event time alone:
not on how the log was cut into flushes, and not on a restart in between. That holds while
the partitions of the topic are within an hour of one another.

Runs that broke a limit are *held*: they count after seven days, when they are the new
normal. Runs that looped are never learnt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from tocsin.types import SEP

PREFIX: Final = "r:b:"
VERSION: Final = 1
CELL_S: Final = 6 * 3600
LAG_S: Final = 3600
CELLS: Final = 14 * 4
HELD_CELLS: Final = 7 * 4
#: Fewer runs than this say nothing of their kind. A stats has the runs of one shard only.
MIN_RUNS: Final = 100
#: With fewer, nobody has seen what one run in a thousand does: the largest, and a quarter.
SURE: Final = 3000
_LOG: Final = math.log(1.05)

Quantity = Literal["depth", "fan_out", "agents", "steps", "tokens", "cost", "seconds"]
QUANTITIES: Final[tuple[Quantity, ...]] = get_args(Quantity)

Histogram = dict[int, int]


def bucket_of(value: int) -> int:
    """Log buckets of 5 %; exact up to 20, and 0 for 0."""
    return 0 if value <= 0 else 1 + math.ceil(math.log(value) / _LOG - 1e-9)


def value_of(bucket: int) -> int:
    """The largest value of a bucket."""
    return 0 if bucket <= 0 else int(math.exp((bucket - 1) * _LOG) + 1e-9)


class Level(NamedTuple):
    """A quantity over the runs that count: how many they were, and quantiles."""

    n: int
    p50: int
    p99: int
    p999: int  # ... or more, where the runs are too few to know


class Page(msgspec.Struct, array_like=True):
    """The runs of one kind in one cell."""

    ended: int = 0
    left: int = 0  # fell silent and never ended
    counts: list[Histogram] = msgspec.field(default_factory=lambda: [{} for _ in QUANTITIES])
    held: list[Histogram] = msgspec.field(default_factory=lambda: [{} for _ in QUANTITIES])


_Cell = dict[str, Page]
_CODEC: Final = tuple[int, dict[str, Page]]


@dataclass(slots=True)
class RunStats:
    """See the module. Key of a page: env SEP service SEP agent; `` for all of a service."""

    _cells: dict[int, _Cell] = field(default_factory=dict)
    _changed: set[int] = field(default_factory=set)
    _levels: dict[tuple[int, str, Quantity], Level | None] = field(default_factory=dict)

    def level(
        self, at_ms: int, env: str, service: str, quantity: Quantity, agent: str = ""
    ) -> Level | None:
        """What was known of a quantity at an instant; None while too few runs were seen."""
        upto = known_at(at_ms)
        key = SEP.join((env, service, agent))
        cached = (upto, key, quantity)
        if cached not in self._levels:
            self._levels[cached] = self._level(upto, key, QUANTITIES.index(quantity))
        return self._levels[cached]

    def ends(self, at_ms: int, env: str, service: str) -> tuple[int, int]:
        """Runs of a service that ended, and that were left, by what was known at an instant."""
        key = SEP.join((env, service, ""))
        pages = [cell[key] for _, cell in self._read(known_at(at_ms)) if key in cell]
        return sum(page.ended for page in pages), sum(page.left for page in pages)

    def learn(
        self, at_ms: int, env: str, service: str, agent: str, values: Iterable[int], *, held: bool
    ) -> None:
        """Write down a run that was found at `at_ms` to be over: a value for each QUANTITIES."""
        buckets = [bucket_of(value) for value in values]
        for page in self._pages(at_ms, env, service, agent):
            page.ended += 1
            for counts, bucket in zip(page.held if held else page.counts, buckets, strict=True):
                counts[bucket] = counts.get(bucket, 0) + 1

    def note(self, at_ms: int, env: str, service: str, agent: str, *, ended: bool) -> None:
        """Count a run of which nothing is learnt: one that looped, or (not `ended`) was left."""
        for page in self._pages(at_ms, env, service, agent):
            page.ended += ended
            page.left += not ended

    def blobs(self, at_ms: int) -> dict[str, bytes | None]:
        """What has changed since the last call, encoded; None for what is too old by now."""
        oldest = at_ms // 1000 // CELL_S - CELLS
        gone = [start for start in self._cells if start < oldest]
        for start in gone:
            del self._cells[start]
        changed = {
            f"{PREFIX}{start}": msgspec.msgpack.encode((VERSION, _sorted(self._cells[start])))
            for start in sorted(self._changed)
            if start in self._cells
        }
        self._changed.clear()
        return {**changed, **{f"{PREFIX}{start}": None for start in gone}}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """From blobs; only when empty. Raises ValueError for one of another version."""
        for key, raw in blobs.items():
            if key.startswith(PREFIX):
                version, cell = msgspec.msgpack.decode(raw, type=_CODEC)
                if version != VERSION:
                    raise ValueError(f"run stats of version {version}; this reads {VERSION}")
                self._cells[int(key.removeprefix(PREFIX))] = cell

    def _pages(self, at_ms: int, env: str, service: str, agent: str) -> list[Page]:
        number = at_ms // 1000 // CELL_S
        cell = self._cells.setdefault(number, {})
        self._changed.add(number)
        if self._levels and any(number < upto for upto, _, _ in self._levels):
            self._levels.clear()  # a run came later than any should
        keys = {SEP.join((env, service, "")), SEP.join((env, service, agent))}
        return [cell.setdefault(key, Page()) for key in sorted(keys)]

    def _read(self, upto: int) -> list[tuple[int, _Cell]]:
        return [(n, cell) for n, cell in self._cells.items() if upto - CELLS <= n < upto]

    def _level(self, upto: int, key: str, index: int) -> Level | None:
        if len(self._levels) > 4096:  # a new cell every six hours, and few keys
            self._levels.clear()
        total: Histogram = {}
        for number, cell in self._read(upto):
            page = cell.get(key)
            if page is not None:
                _add(total, page.counts[index])
                if number < upto - HELD_CELLS:
                    _add(total, page.held[index])
        n = sum(total.values())
        if n < MIN_RUNS:
            return None
        top = value_of(max(total))
        p999 = _quantile(total, n, 0.999) if n >= SURE else math.ceil(1.25 * top)
        return Level(n, _quantile(total, n, 0.5), _quantile(total, n, 0.99), p999)


def known_at(at_ms: int) -> int:
    """Cells before this number may be read at an instant."""
    return (at_ms // 1000 - LAG_S) // CELL_S


def _add(total: Histogram, part: Mapping[int, int]) -> None:
    for bucket, count in part.items():
        total[bucket] = total.get(bucket, 0) + count


def _quantile(counts: Mapping[int, int], n: int, q: float) -> int:
    rank, seen = math.ceil(q * n - 1e-9), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return value_of(bucket)
    return value_of(max(counts))


def _sorted(cell: Mapping[str, Page]) -> _Cell:
    """The same cell with all keys in order, so that it has one encoding."""
    return {
        key: Page(
            page.ended,
            page.left,
            [dict(sorted(counts.items())) for counts in page.counts],
            [dict(sorted(counts.items())) for counts in page.held],
        )
        for key, page in sorted(cell.items())
    }
