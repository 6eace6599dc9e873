"""Which models each service has used in the last thirty days, and since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

BLOB = "k:models"
VERSION = 1
_DAY = 86_400
_KEEP_S = 30 * _DAY
_NEW_S = _DAY  # how long a model stays new


class Known:
    """Series -> first seen (0 = before the service was warm) and the last day it was seen."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def is_new(self, series: str, at: int, is_warm: Callable[[str], bool]) -> bool:
        """Whether a model met in window `at` is one its service had not used before."""
        first = self._seen.get(series)
        return is_warm(series) if first is None else first[0] > 0 and at - first[0] < _NEW_S

    def learn(self, series: Iterable[str], at: int, is_warm: Callable[[str], bool]) -> bytes | None:
        """Note the series met in window `at`; the blob if anything changed."""
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
        oldest = (at - _KEEP_S) // _DAY
        self._seen = {name: held for name, held in self._seen.items() if held[1] >= oldest}
        return msgspec.msgpack.encode((VERSION, sorted(self._seen.items())))

    def restore(self, raw: bytes) -> None:
        """From a blob. Raises ValueError when it is not one of this version."""
        version, items = msgspec.msgpack.decode(
            raw, type=tuple[int, list[tuple[str, tuple[int, int]]]]
        )
        if version != VERSION:
            raise ValueError(f"known models of version {version}; this release reads {VERSION}")
        self._seen = dict(items)
