"""Traffic far below what the clock expects, for a while, outside quiet hours.

The last four blocks of five minutes are compared in every window: three of them, the newest
among them, must be at or below half of what was expected and improbably low each, and
together (`joint`). Where five minutes are not expected to hold `n` events, blocks widen to 15,
30 and 45 minutes, as far as the time of day is known. Nothing is said in an hour that usually
has less than a fifth of the median hour's traffic, in configured quiet hours, or on a holiday.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from tocsin.flow.baseline.expect import local_level
from tocsin.flow.baseline.expect.counts import Expected
from tocsin.flow.baseline.expect.recent import windows_of
from tocsin.flow.baseline.history.calendars import HOUR_S
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.history.history import MINUTES_S
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Baseline, Bools, Floats, Ints, Unit

_BLOCKS, _NEEDED = 4, 3
#: Baselines that know nothing of the time of day.
_NO_CLOCK: Final = (Baseline.NONE, Baseline.LAST_3_HOURS, Baseline.LAST_24_HOURS)
_WIDER: Final = (1, 3, 6, 9)  # times the width: 5, 15, 30, 45 minutes; four fill three hours
#: The screen compares with the highest of what may be expected, and times this.
_SCREEN: Final = 1.3
#: Blocks from which on their own spread tells how traffic varies.
_MIN_PAST_BLOCKS: Final = 8


@dataclass(frozen=True, slots=True)
class _Compared:
    """The last four blocks of each series, newest last, beside what each should have held."""

    ready: Bools  # whether enough is known to judge; if not, the other columns say nothing
    count: Floats  # [series, 4]
    mean: Floats  # [series, 4]: expected
    p: Floats  # [series, 4]: of so low a count or a lower one
    width_s: Ints  # of a block
    baseline: Ints  # a `Baseline` each

    @classmethod
    def nothing(cls, size: int) -> Self:
        """Of `size` series, none of which is ready."""
        blocks, zero = np.full((size, _BLOCKS), np.nan), np.zeros(size, np.int64)
        return cls(np.zeros(size, bool), blocks, blocks.copy(), blocks.copy(), zero, zero.copy())

    def take(self, where: Ints, other: _Compared) -> None:
        """Take over the series at `where` from `other`, those of them that are ready there."""
        ready = where[other.ready]
        for column in fields(self):
            getattr(self, column.name)[ready] = getattr(other, column.name)[other.ready]


def judge(series: Series) -> Verdicts:
    """Every series that fell, and those whose group has an alert."""
    alerting = series.is_alerting
    kept = alerting | _may_have_fallen(series)
    if not kept.any():
        return NOTHING
    series = series.only(kept)
    found = _Compared.nothing(len(series))
    for windows in sorted({max(1, times * _block(series)) for times in _WIDER}):
        left = np.flatnonzero(~found.ready)
        if not len(left) or windows * _BLOCKS * series.window_s > MINUTES_S:
            break
        found.take(left, _compare(series.only(left), windows))
    return _verdicts(series, found, alerting[kept])


def _block(series: Series) -> int:
    """Windows in a block of the rule's width."""
    return windows_of(series.graded, series.rule.effect["width_s"])


