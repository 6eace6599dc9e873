"""Episodes: of a run of surprising values the first is reported, then only new records.

The surprise of a reported value is lowered by how often its series had such peaks before: a
false-alarm governor of every series, fitted to itself.
"""

import numpy as np

from tocsin.flow.baseline.residual.shape import Shape
from tocsin.types import Floats, Ints

State = dict[str, np.ndarray]

#: Heights at which earlier episodes are counted: from _LOWEST in steps of _STEP.
LEVELS, _LOWEST, _STEP = 40, -2.0, 0.25
#: An episode lasts while values keep within this of its record, and then so many values more:
#: a share of all that were seen, from _SHORTEST to `Shape.longest`.
_BELOW_RECORD = 1.0
_SHARE, _SHORTEST = 0.03, 10
#: For so many values after an alert, what is reported must exceed the record by `Shape.again`,
#: and raises no alert of its own.
APART = 30
_FADE_DAYS = 14.0  # half-life of the counts of earlier episodes
#: Part of the excess of peaks, in decades, that is taken off a surprise; peaks a day that any
#: series may have; days without a peak that a series starts with.
_WEIGHT, _USUAL, _PRIOR_DAYS = 0.9, 0.1, 5.0
_SUREST = 9.0


def fade(shape: Shape, state: State, ticks: int) -> None:
    """Decay the counts of earlier episodes by `ticks`; called at each update."""
    factor = np.float32(0.5 ** (ticks / (_FADE_DAYS * shape.day)))
    state["peaks"] *= factor


def single_out(
    shape: Shape, state: State, surprise: Floats, count: Ints, tick: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of `surprise` [rows, T]: what is left of it, whether it is reported, whether it alerts.

    `count` [rows, T] is how many values each series had. Values that open no episode pass
    unchanged. Only the others, which are rare, are visited one by one.
    """
    left = surprise.copy()
    reported = np.ones(surprise.shape, bool)
    alert = np.zeros(surprise.shape, bool)
    for column, row in zip(*np.nonzero((surprise >= shape.opens).T), strict=True):
        height, now = float(surprise[row, column]), tick + int(column)
        seen = int(count[row, column])
        length = max(_SHORTEST, min(_SHARE * seen, shape.longest))
        record, age = float(state["record"][row]), now - int(state["last"][row])
        within = age <= length
        soon = now - int(state["alerted"][row]) <= APART
        if (within and height < record + shape.margin) or (soon and height < record + shape.again):
            reported[row, column] = False
            if height >= record - _BELOW_RECORD:
                state["last"][row] = now
            continue
        left[row, column] = height - _deduction(shape, state, row, height, seen, within=within)
        top = max(height, record) if within else height
        _count(state, row, top, within=within)
        state["record"][row], state["last"][row] = top, now
        if left[row, column] >= shape.level and now - state["alerted"][row] > APART:
            alert[row, column] = True
            state["alerted"][row] = now
    return left, reported, alert


def _level(height: float) -> int:
    return min(max(int((height - _LOWEST) / _STEP), 0), LEVELS - 1)


def _deduction(
    shape: Shape, state: State, row: int, height: float, seen: int, *, within: bool
) -> float:
    """What earlier episodes of this height or more take off; this episode is none of them.

    A height claims a rate of one such peak in 10 ** height days; the deduction grows with the
    ratio of the observed rate to the claimed one.
    """
    lowest = _level(height - _STEP)
    earlier = float(state["peaks"][row, lowest:].sum())
    if within and int(state["peak"][row]) >= lowest:
        earlier = max(earlier - 1.0, 0.0)
    days = min(seen / shape.day, 1.44 * _FADE_DAYS) + _PRIOR_DAYS
    claimed = min(_USUAL, 10.0 ** -min(height, _SUREST))
    return _WEIGHT * float(np.log10(1.0 + earlier / days / claimed))


def _count(state: State, row: int, top: float, *, within: bool) -> None:
    level = _level(top)
    if within:
        before = int(state["peak"][row])
        state["peaks"][row, before] = max(state["peaks"][row, before] - 1.0, 0.0)
    state["peaks"][row, level] += 1.0
    state["peak"][row] = level
