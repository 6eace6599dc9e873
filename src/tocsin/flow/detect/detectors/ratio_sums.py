"""The two sums of a ratio: the numerator of each series, and what it is divided by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.flow.baseline.expect.recent import windows_of
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.columns import sums_in_blocks
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.baseline.stats import ratios
from tocsin.flow.detect.series import Series
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.flow.windows.views import VIEWS
from tocsin.types import Bools, Floats, Ints

#: The signal whose ratio is taken from the sketch of tokens a call.
TOKENS_A_CALL: Final = "request_tokens"
LAG_S: Final = 3600  # the last day ends so long before now
_DAY_QUARTERS: Final = 96
_BLOCK_S: Final = 300
#: Below so small a part of its mean the denominator counts as silent.
_SILENT: Final = 0.2
_RUNS: Final = tuple(view.name for view in VIEWS if view.name.startswith("runs_by_"))


@dataclass(frozen=True, slots=True)
class Sums:
    """Columns, one entry a series, over the last `width_s` of the rule."""

    series: Series
    per: Series  # the denominator of each
    above: Floats  # the numerator, in the counter's unit
    below: Floats  # the denominator, events

    def only(self, kept: Bools | Ints) -> Sums:
        """Some of them: a mask, or positions."""
        return Sums(self.series.only(kept), self.per.only(kept), self.above[kept], self.below[kept])


def numerator(rule: RuleSpec) -> str:
    """The counter above the line."""
    return "tokens" if rule.signal == TOKENS_A_CALL else rule.signal


def is_count(rule: RuleSpec) -> bool:
    """Whether the numerator counts events."""
    return rule.signal in {"n", "err", "to"}


def is_per_run(rule: RuleSpec) -> bool:
    """Whether runs are the denominator, and not the events of the series itself."""
    return bool(rule.options["per"] != "self")


def runs_view(view: str) -> str:
    """The view of the runs that series of `view` are divided by: that with most dimensions."""
    fitting = [runs for runs in _RUNS if set(DIMS[runs]) <= set(DIMS[view])]
    return max(fitting, key=lambda runs: len(DIMS[runs]))


def sums_of(series: Series) -> Sums:
    """The sums of the series that have a denominator."""
    rule = series.rule
    series, per = _with_denominators(series)
    width = rule.effect["width_s"]
    above, below = series.recent(numerator(rule), width), per.recent("n", width)
    if is_per_run(rule):
        above, below = _without_silence(series.graded, above, below)
    return Sums(series, per, above.sum(axis=1), below.sum(axis=1))


def _without_silence(graded: Graded, above: Floats, below: Floats) -> tuple[Floats, Floats]:
    """Blocks of five minutes, without those in which the denominator all but stopped.

    Calls that go on while no run is reported are a silence of runs: other rules find that.
    """
    starts = np.arange(0, above.shape[1], windows_of(graded, _BLOCK_S))
    above, below = (np.add.reduceat(part, starts, axis=1) for part in (above, below))
    usual = below.mean(axis=1, keepdims=True)
    alive = below > _SILENT * usual
    return np.where(alive, above, 0.0), np.where(alive, below, 0.0)


def _with_denominators(series: Series) -> tuple[Series, Series]:
    """The series that have something to be divided by, and beside each what that is."""
    if not is_per_run(series.rule):
        return series, series
    catalog = series.graded.history.catalog
    per, has = series.rows.copy(), np.ones(len(series), bool)
    for view in DIMS:
        mine = np.flatnonzero(series.in_view(view))
        if not len(mine):
            continue
        dims = DIMS[runs_view(view)]
        runs = catalog.of_view(runs_view(view))
        group_of_runs, _ = catalog.group_ids(runs, dims)
        group, groups = catalog.group_ids(series.rows[mine], dims)
        runs_of, has_runs = np.zeros(len(groups), np.int64), np.zeros(len(groups), bool)
        runs_of[group_of_runs], has_runs[group_of_runs] = runs, True
        per[mine], has[mine] = runs_of[group], has_runs[group]
    return series.only(has), series.at_rows(per[has])


def last_day(sums: Sums) -> ratios.RatioBaseline:
    """What the ratio was over the last day up to an hour ago, in blocks as wide as the sums."""
    rule = sums.series.rule
    each = max(1, int(rule.effect["width_s"]) // QUARTER_S)
    above, below = (
        sums_in_blocks(series.quarters(signal, LAG_S)[:, -_DAY_QUARTERS:], each)
        for signal, series in ((numerator(rule), sums.series), ("n", sums.per))
    )
    return ratios.ratio_baseline(above, below, rule.volume["n"] / 2, is_count=is_count(rule))
