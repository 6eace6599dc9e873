"""Which names each service has used of late, and since when: models, error classes, stand-ins.

A name is a series key. It is forgotten once it was not met for KEEP_S of its view.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from tocsin.types import split_series

BLOB = "k:names"
VERSION = 1
_DAY = 86_400
#: The views whose names are kept -> seconds a name is kept after it was last met.
KEEP_S: Mapping[str, int] = {
    "calls_by_model": 30 * _DAY,
    "calls_by_substitution": 30 * _DAY,
    "errors_by_class": 14 * _DAY,
    "errors_by_tool_class": 14 * _DAY,
    "errors_by_model_class": 14 * _DAY,
    "errors_by_route_class": 14 * _DAY,
}
_NEW_S = _DAY  # how long a name stays new


class SeenNames:
    """Series -> first seen (0 = before the service was warm) and the last day it was seen."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def is_new(self, series: str, at: int, is_warm: Callable[[str], bool]) -> bool:
        """Whether a name met in window `at` was first met within a day, by a warm service."""
        first = self._seen.get(series)
        return is_warm(series) if first is None else first[0] > 0 and at - first[0] < _NEW_S

    def learn(self, series: Iterable[str], at: int, is_warm: Callable[[str], bool]) -> bytes | None:
        """Note the series met in window `at` (epoch s); the blob if anything changed."""
        changed = False
        day = at // _DAY
        for name in series:
            held = self._seen.get(name)
            if held is None or held[1] < day:
                first = held[0] if held else at if is_warm(name) else 0
                self._seen[name] = (first, day)
                changed = True
        if not changed:
            return None
        self._seen = {
            name: held
            for name, held in self._seen.items()
            if held[1] >= (at - KEEP_S[split_series(name)[0]]) // _DAY
        }
        return msgspec.msgpack.encode((VERSION, sorted(self._seen.items())))

    def restore(self, raw: bytes) -> None:
        """From a blob. Raises ValueError when it is not one of this version."""
        version, items = msgspec.msgpack.decode(
            raw, type=tuple[int, list[tuple[str, tuple[int, int]]]]
        )
        if version != VERSION:
            raise ValueError(f"known names of version {version}; this release reads {VERSION}")
        self._seen = dict(items)
