"""What was observed of some series in one distribution: in this window, of late, and before.

The signal is a distribution: durations, times to first token, tokens a call. All arrays are
aligned with the series; values are in the unit of the sketch (microseconds, tokens).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import SketchHistory
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.distribution import Distribution
from tocsin.types import Floats, Ints


@dataclass(frozen=True, slots=True)
class Observations:
    """Of one signal; `rows` are the series, as rows of the shard's catalog."""

    graded: Graded
    signal: str
    rows: Ints

    @property
    def past(self) -> SketchHistory:
        """The past of this signal, of all series of the shard."""
        return self.graded.history.sketches[self.signal]

    # ---- now ---------------------------------------------------------------------------

    @property
    def now(self) -> Distribution:
        """In this window alone."""
        return Distribution(self.graded.sketches[self.signal], self.rows)

    def width_of(self, n: float, widths: tuple[int, ...] = lookback.WIDTHS_S) -> Ints:
        """The least of some look-backs (s, ascending) that holds `n` observations; else 0."""
        return lookback.least(self.graded, self.signal, self.rows, n, widths)

    def over(self, width_s: Ints) -> Distribution:
        """Over a look-back of each series (each once), this window included."""
        return Distribution(
            lookback.merged(self.graded, self.signal, self.rows, width_s), self.rows
        )

    def beyond(self, width_s: Ints, bucket: Ints) -> tuple[Ints, Ints]:
        """How many lie beyond a bucket of each series, and how many there are, over look-backs."""
        return lookback.above(self.graded, self.signal, self.rows, width_s, bucket)

    # ---- before ------------------------------------------------------------------------

    @property
    def last_day(self) -> Distribution:
        """In the day that ended two hours ago: the baseline of distributions."""
        return Distribution(self.past.baseline, self.rows)

    def last_day_quantile(self, q: float) -> Floats:
        """The q-quantile of `last_day`; kept, so cheap for all series. NaN if nothing is known."""
        return self.past.usual(q)[self.rows]

    @property
    def yesterday(self) -> Distribution:
        """Yesterday, from an hour before this time to an hour after it."""
        return self._past_part(lookback.yesterday)

    @property
    def hours_before(self) -> Distribution:
        """In the three hours that ended two hours ago."""
        return self._past_part(lookback.hours_before)

    def _past_part(self, part: Callable[[Graded, str, Ints], sketch.Sketches]) -> Distribution:
        found = part(self.graded, self.signal, np.unique(self.rows))
        return Distribution(found, self.rows)

    def quarters(self) -> list[sketch.Sketches]:
        """The quarter-hours that make up `last_day`, oldest first: of all series of the shard."""
        return self.past.quarters()

    def weekly_quantile(self, q: float) -> Floats:
        """Median of the q-quantile in this hour of up to four earlier weeks; NaN if not known."""
        weeks, name = self.graded.history.weeks, f"{self.signal}.p{q * 100:g}"
        if name not in weeks.names:
            return np.full(len(self.rows), np.nan)
        hours = np.sort(weeks.same_hour(name, self.rows, self.graded.at, weeks=4), axis=1)
        known = np.isfinite(hours).sum(axis=1)  # NaN are sorted to the end
        middle = np.take_along_axis(hours, np.maximum(known - 1, 0)[:, None] // 2, axis=1)
        return middle[:, 0]
