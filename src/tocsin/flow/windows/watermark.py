"""The low watermark of the topic, and the windows it closes.

The topic is complete up to the least of its partitions' watermarks. A partition whose consumer
is gone or lags does not advance, so consumer lag is never judged as silence.
"""

from collections.abc import Iterable, Mapping

from tocsin.types import Position


def low_watermark(positions: Mapping[int, Position], partitions: int) -> int | None:
    """The time up to which the whole topic is complete, or None while that is not known.

    Every partition counts: one that nobody has read yet may hold spans of any window.
    """
    marks = [positions[p].watermark_ms for p in range(partitions) if p in positions]
    known = [mark for mark in marks if mark is not None]
    if partitions == 0 or len(known) < partitions:
        return None
    return min(known)


def closed_windows(
    low_ms: int | None,
    *,
    evaluated: int | None,
    held: Iterable[int],
    complete_from_ms: int,
    window_s: int,
    oldest_s: int | None = None,
    limit: int = 240,
) -> list[int]:
    """The windows that are closed and not yet evaluated, oldest first.

    A window [start, start + window_s) is closed once the low watermark has reached its end.
    Windows that hold nothing are closed too: that is how silence is seen.

    Args:
        low_ms: the low watermark.
        evaluated: the newest window evaluated so far.
        held: starts of the windows that hold counters (where to begin on the first time).
        complete_from_ms: the shard's history begins here; earlier windows lack spans.
        window_s: length of a window.
        oldest_s: windows before this have expired from the store and are not evaluated:
            their counters are gone, which is not the same as zero.
        limit: at most so many at once, to bound the memory of a catch-up.
    """
    if low_ms is None:
        return []
    complete = -(-complete_from_ms // (window_s * 1_000)) * window_s
    if evaluated is not None:
        first = max(evaluated + window_s, complete)
    else:
        first = min((start for start in held if start >= complete), default=-1)
        if first < 0:
            return []
    if oldest_s is not None and first < oldest_s:
        first = -(-oldest_s // window_s) * window_s
    last_end = low_ms // (window_s * 1_000) * window_s
    return list(range(first, last_end, window_s))[:limit]
