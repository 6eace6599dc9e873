"""Shards between fold, store and watch: what a flush adds, and what a snapshot shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tocsin.types.runs import ChangedRun, RunDelta

# ---- fold -> store -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fence:
    """The offsets [first, next) of one source partition that a flush carries, and its progress."""

    partition: int
    first: int
    next: int
    #: Largest event time seen below `next`, ms; None while the partition was always empty.
    #: Lateness is judged against it, so it is a pure function of the log.
    high_ms: int | None
    #: The time up to which this partition is known to be complete: high_ms - lateness, or
    #: the clock - lateness while it is caught up and idle. Never goes back.
    watermark_ms: int | None


@dataclass(frozen=True, slots=True)
class WindowDelta:
    """What a flush adds to one series in one window: (field, increment) pairs, flattened."""

    window: int
    series: str
    counts: tuple[str | int, ...]  # field, value, field, value ...


@dataclass(frozen=True, slots=True)
class ShardFlush:
    """All that one flush adds to one shard; applied whole or not at all."""

    shard: int
    fences: tuple[Fence, ...]
    partitions: int  # how many partitions the spans topic has
    windows: tuple[WindowDelta, ...]
    runs: tuple[RunDelta, ...]
    labels: tuple[tuple[str, str], ...]  # (STEP.label as 16 hex digits, readable name)
    #: (partition, outcome, spans), added to the shard's account in the same step,
    #: so that consumed = aggregated + late + filtered + dead-lettered holds across crashes.
    account: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MergeReply:
    """`applied`, or refused with what the shard expects of every fenced partition."""

    shard: int
    applied: bool
    expected: Mapping[int, int | None]  # partition -> next offset; None = never seen


@dataclass(frozen=True, slots=True)
class Position:
    """Where one shard stands in one source partition."""

    next: int
    high_ms: int | None
    watermark_ms: int | None
    #: Windows that start before this are incomplete: the shard's history begins here.
    complete_from_ms: int


# ---- store -> watch, and back --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChangedSeries:
    """An open window's counters (not its sketches) that moved since the last snapshot."""

    window: int
    series: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the store returns of one shard: marks, watermarks, and what moved since `seen`."""

    shard: int
    epoch: int
    evaluated: int | None  # the newest window that was evaluated
    seq: int  # the newest merge this snapshot covers; `seen` of the next one
    partitions: int  # of the spans topic; 0 while nothing was merged
    positions: Mapping[int, Position]
    windows: tuple[int, ...]  # starts of the windows that hold counters, ascending
    changed: tuple[ChangedSeries, ...]
    runs: tuple[ChangedRun, ...]


@dataclass(frozen=True, slots=True)
class WindowFrame:
    """A closed window of one shard in columns: value[i] = series[owner[i]].fields[field[i]].

    Frames add like the windows they are: sixty minutes merge to an hour.
    """

    start: int
    seconds: int
    series: tuple[str, ...]
    fields: tuple[str, ...]
    owner: np.ndarray  # uint32 [M], index into series
    field: np.ndarray  # uint16 [M], index into fields
    value: np.ndarray  # int64  [M]


@dataclass(frozen=True, slots=True)
class Saved:
    """All that one tick of watch writes to one shard; refused if the epoch has moved on."""

    evaluated: int | None  # new mark, never lower than before; None leaves it
    seen: int  # the newest merge this tick has evaluated; changes up to it are forgotten
    blobs: Mapping[str, bytes | None] = field(default_factory=dict)  # None deletes
    outbox: tuple[bytes, ...] = ()  # encoded alert events, to be published in this order
