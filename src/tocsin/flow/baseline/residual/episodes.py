"""Once an episode: of a run of surprising values, the first is given, then only new records.

Each given value also stands back behind the past: a series that had such peaks before has less
to say with the next one (a false-alarm governor for every series, learnt from itself).
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.residual.shape import Shape

State = dict[str, np.ndarray]

#: Heights at which past episodes are counted: from _LOWEST in steps of _STEP.
LEVELS, _LOWEST, _STEP = 40, -2.0, 0.25
#: An episode lasts while values keep within this of its record, and then so many values more:
#: a share of all that were seen, from _SHORTEST to `Shape.longest`.
_NEAR = 1.0
_SHARE, _SHORTEST = 0.03, 10
#: For so many values after an alert, what is given again must be more surprising by `again`, and
#: is no alert of its own.
APART = 30
_FADE_DAYS = 14.0  # half-life of what is known of past episodes
#: How far a peak stands back behind the rate of its like, 1 = down to that rate; peaks a day
#: that any series may have; days of having none that a series starts with.
_WEIGHT, _USUAL, _PRIOR_DAYS = 0.9, 0.1, 5.0
_SUREST = 9.0


def fade(shape: Shape, state: State, ticks: int) -> None:
    """Forget past episodes a little; called at each lesson."""
    factor = np.float32(0.5 ** (ticks / (_FADE_DAYS * shape.day)))
    state["peaks"] *= factor


def single_out(
    shape: Shape, state: State, surprise: np.ndarray, count: np.ndarray, tick: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of `surprise` [rows, T]: what is left of it, whether it is given, whether it alerts.

    `count` [rows, T] is how many values each series had. Values that open no episode pass
    unchanged. Only the others are walked through one by one: they are rare.
    """
    left = surprise.copy()
    given = np.ones(surprise.shape, bool)
    alert = np.zeros(surprise.shape, bool)
    for column, row in zip(*np.nonzero((surprise >= shape.opens).T), strict=True):
        height, now = float(surprise[row, column]), tick + int(column)
        seen = int(count[row, column])
        length = max(_SHORTEST, min(_SHARE * seen, shape.longest))
        record, age = float(state["record"][row]), now - int(state["last"][row])
        within = age <= length
        told = now - int(state["alerted"][row]) <= APART
        if (within and height < record + shape.margin) or (told and height < record + shape.again):
            given[row, column] = False
            if height >= record - _NEAR:
                state["last"][row] = now
            continue
        left[row, column] = height - _behind(shape, state, row, height, seen, within=within)
        top = max(height, record) if within else height
        _count(state, row, top, within=within)
        state["record"][row], state["last"][row] = top, now
        if left[row, column] >= shape.level and now - state["alerted"][row] > APART:
            alert[row, column] = True
            state["alerted"][row] = now
    return left, given, alert


def _level(height: float) -> int:
    return min(max(int((height - _LOWEST) / _STEP), 0), LEVELS - 1)


def _behind(
    shape: Shape, state: State, row: int, height: float, seen: int, *, within: bool
) -> float:
    """What past episodes of this height or more take off; this episode is none of them.

    A height says how often its like should come: once in 10 ** height days. Where they came more
    often, the height was wrong, and the more so the more it promised.
    """
    lowest = _level(height - _STEP)
    past = float(state["peaks"][row, lowest:].sum())
    if within and int(state["peak"][row]) >= lowest:
        past = max(past - 1.0, 0.0)
    days = min(seen / shape.day, 1.44 * _FADE_DAYS) + _PRIOR_DAYS
    promised = min(_USUAL, 10.0 ** -min(height, _SUREST))
    return _WEIGHT * float(np.log10(1.0 + past / days / promised))


def _count(state: State, row: int, top: float, *, within: bool) -> None:
    level = _level(top)
    if within:
        before = int(state["peak"][row])
        state["peaks"][row, before] = max(state["peaks"][row, before] - 1.0, 0.0)
    state["peaks"][row, level] += 1.0
    state["peak"][row] = level