def _is_quiet(series: Series) -> Bools:
    """Which may be silent now: by configuration, or because they usually all but are."""
    if series.is_quiet_time:
        return np.ones(len(series), bool)
    usual = series.seasonal(np.array([series.at + series.window_s // 2]))
    rate = np.minimum(usual.rate[:, 0], usual.step[:, 0])
    seasonal = series.graded.history.seasonal
    typical = seasonal.typical(series.rule.signal, series.rows, series.at)
    return rate < series.rule.effect["quiet"] * typical


def _may_have_fallen(series: Series) -> Bools:
    """A cheap screen: which series are worth comparing block by block.

    Their last four blocks, against the busiest of the last three hours and what the clock says.
    """
    if not len(series) or series.is_quiet_time:
        return np.zeros(len(series), bool)
    signal, window_s = series.rule.signal, series.window_s
    past = series.windows_before(signal, _BLOCKS * _block(series) - 1)
    count = past.sum(axis=1) + series.now
    in_hour = HOUR_S // window_s
    hours = series.totals_before(signal, in_hour, MINUTES_S // HOUR_S)
    busiest = hours.max(axis=1) / in_hour
    usual = series.seasonal(np.array([series.at - HOUR_S, series.at]))
    before, by_clock = (np.maximum(usual.rate, usual.step) * window_s).T
    level = np.clip(busiest / np.maximum(or_zero(before), 1e-9), 1.0, local_level.LEVEL_MAX)
    by_clock = or_zero(by_clock) * level
    most = np.maximum(busiest, by_clock) * _BLOCKS * _block(series)
    fell = or_zero(count) <= _SCREEN * series.rule.effect["part"] * most
    fallen: Bools = fell & (most > 0)
    return fallen


def _compare(series: Series, windows: int) -> _Compared:
    """The last four blocks of `windows` windows of each series beside what they should hold."""
    count = _blocks(series, windows)
    before_s = (_BLOCKS * windows - 1) * series.window_s
    expected = series.expected_since(np.full(len(series), before_s))
    mean = _by_clock(series, expected.low * windows, series.at - before_s, windows)
    size = _size(series, windows, expected)
    p = tails.nb_lower(np.nan_to_num(count), np.maximum(mean, 1e-9), size[:, None])
    ready = expected.ready & np.isfinite(count).all(axis=1)
    ready &= mean[:, -1] >= series.rule.volume["n"]
    # Where the time of day is not known only the last hours count, and only for minutes: over
    # hours traffic falls by itself, every evening.
    is_recent = (expected.baseline == Baseline.LAST_3_HOURS) & (windows == _block(series))
    ready &= is_recent | ~np.isin(expected.baseline, _NO_CLOCK)
    width_s = np.full(len(series), windows * series.window_s)
    return _Compared(ready, count, mean, p, width_s, expected.baseline)


def _by_clock(series: Series, mean: Floats, start: int, windows: int) -> Floats:
    """[series, 4]: the mean block, given to the four blocks from `start` on as the clock has it.

    Alike, where the time of day is not known.
    """
    centres = start + (np.arange(_BLOCKS) * windows + windows / 2) * series.window_s
    usual = series.seasonal(centres.astype(np.int64))
    clock = np.minimum(usual.rate, usual.step) * windows * series.window_s
    # The mean is at the level of the hours before the blocks; the clock says how they differ.
    whole = np.maximum(np.nanmean(np.nan_to_num(clock), axis=1), 1e-9)
    known = (usual.kind != Baseline.NONE)[:, None] & np.isfinite(clock)
    even = np.repeat(mean[:, None], _BLOCKS, axis=1)
    return np.where(known, even * clock / whole[:, None], even)


def _blocks(series: Series, windows: int) -> Floats:
    """Counts of the last four blocks, this window included; NaN where a window is unknown."""
    past = series.windows_before(series.rule.signal, _BLOCKS * windows - 1)
    values = np.concatenate([past, series.now[:, None]], axis=1)
    missing = _BLOCKS * windows - values.shape[1]
    if missing:
        values = np.concatenate([np.full((len(series), missing), np.nan), values], axis=1)
    blocks: Floats = values.reshape(len(series), _BLOCKS, windows).sum(axis=2)
    return blocks


def _size(series: Series, windows: int, expected: Expected) -> Floats:
    """Negative-binomial size of blocks, from the blocks before those under judgement.

    The trend over them is taken out first: a ramp is the clock's, and no sign that traffic varies.
    """
    values = series.graded.history.counts.minutes(series.rule.signal, series.rows)
    values = values[:, : values.shape[1] - (_BLOCKS * windows - 1)]
    blocks = values.shape[1] // windows
    if blocks < _MIN_PAST_BLOCKS:
        return expected.size
    values = values[:, values.shape[1] - blocks * windows :]
    sums = values.reshape(len(series), blocks, windows).sum(2)
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
    size = tails.nb_size(np.maximum(mean, 1e-9), rest)
    return np.where(n >= _MIN_PAST_BLOCKS, size, expected.size)


def _verdicts(series: Series, found: _Compared, alerting: Bools) -> Verdicts:
    rule = series.rule
    part = np.divide(
        found.count, found.mean, out=np.full(found.count.shape, np.nan), where=found.mean > 0
    )
    awake = found.ready & ~_is_quiet(series)
    low = (part <= rule.effect["part"]) & (found.p <= rule.evidence["p"])
    ranked = np.sort(np.where(low, np.maximum(found.p, 1e-300), 1.0), axis=1)
    joint = np.exp(np.log(ranked[:, :_NEEDED]).sum(axis=1))
    breach = awake & low[:, -1] & (low.sum(axis=1) >= _NEEDED)
    breach &= joint <= rule.evidence["joint"]
    clear = found.ready & (part[:, -1] >= rule.clear.at((1 + rule.effect["part"]) / 2))
    now, mean = found.count[:, -1], found.mean[:, -1]

    def sentence(i: int) -> str:
        left = now[i] / max(mean[i], 1e-9)
        return (
            f"{series.name(i)}: {now[i]:.0f} events in "
            f"{found.width_s[i] / 60:.0f} min, {left:.0%} of the expected {mean[i]:,.0f}"
        )

    return Verdicts(
        series.rows,
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
        suspect=(awake & low[:, -1]) | (alerting & found.ready & ~clear),
    )


DETECTOR = WindowDetector(
    name="drop",
    effect={
        "part": 0.5,  # of what the clock expects, 0..1
        "width_s": 300.0,  # of a block, s; blocks widen until `n` events are expected
        "quiet": 0.2,  # hours that usually have less than this part of the median hour are quiet
    },
    evidence={
        "p": 1e-3,  # of so low a block
        "joint": 1e-6,  # of the three lowest blocks together
    },
    volume={"n": 50.0},  # events expected in the newest block
    judge=judge,
    excludes=Excludes.its_signal,
)
