"""Sums of window frames, and their encoding as bytes.

`add` is a commutative monoid on the counters of every series; `canonical` gives frames with equal
counters equal arrays, so that they have equal bytes.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from tocsin.types import Ints, WindowFrame

VERSION = 1
#: Up to so many cells (128 MB) frames are added in a dense table, which needs no sorting.
_DENSE = 1 << 24
#: In the 16-bit counters: this one is in `big`, in 64 bits.
_BIG = 0xFFFF


class FrameError(ValueError):
    """Bytes that are not a frame of this version."""


class _StoredFrame(msgspec.Struct, array_like=True):
    version: int
    start: int
    seconds: int
    series: list[str]
    fields: list[str]
    cells: bytes  # <u4, how many cells each series has; cells are in order of series
    field: bytes  # <u2
    value: bytes  # <u2, _BIG where the value is in `big`
    big: bytes  # <i8
    excluded: dict[str, list[str]]


def canonical(frame: WindowFrame) -> WindowFrame:
    """The same counters with names sorted, cells ordered by (series, field), no zeros."""
    return merge([frame], frame.start, frame.seconds)


def merge(frames: Sequence[WindowFrame], start: int, seconds: int) -> WindowFrame:
    """The sum of `frames` as one window of `seconds` from `start`; no frames is zero."""
    series = sorted({name for frame in frames for name in frame.series})
    fields = sorted({name for frame in frames for name in frame.fields})
    row = {name: i for i, name in enumerate(series)}
    column = {name: i for i, name in enumerate(fields)}
    width = max(len(fields), 1)
    cells = len(series) * width

    def keyed(frame: WindowFrame) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array([row[name] * width for name in frame.series], np.int64)
        columns = np.array([column[name] for name in frame.fields], np.int64)
        return rows[frame.owner] + columns[frame.field], frame.value.astype(np.int64)

    parts = (keyed(frame) for frame in frames if len(frame.value))
    if cells <= min(_DENSE, 16 * sum(len(frame.value) for frame in frames)):
        dense = np.zeros(cells, np.int64)
        for keys, values in parts:
            np.add.at(dense, keys, values)
        key = np.flatnonzero(dense != 0)  # much faster on booleans
        value = dense[key]
    else:
        nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
        key, value = sum_by_key(*map(np.concatenate, zip(nothing, *parts, strict=True)))
    owner = (key.astype(np.uint32) if cells < 1 << 32 else key) // width  # narrow divides faster
    return WindowFrame(
        start,
        seconds,
        tuple(series),
        tuple(fields),
        owner.astype(np.uint32),
        (key - owner * width).astype(np.uint16),
        value,
    )


def add(left: WindowFrame, right: WindowFrame) -> WindowFrame:
    """The sum; it spans both. Commutative and associative; a frame without cells is zero."""
    start = min(left.start, right.start)
    end = max(left.start + left.seconds, right.start + right.seconds)
    return merge([left, right], start, end - start)


def without(frame: WindowFrame, prefix: str) -> WindowFrame:
    """The frame without the fields whose names begin with `prefix`; its series all stay."""
    kept = np.array([not name.startswith(prefix) for name in frame.fields], bool)
    if kept.all():
        return frame
    number = np.cumsum(kept) - 1
    cells = np.flatnonzero(kept[frame.field])
    return replace(
        frame,
        fields=tuple(name for name in frame.fields if not name.startswith(prefix)),
        owner=frame.owner[cells],
        field=number[frame.field[cells]].astype(np.uint16),
        value=frame.value[cells],
    )


def sum_by_key(keys: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Sorted distinct keys and the sums of their values; keys whose sum is 0 are dropped."""
    if not len(keys):
        return keys, values
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sums = np.add.reduceat(values, first)
    kept = sums != 0
    return keys[first][kept], sums[kept]


def totals(frame: WindowFrame, fields: Sequence[str]) -> Ints:
    """Sum of some fields for every series of the frame, int64 [len(frame.series)]."""
    summed: Ints = by_field(frame, fields).sum(axis=0)
    return summed


def by_field(frame: WindowFrame, fields: Sequence[str]) -> Ints:
    """Some fields of every series of the frame, int64 [len(fields), len(frame.series)]."""
    size = len(frame.series)
    number = {name: i for i, name in enumerate(fields)}
    offset = np.array([number.get(name, -1) for name in frame.fields], np.int64) * size
    out = np.zeros(len(fields) * size, np.int64)
    if len(frame.value):
        cells = np.flatnonzero((offset >= 0)[frame.field])
        np.add.at(out, offset[frame.field[cells]] + frame.owner[cells], frame.value[cells])
    return out.reshape(len(fields), size)


def encode(frame: WindowFrame, excluded: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """Bytes of a frame and of its exclusions (signal -> series not to learn from)."""
    if len(frame.owner) and (np.diff(frame.owner.astype(np.int64)) < 0).any():
        frame = canonical(frame)
    large = (frame.value >= _BIG) | (frame.value < 0)
    stored = _StoredFrame(
        VERSION,
        frame.start,
        frame.seconds,
        list(frame.series),
        list(frame.fields),
        np.bincount(frame.owner, minlength=len(frame.series)).astype("<u4").tobytes(),
        frame.field.astype("<u2").tobytes(),
        np.where(large, _BIG, frame.value).astype("<u2").tobytes(),
        frame.value[large].astype("<i8").tobytes(),
        {signal: sorted(names) for signal, names in sorted((excluded or {}).items()) if names},
    )
    return zlib.compress(msgspec.msgpack.encode(stored), 1)


def decode(raw: bytes) -> tuple[WindowFrame, dict[str, list[str]]]:
    """The frame and its exclusions. Raises FrameError."""
    try:
        stored = msgspec.msgpack.decode(zlib.decompress(raw), type=_StoredFrame)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise FrameError(f"not a frame: {error}") from None
    if stored.version != VERSION:
        raise FrameError(f"a frame of version {stored.version}; this release reads {VERSION}")
    value = np.frombuffer(stored.value, "<u2").astype(np.int64)
    value[value == _BIG] = np.frombuffer(stored.big, "<i8")
    cells = np.frombuffer(stored.cells, "<u4")
    frame = WindowFrame(
        stored.start,
        stored.seconds,
        tuple(stored.series),
        tuple(stored.fields),
        np.repeat(np.arange(len(cells), dtype=np.uint32), cells),
        np.frombuffer(stored.field, "<u2"),
        value,
    )
    return frame, stored.excluded
