"""Distributions of some series, each read by its position: sketches without row numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.stats import sketch
from tocsin.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution a series, in the unit of its sketch (microseconds, tokens)."""

    sketches: sketch.Sketches
    rows: Ints

    def only(self, which: Bools | Ints) -> Distribution:
        """Of some of the series: a mask, or positions."""
        return Distribution(self.sketches, self.rows[which])

    @property
    def n(self) -> Ints:
        """Observations."""
        return sketch.counts(self.sketches, self.rows)

    def quantile(self, q: float | Floats) -> Floats:
        """The q-quantile, within 1 %; NaN where nothing was observed."""
        return sketch.quantile(self.sketches, self.rows, q)[0]

    def quantile_bucket(self, q: float | Floats) -> tuple[Floats, Ints]:
        """The q-quantile and the bucket it lies in; NaN and -1 where nothing was observed."""
        return sketch.quantile(self.sketches, self.rows, q)

    def above(self, bucket: Ints) -> Ints:
        """Observations in buckets beyond one of each series."""
        return sketch.above(self.sketches, self.rows, bucket)

    @property
    def moments(self) -> sketch.Moments:
        """Mean and variance of the logarithm; NaN where nothing was observed."""
        return sketch.moments(self.sketches, self.rows)

    def alone(self) -> Distribution:
        """The same without other series' buckets: cheaper where much is asked of few series."""
        return Distribution(self.sketches.only(np.unique(self.rows)), self.rows)

    def replaced(self, which: Ints, by: sketch.Sketches) -> Distribution:
        """The same, but those of the positions `which` are those of their rows in `by`."""
        rows = self.rows[which]
        return Distribution(sketch.add([self.sketches.without(rows), by.only(rows)]), self.rows)

    def at_rows(self, rows: Ints) -> Distribution:
        """Those of other series, or of the same in another order, each as often as you like."""
        return Distribution(self.sketches, rows)
