"""History of one kind of sketch (durations, first token, tokens a call) of one shard.

Windows of the last three hours one by one, quarter-hours of the last day one by one, and
`baseline`: the sum of the quarter-hours from a day ago up to two hours ago, kept by adding
the one that enters and subtracting the one that leaves.

A breach is found some time after it began, so it contaminates all windows that the judgement
looked back over, and they are excluded. A judgement looks back at most the two hours that the
baseline lags, so contaminated quarter-hours have not entered it yet.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.history.window_ring import WindowRing
from tocsin.flow.baseline.stats import sketch
from tocsin.types import Floats, Ints, WindowFrame

QUARTER_S = 900
LAG_QUARTERS = 8  # the baseline ends two hours before now, so excludes what is under judgement
LONGEST_S = LAG_QUARTERS * QUARTER_S  # the longest look-back
#: A signal that is a distribution -> the prefix of its fields in a window.
SKETCH_PREFIX: Mapping[str, str] = {"duration": "d:", "ttft": "t:", "request_tokens": "k:"}
#: Windows of the hash cells of traces with errors, kept like sketches. They are read for some
#: minutes only, so they have no quarter-hours and no baseline.
TRACES, TRACES_PREFIX = "traces", "u:"
_PREFIX: Mapping[str, str] = {**SKETCH_PREFIX, TRACES: TRACES_PREFIX}


class SketchHistory:
    """See the module.

    `signal` is a key of SKETCH_PREFIX or TRACES; `quarters` is how many are kept; `views` are those
    whose series are kept, None = all.
    """

    def __init__(
        self,
        signal: str,
        window_s: int,
        quarters: int,
        catalog: Catalog,
        views: frozenset[str] | None = None,
    ) -> None:
        self.signal, self._views, self._catalog = signal, views, catalog
        self._prefix, self._window_s, self._keep = _PREFIX[signal], window_s, quarters
        self._windows: dict[int, sketch.Sketches] = {}
        self._stacks: list[sketch.Stack] = []  # of all windows within LONGEST_S
        self._stacked = (sketch.EMPTY, (0, 0))  # the newest of them; its start, catalog rows
        self._counts = WindowRing(LONGEST_S // window_s, 0.0)
        self._quarters: dict[int, sketch.Sketches] = {}
        #: Quarter-hour -> how many before it are contaminated as well -> rows.
        self._contaminated: dict[int, dict[int, np.ndarray]] = {}
        self._newest: int | None = None  # start of the newest window
        self._newest_quarter: int | None = None
        self._latest: tuple[WindowFrame | None, sketch.Sketches] = (None, sketch.EMPTY)
        self.baseline = sketch.EMPTY
        self._usual: dict[float, np.ndarray] = {}  # quantiles of the baseline, by row

    # ---- reading -----------------------------------------------------------------------

    def of(self, frame: WindowFrame, rows: Ints) -> sketch.Sketches:
        """The frame's sketches of this kind; `rows[i]` is the row of its i-th series."""
        if frame is not self._latest[0]:  # one window is asked for when graded, and when learned
            if self._views is not None:
                parts = [self._catalog.in_view(rows, view) for view in sorted(self._views)]
                rows = (
                    np.where(np.any(parts, axis=0), rows, -1) if parts else np.full(len(rows), -1)
                )
            self._latest = (frame, sketch.of_frame(frame, rows, self._prefix))
        return self._latest[1]

    def stacks(self, now: sketch.Sketches, at: int, windows: int) -> list[sketch.Stack]:
        """The sketches `now` of the window `at` (epoch s), and those of `windows` windows before.

        They reach back LONGEST_S at most; windows without a sketch are left out.
        """
        state = at, len(self._catalog)
        if self._stacked[0] is not now or self._stacked[1] != state:  # the same for all rules
            held = {s: part for s, part in self._windows.items() if at - LONGEST_S < s < at}
            self._stacks = sketch.stacked({**held, at: now}, len(self._catalog))
            self._stacked = now, state
        since = at - windows * self._window_s
        return [stack.since(since) for stack in self._stacks if stack.windows[-1] >= since]

    def recent_counts(self, rows: Ints, windows: Sequence[int]) -> list[np.ndarray]:
        """For each number of `windows`: int64 [len(rows)], observations; LONGEST_S at most."""
        self._counts.grow(len(self._catalog))
        longest = max(windows)
        held = self._counts.last(longest)[rows].astype(np.int64)
        return [held[:, longest - width :].sum(axis=1) for width in windows]

    def usual(self, q: float) -> Floats:
        """Value of the q-quantile of the baseline of every row of the catalog; NaN if unknown."""
        found = self._usual.get(q, np.empty(0))  # cached until the next quarter-hour
        new = np.arange(len(found), len(self._catalog))
        if len(new):
            found = np.concatenate([found, sketch.quantile(self.baseline, new, q)[0]])
            self._usual[q] = found
        return found

    def quarters(self, since: int | None = None, until: int | None = None) -> list[sketch.Sketches]:
        """The quarter-hours that `baseline` is the sum of, oldest first.

        Optionally only those that start at or after `since` and before `until`, epoch s.
        """
        if self._newest_quarter is None:
            return []
        last = self._newest_quarter - LAG_QUARTERS * QUARTER_S
        return [
            part
            for start, part in sorted(self._quarters.items())
            if start <= last
            and (since is None or start >= since)
            and (until is None or start < until)
        ]

    def hour(self, start: int) -> sketch.Sketches:
        """The hour from `start`, epoch s, without the rows excluded so far."""
        parts = []
        for quarter in range(start, start + 4 * QUARTER_S, QUARTER_S):
            part, bad = self._quarters.get(quarter, sketch.EMPTY), self._contaminated_rows(quarter)
            parts.append(part.without(bad) if len(bad) else part)
        return sketch.add(parts)

    # ---- learning ----------------------------------------------------------------------

    def push_window(self, frame: WindowFrame, rows: Ints) -> None:
        """Append a closed window; windows come in order."""
        found = self.of(frame, rows)
        self._windows[frame.start] = found
        counts = np.bincount(found.key // sketch.WIDTH, found.count, minlength=len(self._catalog))
        self._counts.push(counts.astype(np.float32))
        self._newest = frame.start

    def pass_to(self, start: int) -> None:
        """Append the window `start` (epoch s) as unknown."""
        self._counts.push(np.empty(0, np.float32))
        self._newest = start

    def drop_windows(self, starts: Iterable[int]) -> None:
        """Drop the windows with these starts (epoch s)."""
        for start in starts:
            self._windows.pop(start, None)

    def push_quarter(
        self, frame: WindowFrame, rows: Ints, excluded: Mapping[str, Sequence[str]]
    ) -> None:
        """Append a closed quarter-hour; `age_out` comes after it.

        `excluded` holds the series not to learn from under the keys of `contaminated`.
        """
        self._quarters[frame.start] = self.of(frame, rows)
        self._contaminated[frame.start] = {
            back: self._catalog.known(series)
            for back in range(LAG_QUARTERS + 1)
            if (series := excluded.get(_key(self.signal, back)))
        }

    def age_out(self, start: int) -> None:
        """Make `start` the newest quarter-hour: move the baseline on."""
        self._newest_quarter = start
        entering = start - LAG_QUARTERS * QUARTER_S
        enters = self._quarters.get(entering, sketch.EMPTY)
        bad = self._contaminated_rows(entering)
        self._contaminated.pop(entering, None)
        if len(bad):
            enters = self._quarters[entering] = enters.without(bad)
        leaves = self._quarters.pop(start - self._keep * QUARTER_S, sketch.EMPTY)
        self.baseline = sketch.subtract(sketch.add([self.baseline, enters]), leaves)
        self._usual.clear()

    def _contaminated_rows(self, quarter: int) -> Ints:
        found = [
            rows
            for later in range(LAG_QUARTERS + 1)
            for back, rows in self._contaminated.get(quarter + later * QUARTER_S, {}).items()
            if back >= later
        ]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def contaminated(
    signal: str, rows: Ints, reach_s: Ints, window: int, window_s: int
) -> dict[str, np.ndarray]:
    """The rows that breached in `window`, by the key they are excluded under.

    Args:
        signal: a key of SKETCH_PREFIX.
        rows: the rows in breach.
        reach_s: how far each looked back from the end of the window, LONGEST_S at most.
        window: its start, epoch s.
        window_s: its length.
    """
    since = (window + window_s - reach_s) // QUARTER_S
    back = np.clip(window // QUARTER_S - since, 0, LAG_QUARTERS)
    return {_key(signal, int(b)): rows[back == b] for b in np.unique(back)}


def _key(signal: str, back: int) -> str:
    return f"{signal}-{back}" if back else signal
