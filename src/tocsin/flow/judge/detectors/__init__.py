"""The detectors of windows: one module a way to look, and the table that names them.

A detector reads a rule and a graded window and says, in columns, which series breach. To add
one: a module here, its row below, and its row in `judge/keys.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tocsin.flow.grade import Graded
from tocsin.flow.grade.catalog import Group
from tocsin.flow.grade.history import SHARE
from tocsin.flow.judge.detectors import flatline, quantile, share, spike, unexpected
from tocsin.flow.judge.rules import RuleSpec
from tocsin.flow.judge.verdicts import Verdicts


def _nothing(rule: RuleSpec) -> str | None:
    del rule
    return None


def _its_signal(rule: RuleSpec) -> str | None:
    return rule.signal


@dataclass(frozen=True, slots=True)
class Windowed:
    """A detector of windows.

    Attributes:
        judge: (rule, graded, groups with an alert) -> verdicts of a closed window.
        judge_open: (rule, graded, rows, values, events) -> verdicts of an open window, for
            signals that can only grow; None = it waits for the close.
        excludes: the baseline that a breach is kept out of: a signal, SHARE, or None.
    """

    judge: Callable[[RuleSpec, Graded, set[Group]], Verdicts]
    judge_open: (
        Callable[[RuleSpec, Graded, np.ndarray, np.ndarray, np.ndarray], Verdicts] | None
    ) = None
    excludes: Callable[[RuleSpec], str | None] = _nothing


WINDOWED: Mapping[str, Windowed] = {
    "flatline": Windowed(flatline.judge, excludes=_its_signal),
    "quantile": Windowed(quantile.judge, excludes=_its_signal),
    "share": Windowed(share.judge, excludes=lambda _: SHARE),
    "spike": Windowed(spike.judge, spike.judge_open, _its_signal),
    "unexpected": Windowed(unexpected.judge, unexpected.judge_open),
}
