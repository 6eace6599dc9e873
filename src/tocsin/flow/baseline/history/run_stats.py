"""Distributions of runs that have ended: depth, width, steps, tokens, cost, duration.

Per service, and per agent that runs began with, counts of each quantity are kept in log buckets
and in periods of six hours. A run is added to the period in which it was found to be over; a
judgement at time `t` reads only periods that ended an hour before `t`. By then the period is
complete, so a judgement depends on event time alone: not on how the log was cut into flushes,
nor on a restart. That holds while the partitions of the topic are within an hour of one another.

Runs that broke a limit are *held*: they count after seven days. Runs that looped never count.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from tocsin.types import SEP

PREFIX: Final = "r:b:"
VERSION: Final = 1
PERIOD_S: Final = 6 * 3600
LAG_S: Final = 3600
PERIODS: Final = 14 * 4
HELD_PERIODS: Final = 7 * 4
#: Fewer runs than this give no level. Only the runs of one shard are counted.
MIN_RUNS: Final = 100
#: With fewer runs the p999 is not known: the largest value and a quarter stand in for it.
KNOWN_P999: Final = 3000
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
    """Number of the runs that count, and quantiles of a quantity over them."""

    n: int
    p50: int
    p99: int
    p999: int  # or an upper estimate, see KNOWN_P999


class RunCounts(msgspec.Struct, array_like=True):
    """The runs of one service, or of one agent of it, in one period."""

    ended: int = 0
    left: int = 0  # runs that fell silent without an end
    counts: list[Histogram] = msgspec.field(default_factory=lambda: [{} for _ in QUANTITIES])
    held: list[Histogram] = msgspec.field(default_factory=lambda: [{} for _ in QUANTITIES])


_Period = dict[str, RunCounts]
_CODEC: Final = tuple[int, dict[str, RunCounts]]


@dataclass(slots=True)
class RunStats:
    """See the module. Keys are env SEP service SEP agent; an empty agent is all of a service."""

    _periods: dict[int, _Period] = field(default_factory=dict)
    _changed: set[int] = field(default_factory=set)
    _levels: dict[tuple[int, str, Quantity], Level | None] = field(default_factory=dict)

    def level(
        self, at_ms: int, env: str, service: str, quantity: Quantity, agent: str = ""
    ) -> Level | None:
        """Level of a quantity from the periods readable at `at_ms`; None below MIN_RUNS runs."""
        upto = known_at(at_ms)
        key = SEP.join((env, service, agent))
        cached = (upto, key, quantity)
        if cached not in self._levels:
            self._levels[cached] = self._level(upto, key, QUANTITIES.index(quantity))
        return self._levels[cached]

    def ends(self, at_ms: int, env: str, service: str) -> tuple[int, int]:
        """Runs of a service that ended, and that were left, in the periods readable at `at_ms`."""
        key = SEP.join((env, service, ""))
        found = [period[key] for _, period in self._read(known_at(at_ms)) if key in period]
        return sum(runs.ended for runs in found), sum(runs.left for runs in found)

    def learn(
        self, at_ms: int, env: str, service: str, agent: str, values: Iterable[int], *, held: bool
    ) -> None:
        """Add a run that was found at `at_ms` to be over: a value for each of QUANTITIES."""
        buckets = [bucket_of(value) for value in values]
        for runs in self._counts_of(at_ms, env, service, agent):
            runs.ended += 1
            for counts, bucket in zip(runs.held if held else runs.counts, buckets, strict=True):
                counts[bucket] = counts.get(bucket, 0) + 1

    def note(self, at_ms: int, env: str, service: str, agent: str, *, ended: bool) -> None:
        """Count a run without its values: one that looped, or (not `ended`) was left."""
        for runs in self._counts_of(at_ms, env, service, agent):
            runs.ended += ended
            runs.left += not ended

    def blobs(self, at_ms: int) -> dict[str, bytes | None]:
        """Blobs of the periods that changed since the last call; None for those too old by now."""
        oldest = at_ms // 1000 // PERIOD_S - PERIODS
        gone = [start for start in self._periods if start < oldest]
        for start in gone:
            del self._periods[start]
        changed = {
            f"{PREFIX}{start}": msgspec.msgpack.encode((VERSION, _sorted(self._periods[start])))
            for start in sorted(self._changed)
            if start in self._periods
        }
        self._changed.clear()
        return {**changed, **{f"{PREFIX}{start}": None for start in gone}}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """From blobs; only into empty stats. Raises ValueError for one of another version."""
        for key, raw in blobs.items():
            if key.startswith(PREFIX):
                version, period = msgspec.msgpack.decode(raw, type=_CODEC)
                if version != VERSION:
                    raise ValueError(f"run stats of version {version}; this reads {VERSION}")
                self._periods[int(key.removeprefix(PREFIX))] = period

    def _counts_of(self, at_ms: int, env: str, service: str, agent: str) -> list[RunCounts]:
        number = at_ms // 1000 // PERIOD_S
        period = self._periods.setdefault(number, {})
        self._changed.add(number)
        if self._levels and any(number < upto for upto, _, _ in self._levels):
            self._levels.clear()  # a run came more than LAG_S late
        keys = {SEP.join((env, service, "")), SEP.join((env, service, agent))}
        return [period.setdefault(key, RunCounts()) for key in sorted(keys)]

    def _read(self, upto: int) -> list[tuple[int, _Period]]:
        return [(n, period) for n, period in self._periods.items() if upto - PERIODS <= n < upto]

    def _level(self, upto: int, key: str, index: int) -> Level | None:
        if len(self._levels) > 4096:  # a new period every six hours, and few keys
            self._levels.clear()
        total: Histogram = {}
        for number, period in self._read(upto):
            runs = period.get(key)
            if runs is not None:
                _add(total, runs.counts[index])
                if number < upto - HELD_PERIODS:
                    _add(total, runs.held[index])
        n = sum(total.values())
        if n < MIN_RUNS:
            return None
        top = value_of(max(total))
        p999 = _quantile(total, n, 0.999) if n >= KNOWN_P999 else math.ceil(1.25 * top)
        return Level(n, _quantile(total, n, 0.5), _quantile(total, n, 0.99), p999)


def known_at(at_ms: int) -> int:
    """Cells before this number may be read at `at_ms`."""
    return (at_ms // 1000 - LAG_S) // PERIOD_S


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


def _sorted(period: Mapping[str, RunCounts]) -> _Period:
    """The same period with all keys in order, so that it has one encoding."""
    return {
        key: RunCounts(
            runs.ended,
            runs.left,
            [dict(sorted(counts.items())) for counts in runs.counts],
            [dict(sorted(counts.items())) for counts in runs.held],
        )
        for key, runs in sorted(period.items())
    }
