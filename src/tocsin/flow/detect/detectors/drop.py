"""Traffic far below what the clock expects, for a while, outside quiet hours.

The last four blocks of five minutes are looked at in every window: three of them, the newest
among them, must be at or below half of what was expected and improbably low each, and
together (`joint`). Where five minutes are not expected to hold `n` events, blocks widen to 15,
30 and 45 minutes, as far as the time of day is known. Nothing is said in an hour that usually
has less than a fifth of the median hour's traffic, in configured quiet hours, or on a holiday.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.expect import local_level
from tocsin.flow.baseline.expect.counts import Expected, expect
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.calendars import HOUR_S
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.history.history import MINUTES_S
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Unit

_BLOCKS, _NEEDED = 4, 3
#: Baselines that know nothing of the time of day.
_NO_CLOCK = (Baseline.NONE, Baseline.LAST_3_HOURS, Baseline.LAST_24_HOURS)
_WIDER = (1, 3, 6, 9)  # times the width: 5, 15, 30, 45 minutes; four of them fill three hours
_CANDIDATE = 1.3  # a first look at one window is coarser than the judgement by so much


@dataclass(frozen=True, slots=True)
class _Look:
    """Per row: counts of the four blocks, newest last, and what each was expected to hold."""

    count: np.ndarray  # float64 [rows, 4]
    mean: np.ndarray
    p: np.ndarray
    width_s: int
    baseline: np.ndarray
    ready: np.ndarray


def judge(series: Series) -> Verdicts:
    """Every series that fell, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    alerted = series.at_rows(rows).is_alerting
    keep = alerted | _may_have_fallen(rule, graded, rows)
    if not keep.any():
        return NOTHING
    rows, alerted = rows[keep], alerted[keep]
    widths = sorted({max(1, w * _width(rule, graded)) for w in _WIDER})
    found = _nothing(len(rows))
    for width in widths:
        left = np.flatnonzero(~found.ready)
        if not len(left) or width * _BLOCKS * graded.history.window_s > MINUTES_S:
            break
        _fill(found, left, _look(rule, graded, rows[left], width))
    return _verdicts(rule, graded, rows, found, alerted)


@dataclass(slots=True)
class _Found:
    ready: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    p: np.ndarray
    width_s: np.ndarray
    baseline: np.ndarray


def _nothing(rows: int) -> _Found:
    blocks = np.full((rows, _BLOCKS), np.nan)
    zero = np.zeros(rows, np.int64)
    return _Found(np.zeros(rows, bool), blocks, blocks.copy(), blocks.copy(), zero, zero.copy())


def _fill(found: _Found, left: np.ndarray, look: _Look) -> None:
    """Take over what a look at some rows is sure enough about."""
    ready = left[look.ready]
    found.ready[ready] = True
    found.width_s[ready] = look.width_s
    for name in ("count", "mean", "p", "baseline"):
        getattr(found, name)[ready] = getattr(look, name)[look.ready]


