"""What the Lua files are given and what they answer, as values. Schemas: the heads of *.lua."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from tocsin.store.base import SNAPSHOT_FIELDS
from tocsin.types import (
    SEP,
    ChangedRun,
    ChangedSeries,
    MergeReply,
    Position,
    ShardFlush,
    Snapshot,
    WindowFrame,
)

_encode = msgspec.msgpack.Encoder().encode
_snapshot_decoder = msgspec.msgpack.Decoder(
    # An empty Lua table is packed as an empty array, so no shape is ambiguous here.
    tuple[list[str], list[int], list[int | str | list[str | bool]], int]
)
_frame_decoder = msgspec.msgpack.Decoder(tuple[list[str], list[int], list[str], list[int], str])


def pack_flush(
    flush: ShardFlush, monotone: frozenset[str], limits: Sequence[int]
) -> tuple[bytes, bytes]:
    """Return the two arguments of merge.lua. The cost is per series-window, not per counter."""
    watched: list[object] = []
    rest: list[object] = []
    for delta in flush.windows:
        series = delta.series
        target = watched if series.partition(SEP)[0] in monotone else rest
        target += (delta.window, series, delta.counts)
    runs: list[object] = []
    for run in flush.runs:
        runs += (run.trace_id, run.spans, run.tokens, run.cost_nano, run.first_ms, len(run.steps))
    payload = (
        [(f.partition, f.first, f.next, f.high_ms, f.watermark_ms) for f in flush.fences],
        flush.partitions,
        watched,
        rest,
        runs,
        [part for label in flush.labels for part in label],
        [part for p, outcome, n in flush.account for part in (f"{p}:{outcome}", n)],
        limits,
    )
    return _encode(payload), b"".join([run.steps for run in flush.runs])


def unpack_merge(flush: ShardFlush, answer: int | list[bytes | None]) -> MergeReply:
    """Read the answer of merge.lua: a number if applied, else the stored offsets."""
    if isinstance(answer, int):
        return MergeReply(flush.shard, True, {f.partition: f.next for f in flush.fences})
    expected = {
        fence.partition: None if stored is None else int(stored)
        for fence, stored in zip(flush.fences, answer, strict=True)
    }
    return MergeReply(flush.shard, False, expected)


def read_positions(meta: Mapping[str, str]) -> dict[int, Position]:
    """Read the positions out of a shard's meta hash."""

    def optional(name: str) -> int | None:
        value = meta.get(name)
        return None if value is None else int(value)

    return {
        partition: Position(
            int(value),
            optional(f"high:{partition}"),
            optional(f"mark:{partition}"),
            int(meta.get(f"from:{partition}", 0)),
        )
        for name, value in meta.items()
        if name.startswith("next:")
        for partition in (int(name[5:]),)
    }


def unpack_snapshot(shard: int, answer: Sequence[bytes]) -> Snapshot:
    """Read the answer of snapshot.lua."""
    flat, starts, moved, covered = _snapshot_decoder.decode(answer[0])
    meta = dict(zip(flat[::2], flat[1::2], strict=True))
    changed = []
    for window, series, values in zip(moved[::3], moved[1::3], moved[2::3], strict=True):
        assert isinstance(window, int)
        assert isinstance(series, str)
        assert isinstance(values, list)
        held = zip(SNAPSHOT_FIELDS, values, strict=True)
        counts = {name: int(value) for name, value in held if value is not False}
        if counts:
            changed.append(ChangedSeries(window, series, counts))
    evaluated = meta.get("evaluated")
    return Snapshot(
        shard=shard,
        epoch=int(meta.get("epoch", 0)),
        evaluated=None if evaluated is None else int(evaluated),
        seq=covered,
        partitions=int(meta.get("partitions", 0)),
        positions=read_positions(meta),
        windows=tuple(starts),
        changed=tuple(changed),
        runs=tuple(
            ChangedRun(trace.decode(), state)
            for trace, state in zip(answer[1::2], answer[2::2], strict=True)
        ),
    )


def frame_of(
    start: int, seconds: int, series: Sequence[str], sizes: Sequence[int],
    fields: Sequence[str], field: np.ndarray, value: np.ndarray,
) -> WindowFrame:  # fmt: skip
    """Sort rows by (owner, field): equal counters give equal frames.

    Of the rows as given, `sizes[i]` belong to `series[i]`.
    """
    by_name = np.argsort(np.array(fields, dtype=object), kind="stable")
    rank = np.empty(len(fields), np.uint16)
    rank[by_name] = np.arange(len(fields))
    owner = np.repeat(np.arange(len(series), dtype=np.uint32), sizes)
    field = rank[field]
    order = np.argsort(owner.astype(np.int64) << 16 | field, kind="stable")
    names = tuple(fields[i] for i in by_name)
    return WindowFrame(start, seconds, tuple(series), names, owner, field[order], value[order])


def unpack_frame(start: int, seconds: int, answer: bytes) -> WindowFrame:
    """Read the answer of windows.lua."""
    series, sizes, fields, field, values = _frame_decoder.decode(answer)
    value = np.fromstring(values, dtype=np.int64, sep=" ") if values else np.empty(0, np.int64)
    return frame_of(start, seconds, series, sizes, fields, np.array(field, dtype=np.uint16), value)
