"""Baselines standardised to the present mix of strata, so that a new mix is no regression.

With more long prompts than before, a service is slower although no model is (Simpson's paradox).
The strata of a series are the series of a finer view that agree with it in all its dimensions.
Its baseline is the sum of its strata's, each weighted to its present share (direct
standardisation); strata without a history are left out on both sides.
"""

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.types import Floats, Ints

#: A stratum with fewer observations in the baseline is left out.
_KNOWN_N = 100
#: Weighted counts stay integers, finely enough for a quantile.
_SCALE = 1024


@dataclass(frozen=True, slots=True)
class Standardised:
    """Sketches of rows with strata, now and in the baseline, and counts for each given row.

    `n` and `m` are the observations compared, now and in the baseline (as many as would
    give a baseline of this precision, Kish's effective size); `part` is the part of today's
    observations that could be compared, NaN where a row has no strata.
    """

    now: sketch.Sketches
    base: sketch.Sketches
    n: Ints
    m: Floats
    part: Floats


def standardise(
    graded: Graded, signal: str, rows: Ints, width: Ints, view: str, finer: str
) -> Standardised:
    """Rows of `view` over their widths, against a baseline in their present mix.

    Args:
        graded: the window beside its history.
        signal: a distribution that is kept of both views.
        rows: rows of `view`, each once.
        width: seconds each looks back.
        view: their view.
        finer: the view their strata are in.
    """
    strata, owner = _strata(graded.history.catalog, rows, view, finer)
    base = graded.history.sketches[signal].baseline
    now = lookback.merged(graded, signal, strata, width[owner])
    seen, known = sketch.counts(now, strata), sketch.counts(base, strata)
    both = (known >= _KNOWN_N) & (seen > 0)
    total = np.bincount(owner, seen, len(rows))
    n = np.bincount(owner[both], seen[both], len(rows))
    m = np.bincount(owner[both], known[both], len(rows))
    mine = owner[both]
    weight = seen[both] / known[both] * (m / np.maximum(n, 1))[mine]
    spread = np.bincount(mine, weight**2 * known[both], len(rows))
    return Standardised(
        _moved(now, strata[both], rows[mine], np.ones(len(mine))),
        _moved(base, strata[both], rows[mine], weight * _SCALE),
        n.astype(np.int64),
        np.floor(np.where(n > 0, m**2 / np.maximum(spread, 1e-12), 0.0)),
        np.where(total > 0, n / np.maximum(total, 1), np.nan),
    )


def _strata(catalog: Catalog, rows: Ints, view: str, finer: str) -> tuple[np.ndarray, np.ndarray]:
    """The strata of all rows, ascending, and the position in `rows` that each belongs to."""
    dims = catalog.dims_of(view)
    strata = catalog.of_view(finer)
    home, _ = catalog.group_ids(rows, dims)
    parent, _ = catalog.group_ids(strata, dims)
    position = {int(number): i for i, number in enumerate(home)}
    owner = np.array([position.get(int(number), -1) for number in parent], np.int64)
    return strata[owner >= 0], owner[owner >= 0]


def _moved(given: sketch.Sketches, strata: Ints, to: Ints, weight: Floats) -> sketch.Sketches:
    """The sketches of `strata` (ascending), weighted and put under the rows `to`."""
    part = given.only(strata)
    at = np.searchsorted(strata, part.key // sketch.WIDTH)
    counts = np.rint(part.count * weight[at]) if len(at) else part.count
    keys = to[at] * sketch.WIDTH + part.key % sketch.WIDTH if len(at) else part.key
    return sketch.from_cells(keys, counts.astype(np.int64))
