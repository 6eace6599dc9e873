"""How series and shards are named, and the numbers everything is counted in."""

import zlib

NANO = 1_000_000_000
#: Separates the parts of a series key: `view SEP env SEP service SEP ...`. Decode strips
#: control characters from every name, so it can never occur inside a part.
SEP = "\x1f"
#: Stands in for a dimension a span does not carry, and for values beyond a cardinality cap.
NONE, OVERFLOW = "_none", "_overflow"


#: A series' (view, dimension values) back from its key.
def split_series(series: str) -> tuple[str, tuple[str, ...]]:
    view, *values = series.split(SEP)
    return view, tuple(values)


def shard_of(key: str, shards: int) -> int:
    """The shard of a service (`env SEP service`) or of a run (its trace id), 0..shards-1."""
    return zlib.crc32(key.encode()) % shards


def join_series(view: str, *values: str) -> str:
    return SEP.join((view, *values))
