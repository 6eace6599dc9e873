"""A score whose mean moved: quality, toxicity, satisfaction, or any gauge sent as a score.

The mean over the least of 15 minutes to two hours with `n` scores is compared with the last day
in blocks of the same length. Each block is one draw, and Student's t says how improbable a
further one so far off is: a score that varies from hour to hour must move further. Which way is
worse is known by the score's name (`worse_up`, `worse_down`: shell patterns); a name on neither
list may move either way.
"""

from collections.abc import Sequence
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
from scipy.special import stdtr

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.history.columns import or_zero, sums_in_blocks
from tocsin.flow.baseline.history.sketch_history import LONGEST_S, QUARTER_S
from tocsin.flow.baseline.stats.e_values import FITTED
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Baseline, Floats, Ints, Unit, split_series

#: The sum of scores counts thousandths.
_SCALE: Final = 1000.0
_DAY_QUARTERS: Final = 96


class Worse(IntEnum):
    """Which way a score gets worse: the sign of a move for the worse."""

    UP = 1
    DOWN = -1
    EITHER = 0


def judge(series: Series) -> Verdicts:
    """Every score with volume and a baseline, and those that have an alert."""
    rule = series.rule
    series, width, n, mean = _means(series)
    if not len(series):
        return NOTHING
    usual, error, blocks = _usual(series, width, n)
    direction = _directions(series)
    move, either = mean - usual, direction == Worse.EITHER
    worse = np.where(either, np.abs(move), move * direction)
    least = np.fmax(rule.effect["add"], (rule.effect["ratio"] - 1) * np.abs(usual))
    known = np.isfinite(usual)
    p = stdtr(np.maximum(blocks - 1, 1), -worse / error)
    p = np.where(either, np.minimum(2 * p, 1.0), p)
    bound = usual + np.where(either, np.sign(move), direction) * least

    def sentence(i: int) -> str:
        text = f"{series.name(i)}: mean {mean[i]:.3g} over {width[i] / 60:.0f} min"
        if known[i]:
            text += f", {move[i]:+.3g} on {usual[i]:.3g} over the last day"
        return f"{text} (n = {n[i]:,.0f})"

    return Verdicts(
        series.rows,
        breach=known & (worse >= least) & (p <= rule.evidence["p"]),
        clear=known & (worse <= rule.clear.at(0.5) * least),
        observed=mean,
        expected=usual,
        bound=bound,
        n=n.astype(np.int64),
        p=np.where(known, p, np.nan),
        score=np.nan_to_num(worse / least),
        baseline=np.where(known, Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=Unit.SCORE,
        sentence=sentence,
    )


def _means(series: Series) -> tuple[Series, Ints, Floats, Floats]:
    """Those with volume, or with an alert and a score; look-back (s), scores and mean of each."""
    rule = series.rule
    width = np.zeros(len(series), np.int64)
    n, total = np.zeros(len(series)), np.zeros(len(series))
    for seconds in lookback.WIDTHS_S:
        short = n < rule.volume["n"]
        windows = seconds // series.window_s - 1
        for signal, summed in (("n", n), (rule.signal, total)):
            found = series.current(signal) + series.total_before(signal, windows)
            summed[short] = found[short]
        width[short] = seconds
    kept = (n >= rule.volume["n"]) | (series.is_alerting & (n > 0))
    series, width, n, total = series.only(kept), width[kept], n[kept], total[kept]
    return series, width, n, total / np.maximum(n, 1) / _SCALE


def _usual(series: Series, width: Ints, n_now: Floats) -> tuple[Floats, Floats, Floats]:
    """What the mean was over the last day (NaN while not known), in blocks as long as each
    look-back; the standard error of a further block of as many scores as now; how many blocks.
    """
    rule, is_warm = series.rule, series.is_warm
    mean, error = np.full(len(series), np.nan), np.ones(len(series))
    blocks = np.zeros(len(series))
    lag_s = LONGEST_S - series.window_s  # the day ends where the longest look-back begins
    for seconds in np.unique(width).tolist():
        these = np.flatnonzero(width == seconds)
        some = series.only(these)
        score, n = (
            sums_in_blocks(
                or_zero(some.quarters(signal, lag_s, mark=rule.signal)[:, -_DAY_QUARTERS:]),
                seconds // QUARTER_S,
            )
            for signal in (rule.signal, "n")
        )
        enough = n >= rule.volume["n"] / 2
        count = enough.sum(axis=1)
        whole = np.where(enough, n, 0.0).sum(axis=1)
        middle = np.where(enough, score, 0.0).sum(axis=1) / np.maximum(whole, 1) / _SCALE
        off = np.where(enough, score / np.maximum(n, 1) / _SCALE - middle[:, None], 0.0)
        spread = np.sqrt((off**2).sum(axis=1) / np.maximum(count - 1, 1))
        # Blocks may happen to be all equal, and the next one still differs from them: the
        # spread is taken as a fifth of the effect at least.
        spread = np.maximum(spread, rule.effect["add"] / 5)
        known = is_warm[these] & (count >= FITTED) & (whole >= rule.volume["baseline"])
        mean[these] = np.where(known, middle, np.nan)
        # A block of fewer scores than theirs varies more: at most as 1 / sqrt(n) does.
        fewer = np.maximum(whole / np.maximum(count, 1) / np.maximum(n_now[these], 1), 1.0)
        error[these] = spread * np.sqrt(fewer + 1 / np.maximum(count, 1))
        blocks[these] = count
    return mean, error, blocks


def _directions(series: Series) -> Ints:
    """Which way each is worse (a `Worse` each), by the name of the score."""
    up, down = series.rule.options["worse_up"], series.rule.options["worse_down"]
    scores = [split_series(name)[1][-1] for name in series.names]
    return np.array([_direction(score.lower(), up, down) for score in scores], np.int64)


def _direction(score: str, up: Sequence[str], down: Sequence[str]) -> Worse:
    for direction, patterns in ((Worse.UP, up), (Worse.DOWN, down)):
        if any(fnmatchcase(score, pattern) for pattern in patterns):
            return direction
    return Worse.EITHER


DETECTOR = WindowDetector(
    name="level",
    effect={
        "add": 0.05,  # the least move that breaches, in the score's own unit ...
        "ratio": 1.1,  # ... and times the usual mean, if that is more
    },
    evidence={"p": 1e-5},  # chance of a usual block so far off, at most
    volume={
        "n": 30.0,  # scores in the look-back
        "baseline": 200.0,  # scores in the last day
    },
    options={
        "worse_up": [],  # shell patterns of names of scores that get worse by rising
        "worse_down": [],  # of those that get worse by falling
    },
    judge=judge,
    excludes=Excludes.its_signal,
)
