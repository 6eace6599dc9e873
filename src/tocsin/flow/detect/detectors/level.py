"""A score whose mean moved: quality, toxicity, satisfaction, or any gauge sent as a score.

The mean over the least of 15 minutes to two hours with `n` scores, against the last day in
blocks of the same length: each block is one draw, and Student's t says how odd a further one
would be, so a score that wanders by the hour must move further. What is worse is known by
name (`worse_up`, `worse_down`: shell patterns); a name on neither list may move either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from scipy.special import stdtr

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import LONGEST_S, QUARTER_S
from tocsin.flow.baseline.stats.e_values import FITTED
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Unit

#: The sum of scores counts thousandths.
_SCALE = 1000.0
_DAY_QUARTERS = 96


@dataclass(frozen=True, slots=True)
class _Level:
    """Columns, one entry a row."""

    rows: np.ndarray
    width: np.ndarray  # s
    n: np.ndarray
    now: np.ndarray
    usual: np.ndarray  # NaN while it is not known
    error: np.ndarray  # standard error of a further block
    blocks: np.ndarray
    sign: np.ndarray  # 1 up is worse, -1 down is worse, 0 both


def judge(series: Series) -> Verdicts:
    """Every score with volume and a baseline, and those that have an alert."""
    rule, graded = series.rule, series.graded
    level = _level(series)
    if not len(level.rows):
        return NOTHING
    move = level.now - level.usual
    worse = np.where(level.sign == 0, np.abs(move), move * level.sign)
    least = np.fmax(rule.effect["add"], (rule.effect["ratio"] - 1) * np.abs(level.usual))
    known = np.isfinite(level.usual)
    p = stdtr(np.maximum(level.blocks - 1, 1), -worse / level.error)
    p = np.where(level.sign == 0, np.minimum(2 * p, 1.0), p)
    breach = known & (worse >= least) & (p <= rule.evidence["p"])
    back = rule.clear.level if rule.clear.level is not None else 0.5
    bound = level.usual + np.where(level.sign == 0, np.sign(move), level.sign) * least

    def sentence(i: int) -> str:
        text = (
            f"{name_of(graded, int(level.rows[i]))}: mean {level.now[i]:.3g} over "
            f"{level.width[i] / 60:.0f} min"
        )
        usual = f", {move[i]:+.3g} on {level.usual[i]:.3g} over the last day" if known[i] else ""
        return f"{text}{usual} (n = {level.n[i]:,.0f})"

    return Verdicts.of(
        level.rows,
        breach=breach,
        clear=known & (worse <= back * least),
        observed=level.now,
        expected=level.usual,
        bound=bound,
        n=level.n.astype(np.int64),
        p=np.where(known, p, np.nan),
        score=np.nan_to_num(worse / least),
        baseline=np.where(known, Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=Unit.SCORE,
        sentence=sentence,
    )


def _level(series: Series) -> _Level:
    rule, graded = series.rule, series.graded
    rows, history = series.rows, graded.history
    width, n, total = (np.zeros(len(rows), kind) for kind in (np.int64, float, float))
    for seconds in lookback.WIDTHS_S:
        short = n < rule.volume["n"]
        windows = seconds // history.window_s - 1
        for into, signal in ((n, "n"), (total, rule.signal)):
            past = history.counts.sums(signal, rows, windows)[:, 0]
            into[short] = (graded.current[signal][rows] + past)[short]
        width[short] = seconds
    alerted = series.at_rows(rows).is_alerting
    kept = (n >= rule.volume["n"]) | (alerted & (n > 0))
    rows, width, n, total = rows[kept], width[kept], n[kept], total[kept]
    usual, error, blocks = _usual(rule, graded, rows, width, n)
    now = total / np.maximum(n, 1) / _SCALE
    return _Level(rows, width, n, now, usual, error, blocks, _signs(rule, graded, rows))


def _usual(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray, now_n: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the day, standard error of a further block of `now_n`, and the number of blocks."""
    history = graded.history
    usual, error, blocks = np.full(len(rows), np.nan), np.ones(len(rows)), np.zeros(len(rows))
    lived = history.age(rows, graded.at) >= min(graded.warmup * history.window_s, lookback.DAY_S)
    before = graded.end - LONGEST_S
    for seconds in np.unique(width).tolist():
        these = np.flatnonzero(width == seconds)
        score, n = (
            _blocks(history.counts.quarters(signal, rows[these], before, rule.signal), seconds)
            for signal in (rule.signal, "n")
        )
        enough = n >= rule.volume["n"] / 2
        count = enough.sum(axis=1)
        whole = np.where(enough, n, 0.0).sum(axis=1)
        mean = np.where(enough, score, 0.0).sum(axis=1) / np.maximum(whole, 1) / _SCALE
        off = np.where(enough, score / np.maximum(n, 1) / _SCALE - mean[:, None], 0.0)
        spread = np.sqrt((off**2).sum(axis=1) / np.maximum(count - 1, 1))
        # Blocks may all be equal, and a score still takes any value: a fifth of the effect.
        spread = np.maximum(spread, rule.effect["add"] / 5)
        known = lived[these] & (count >= FITTED) & (whole >= rule.volume["baseline"])
        usual[these] = np.where(known, mean, np.nan)
        # A block of fewer scores than theirs wanders more, at worst as sampling does.
        fewer = np.maximum(whole / np.maximum(count, 1) / np.maximum(now_n[these], 1), 1.0)
        error[these] = spread * np.sqrt(fewer + 1 / np.maximum(count, 1))
        blocks[these] = count
    return usual, error, blocks


def _blocks(quarters: np.ndarray, seconds: int) -> np.ndarray:
    """Sums over blocks of so many seconds, newest last; an unknown quarter counts nothing."""
    each = seconds // QUARTER_S
    known = np.nan_to_num(quarters[:, -_DAY_QUARTERS:])
    known = known[:, known.shape[1] % each :]
    summed: np.ndarray = known.reshape(len(known), -1, each).sum(axis=2)
    return summed


def _signs(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """Which way is worse, by the name of the score."""
    names = graded.history.catalog.names
    up, down = rule.options["worse_up"], rule.options["worse_down"]
    return np.array([_sign(names[row].rpartition("\x1f")[2], up, down) for row in rows], np.int64)


def _sign(name: str, up: Sequence[str], down: Sequence[str]) -> int:
    low = name.lower()
    for sign, patterns in ((1, up), (-1, down)):
        if any(fnmatchcase(low, pattern) for pattern in patterns):
            return sign
    return 0


DETECTOR = WindowDetector(
    name="level",
    effect={"add": 0.05, "ratio": 1.1},  # in the score's own unit; on the usual mean
    evidence={"p": 1e-5},
    volume={"n": 30.0, "baseline": 200.0},
    options={"worse_up": [], "worse_down": []},  # shell patterns of score names
    judge=judge,
    excludes=Excludes.its_signal,
)
