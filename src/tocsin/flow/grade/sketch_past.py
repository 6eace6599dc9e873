"""The past of one kind of sketch (durations, first token, tokens a call) of one shard.

Windows of the last three hours one by one, quarter-hours of the last day one by one, and
`baseline`: the sum of the quarter-hours from a day ago up to two hours ago, kept by adding
the one that enters and taking away the one that leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tocsin.flow.grade import sketch
from tocsin.types import WindowFrame

QUARTER_S = 900
LAG_QUARTERS = 8  # the baseline ends two hours before now: no regression learns itself
#: A signal that is a distribution -> the prefix of its fields in a window.
SKETCH_PREFIX: Mapping[str, str] = {"duration": "d:", "ttft": "t:", "request_tokens": "k:"}


class SketchPast:
    """See the module. `signal` is a key of SKETCH_PREFIX; `quarters` is how many are kept."""

    def __init__(self, signal: str, window_s: int, quarters: int) -> None:
        self._prefix, self._window_s, self._keep = SKETCH_PREFIX[signal], window_s, quarters
        self._windows: dict[int, sketch.Sketches] = {}
        self._quarters: dict[int, sketch.Sketches] = {}
        self._newest: int | None = None  # start of the newest window
        self._newest_quarter: int | None = None
        self.baseline = sketch.EMPTY

    def of(self, frame: WindowFrame, rows: np.ndarray) -> sketch.Sketches:
        """The frame's sketches of this kind; `rows` as in `sketch.of_frame`."""
        return sketch.of_frame(frame, rows, self._prefix)

    def recent(self, windows: int) -> list[sketch.Sketches]:
        """The sketches of each of the last `windows` windows."""
        if self._newest is None:
            return []
        since = self._newest - (windows - 1) * self._window_s
        return [part for start, part in self._windows.items() if start >= since]

    def quarters(self) -> list[sketch.Sketches]:
        """The quarter-hours that `baseline` is the sum of, oldest first."""
        if self._newest_quarter is None:
            return []
        until = self._newest_quarter - LAG_QUARTERS * QUARTER_S
        return [part for start, part in sorted(self._quarters.items()) if start <= until]

    def push_window(self, frame: WindowFrame, rows: np.ndarray) -> None:
        """A closed window; windows come in order."""
        self._windows[frame.start] = self.of(frame, rows)
        self._newest = frame.start

    def pass_to(self, start: int) -> None:
        """The newest window is `start`, of which nothing is known."""
        self._newest = start

    def drop_windows(self, starts: Iterable[int]) -> None:
        """Let go of windows that are too old."""
        for start in starts:
            self._windows.pop(start, None)

    def push_quarter(self, frame: WindowFrame, rows: np.ndarray) -> None:
        """A closed quarter-hour, before `age_out` is told of it; -1 = not to learn from."""
        self._quarters[frame.start] = self.of(frame, rows)

    def age_out(self, start: int) -> None:
        """The quarter-hour `start` is the newest: move the baseline on."""
        self._newest_quarter = start
        enters = self._quarters.get(start - LAG_QUARTERS * QUARTER_S, sketch.EMPTY)
        leaves = self._quarters.pop(start - self._keep * QUARTER_S, sketch.EMPTY)
        self.baseline = sketch.subtract(sketch.add([self.baseline, enters]), leaves)