def _width(rule: RuleSpec, graded: Graded) -> int:
    """Windows in a block."""
    return max(1, int(rule.effect["width_s"]) // graded.history.window_s)


def _is_quiet(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """Which rows may be silent now: by configuration, or by their own habit."""
    history, at = graded.history, graded.at
    calendar = history.weeks.calendar
    if calendar.is_quiet(at) or calendar.is_holiday(at):
        return np.ones(len(rows), bool)
    now = history.seasonal.rates(rule.signal, rows, np.array([at + history.window_s // 2]))
    rate = np.minimum(now.rate[:, 0], now.step[:, 0])
    quiet: np.ndarray = rate < rule.effect["quiet"] * history.seasonal.typical(
        rule.signal, rows, at
    )
    return quiet


def _may_have_fallen(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """A cheap first look: which rows are worth a judgement."""
    if not len(rows):
        return np.zeros(0, bool)
    history, width = graded.history, _width(rule, graded)
    calendar = history.weeks.calendar
    if calendar.is_quiet(graded.at) or calendar.is_holiday(graded.at):
        return np.zeros(len(rows), bool)
    past = history.counts.trailing(rule.signal, rows, _BLOCKS * width - 1)
    span = past.sum(axis=1) + graded.current[rule.signal][rows]
    hour = HOUR_S // history.window_s
    hours = history.counts.sums(rule.signal, rows, hour, history.width // hour)
    usual = hours.max(axis=1) / hour
    curve = history.seasonal.rates(rule.signal, rows, np.array([graded.at - HOUR_S, graded.at]))
    before, clock = (np.maximum(curve.rate, curve.step) * history.window_s).T
    level = np.clip(usual / np.maximum(or_zero(before), 1e-9), 1.0, local_level.LEVEL_MAX)
    clock = or_zero(clock) * level
    most = np.maximum(usual, clock) * 4 * width
    fell = or_zero(span) <= _CANDIDATE * rule.effect["part"] * most
    found: np.ndarray = fell & (most > 0)
    return found


def _look(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: int) -> _Look:
    """The last four blocks of `width` windows of each row beside what they should hold."""
    history = graded.history
    count = _blocks(rule, graded, rows, width)
    before = (_BLOCKS * width - 1) * history.window_s
    quiet = np.full(len(rows), before)
    start = graded.at - before  # the first of the blocks' windows
    expected = expect(history, rule.signal, rows, at=graded.at, warmup=graded.warmup, quiet=quiet)
    mean = np.repeat(expected.low[:, None] * width, _BLOCKS, axis=1)
    centres = start + (np.arange(_BLOCKS) * width + width / 2) * history.window_s
    curve = history.seasonal.rates(rule.signal, rows, centres.astype(np.int64))
    clock = np.minimum(curve.rate, curve.step) * width * history.window_s
    # The level is that before the blocks, so a habit's share of them is all that differs.
    whole = np.maximum(np.nanmean(np.nan_to_num(clock), axis=1), 1e-9)
    by_clock = (curve.kind != Baseline.NONE)[:, None] & np.isfinite(clock)
    mean = np.where(by_clock, mean * clock / whole[:, None], mean)
    size = _size(rule, graded, rows, width, expected)
    p = tails.nb_lower(np.nan_to_num(count), np.maximum(mean, 1e-9), size[:, None])
    ready = expected.ready & np.isfinite(count).all(axis=1)
    ready &= mean[:, -1] >= rule.volume["n"]
    # Without a word on this time of day only the last hours count, and only for minutes: over
    # hours traffic falls by itself, every evening.
    recent = (expected.baseline == Baseline.LAST_3_HOURS) & (width == _width(rule, graded))
    ready &= recent | ~np.isin(expected.baseline, _NO_CLOCK)
    return _Look(count, mean, p, width * history.window_s, expected.baseline, ready)


def _blocks(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: int) -> np.ndarray:
    """Counts of the last four blocks, this window included; NaN where a window is unknown."""
    past = graded.history.counts.trailing(rule.signal, rows, _BLOCKS * width - 1)
    now = graded.current[rule.signal][rows][:, None]
    values = np.concatenate([past, now], axis=1)
    missing = _BLOCKS * width - values.shape[1]
    if missing:
        values = np.concatenate([np.full((len(rows), missing), np.nan), values], axis=1)
    blocks: np.ndarray = values.reshape(len(rows), _BLOCKS, width).sum(axis=2)
    return blocks


def _size(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, width: int, expected: Expected
) -> np.ndarray:
    """Negative-binomial size of blocks, from the blocks before those under judgement.

    A straight line is taken out first: a ramp is the clock's, not the traffic's unrest.
    """
    history = graded.history
    values = history.counts.minutes(rule.signal, rows, 0)
    values = values[:, : values.shape[1] - (_BLOCKS * width - 1)]
    blocks = values.shape[1] // width
    if blocks < 8:
        return expected.size
    sums = values[:, values.shape[1] - blocks * width :].reshape(len(rows), blocks, width).sum(2)
    known = np.isfinite(sums)
    n = known.sum(axis=1)
    x = np.where(known, np.arange(blocks), 0.0)
    y = np.where(known, sums, 0.0)
    safe = np.maximum(n, 1)
    mean = y.sum(axis=1) / safe
    dx = np.where(known, x - (x.sum(axis=1) / safe)[:, None], 0.0)
    dy = np.where(known, y - mean[:, None], 0.0)
    slope = (dx * dy).sum(axis=1) / np.maximum((dx * dx).sum(axis=1), 1e-9)
    rest = ((dy - slope[:, None] * dx) ** 2).sum(axis=1) / np.maximum(n - 2, 1)
    return np.where(n >= 8, tails.nb_size(np.maximum(mean, 1e-9), rest), expected.size)


def _verdicts(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, found: _Found, alerted: np.ndarray
) -> Verdicts:
    part = np.divide(
        found.count, found.mean, out=np.full(found.count.shape, np.nan), where=found.mean > 0
    )
    awake = found.ready & ~_is_quiet(rule, graded, rows)
    low = (part <= rule.effect["part"]) & (found.p <= rule.evidence["p"])
    worst = np.sort(np.where(low, np.maximum(found.p, 1e-300), 1.0), axis=1)
    joint = np.exp(np.log(worst[:, :_NEEDED]).sum(axis=1))
    breach = awake & low[:, -1] & (low.sum(axis=1) >= _NEEDED)
    breach &= joint <= rule.evidence["joint"]
    level = rule.clear.level if rule.clear.level is not None else (1 + rule.effect["part"]) / 2
    clear = found.ready & (part[:, -1] >= level)
    now, mean = found.count[:, -1], found.mean[:, -1]

    def sentence(i: int) -> str:
        left = now[i] / max(mean[i], 1e-9)
        return (
            f"{name_of(graded, int(rows[i]))}: {now[i]:.0f} events in "
            f"{found.width_s[i] / 60:.0f} min, {left:.0%} of the expected {mean[i]:,.0f}"
        )

    return Verdicts.of(
        rows,
        breach=breach,
        clear=clear | (found.ready & ~awake),
        observed=now,
        expected=np.where(found.ready, mean, np.nan),
        bound=np.where(found.ready, mean * rule.effect["part"], np.nan),
        n=np.nan_to_num(now).astype(np.int64),
        p=np.where(found.ready, np.where(breach, joint, found.p[:, -1]), np.nan),
        score=np.where(found.ready, rule.effect["part"] * mean / np.maximum(now, 1.0), 0.0),
        baseline=found.baseline,
        unit=Unit.EVENTS,
        sentence=sentence,
        suspect=(awake & low[:, -1]) | (alerted & found.ready & ~clear),
    )


DETECTOR = WindowDetector(
    name="drop",
    effect={
        "part": 0.5,  # of what the clock expects
        "width_s": 300.0,  # of a block; blocks widen until `n` events are expected
        "quiet": 0.2,  # hours below this part of the median hour are quiet
    },
    evidence={"p": 1e-3, "joint": 1e-6},  # of a block, of three together
    volume={"n": 50.0},
    judge=judge,
    excludes=Excludes.its_signal,
)
