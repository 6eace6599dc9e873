"""The detectors of windows: one module a way to look, and the table that names them.

A detector reads a rule and a graded window and says, in columns, which series breach. To add
one: a module here, its row below, and its row in `rules/keys.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.count_history import SHARE
from tocsin.flow.detect.detectors import (
    budget,
    drop,
    error_class,
    flatline,
    level,
    newcomer,
    peak,
    quantile,
    rate,
    ratio,
    residual,
    share,
    slo,
    spike,
    stage,
    surge,
    tail,
    unexpected,
)
from tocsin.flow.detect.verdicts import Verdicts
from tocsin.flow.rules.spec import RuleSpec


def _nothing(rule: RuleSpec) -> str | None:
    del rule
    return None


def _its_signal(rule: RuleSpec) -> str | None:
    return rule.signal


def _its_views(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    return {rule.signal: rule.views}


@dataclass(frozen=True, slots=True)
class Windowed:
    """A detector of windows.

    Attributes:
        judge: (rule, graded, groups with an alert) -> verdicts of a closed window.
        judge_open: (rule, graded, rows, values, events) -> verdicts of an open window, for
            signals that can only grow; None = it waits for the close.
        excludes: the baseline that a breach is kept out of: a signal, SHARE, or None.
        reads: the distributions whose past it needs, and of which views.
    """

    judge: Callable[[RuleSpec, Graded, set[Group]], Verdicts]
    judge_open: (
        Callable[[RuleSpec, Graded, np.ndarray, np.ndarray, np.ndarray], Verdicts] | None
    ) = None
    excludes: Callable[[RuleSpec], str | None] = _nothing
    reads: Callable[[RuleSpec], Mapping[str, Collection[str]]] = _its_views


WINDOWED: Mapping[str, Windowed] = {
    "budget": Windowed(budget.judge, reads=budget.reads),
    "error_class": Windowed(error_class.judge, excludes=_its_signal, reads=error_class.reads),
    "drop": Windowed(drop.judge, excludes=_its_signal),
    "flatline": Windowed(flatline.judge, excludes=_its_signal),
    "level": Windowed(level.judge, excludes=_its_signal),
    "peak": Windowed(peak.judge),
    "quantile": Windowed(quantile.judge, excludes=_its_signal, reads=quantile.reads),
    "rate": Windowed(rate.judge, excludes=_its_signal),
    "ratio": Windowed(ratio.judge, excludes=_its_signal, reads=ratio.reads),
    "residual": Windowed(residual.judge),
    "share": Windowed(share.judge, excludes=lambda _: SHARE),
    "slo": Windowed(slo.judge, reads=slo.reads),
    "newcomer": Windowed(newcomer.judge),
    "surge": Windowed(surge.judge, excludes=_its_signal),
    "spike": Windowed(spike.judge, spike.judge_open, _its_signal),
    "stage": Windowed(stage.judge, reads=stage.reads),
    "tail": Windowed(tail.judge),
    "unexpected": Windowed(unexpected.judge, unexpected.judge_open),
}
