"""The state of a bank: named arrays with one row a series, and their versioned bytes."""

import struct
from collections.abc import Mapping

import numpy as np

from tocsin.flow.baseline.residual.episodes import LEVELS
from tocsin.flow.baseline.residual.shape import VIEWS, Shape
from tocsin.flow.baseline.residual.tail_fit import BINS

#: Values a window of the views reaches back.
RING = 10
#: Filters: level and season at both spans, and how restless each residual was lately.
FILTERS = ("m", "ms", "M", "Ms", "v", "V")
_MAGIC = b"TRB1"
_HEADER = struct.Struct("<4sdqI")

State = dict[str, np.ndarray]


def fields(shape: Shape) -> Mapping[str, tuple[type[np.generic], tuple[int, ...]]]:
    """Name -> (type, shape of a row). About 7 KiB a row at one value a minute."""
    views, slots, chunk = len(VIEWS), shape.slots, shape.chunk
    scalar: tuple[int, ...] = ()
    return {
        # Running: moves with every value.
        "born": (np.int64, scalar),  # tick of the first value; -1 = none yet
        "n": (np.int64, scalar),  # values seen
        "held": (np.float64, scalar),  # the newest value
        "held_at": (np.int64, scalar),  # its tick
        "ring": (np.float64, (RING,)),  # last values, gaps filled by what is held
        **dict.fromkeys(FILTERS, (np.float64, scalar)),  # newest output
        **{f"z_{name}": (np.float64, (1,)) for name in FILTERS},  # what the filter carries
        # Since the last update; NaN = no value.
        "p_med": (np.float32, (chunk,)),
        "p_e1": (np.float32, (chunk,)),
        "p_d1": (np.float32, (chunk,)),
        "p_e2": (np.float32, (chunk,)),
        "p_d2": (np.float32, (chunk,)),
        "p_z": (np.float32, (chunk,)),
        "p_odd": (np.uint8, (chunk,)),  # surprise, in steps of season.ODD_STEP
        "p_bin": (np.uint8, (views, chunk)),  # cell of the tails' counts
        # Fitted: changes at the end of a chunk only.
        "weight": (np.float64, scalar),  # values behind the scales below
        "centre": (np.float64, scalar),
        "spread": (np.float64, scalar),  # mean |value - centre|
        "scale1": (np.float64, scalar),  # mean |residual| to the short level
        "scale2": (np.float64, scalar),  # and to the long one
        "height": (np.float64, scalar),  # the largest residual of the last weeks
        "beta1": (np.float64, (2,)),  # sums of the regression on the season's move
        "beta2": (np.float64, (2,)),
        "profile": (np.float32, (slots,)),  # the day's usual values
        "noise": (np.float32, (slots,)),  # the day's usual |residual|
        "days": (np.uint8, (slots,)),  # days behind both
        "envelope": (np.float32, (slots,)),  # largest |z| of the last days
        "odd": (np.uint8, (slots,)),  # largest surprise of the last days, as p_odd
        "tails": (np.float32, (views, 2, BINS)),  # counts of |z| by size; above, below
        # Episodes.
        "last": (np.int64, scalar),  # tick of the newest row of the episode
        "record": (np.float64, scalar),  # its highest surprise
        "alerted": (np.int64, scalar),  # tick of the newest alert
        "peaks": (np.float32, (LEVELS,)),  # earlier episodes by height
        "peak": (np.int64, scalar),  # where the newest is counted
    }


def fresh(shape: Shape, rows: int) -> State:
    """State of `rows` series without a value."""
    state: State = {
        name: np.zeros((rows, *size), kind) for name, (kind, size) in fields(shape).items()
    }
    state["born"] -= 1
    state["last"] -= 1 << 40
    state["alerted"] -= 1 << 40
    for name in ("p_med", "p_e1", "p_d1", "p_e2", "p_d2", "p_z"):
        state[name] += np.float32(np.nan)
    return state


def encode(shape: Shape, tick: int, state: State) -> bytes:
    """Header, then every array in the order of `fields`, little-endian."""
    rows = len(state["born"])
    head = _HEADER.pack(_MAGIC, shape.interval_s, tick, rows)
    return head + b"".join(
        state[name].astype(np.dtype(kind).newbyteorder("<"), copy=False).tobytes()
        for name, (kind, _) in fields(shape).items()
    )


def decode(blob: bytes) -> tuple[Shape, int, State]:
    """Back from `encode`. Raises ValueError on bytes that are not of this version."""
    if len(blob) < _HEADER.size:
        raise ValueError("not the state of a residual bank: too short")
    magic, interval_s, tick, rows = _HEADER.unpack_from(blob)
    if magic != _MAGIC:
        raise ValueError(f"not the state of a residual bank of this version: {magic!r}")
    shape, at = Shape.of(interval_s), _HEADER.size
    state: State = {}
    for name, (kind, size) in fields(shape).items():
        count = rows * int(np.prod(size, dtype=np.int64))
        dtype = np.dtype(kind).newbyteorder("<")
        if at + count * dtype.itemsize > len(blob):
            raise ValueError("not the state of a residual bank: cut short")
        cells = np.frombuffer(blob, dtype, count, at)
        state[name] = cells.reshape(rows, *size).astype(kind)
        at += count * dtype.itemsize
    if at != len(blob):
        raise ValueError("not the state of a residual bank: bytes left over")
    return shape, tick, state
