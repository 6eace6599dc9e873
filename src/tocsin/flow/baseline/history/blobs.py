"""The windows of the last hours as they were closed, and how they are stored.

The store holds a blob a window, `m:<start>`, and a blob a quarter-hour, `q:<start>`, each with
its exclusions (signal -> series not to learn from). Cells of traces are in windows only.
"""

from collections.abc import Mapping, Sequence

from tocsin.flow.baseline.frames import encode, merge, without
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, TRACES_PREFIX
from tocsin.types import WindowFrame

#: Key among the exclusions of a quarter-hour some of whose windows are unknown.
PARTIAL = "_partial"

Names = Mapping[str, Sequence[str]]  # signal -> series that are excluded


class RecentFrames:
    """See the module. Times are epoch s."""

    def __init__(self, window_s: int) -> None:
        self._window_s = window_s
        self._held: dict[int, tuple[WindowFrame, Names]] = {}

    def put(self, frame: WindowFrame, out: Names) -> dict[str, bytes | None]:
        """Keep a closed window; returns its blob."""
        names = {signal: found for signal, found in out.items() if found}
        self._held[frame.start] = (without(frame, TRACES_PREFIX), names)
        return {f"m:{frame.start}": encode(frame, out)}

    def quarter(self, start: int) -> tuple[WindowFrame, dict[str, list[str]]]:
        """The sum of the windows of a quarter-hour, and what was excluded in any of them."""
        starts = range(start, start + QUARTER_S, self._window_s)
        held = [self._held[at] for at in starts if at in self._held]
        excluded: dict[str, list[str]] = {}
        for _, names in held:
            for signal, found in names.items():
                excluded[signal] = sorted({*excluded.get(signal, ()), *found})
        if len(held) < len(starts):
            excluded[PARTIAL] = [""]
        return merge([part for part, _ in held], start, QUARTER_S), excluded

    def forget(self, horizon: int) -> list[int]:
        """Drop the windows of quarter-hours before `horizon` (epoch s); returns their starts."""
        old = [at for at in self._held if at // QUARTER_S * QUARTER_S < horizon]
        for at in old:
            del self._held[at]
        return old
