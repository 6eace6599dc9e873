"""A mix that moved: the parts of a whole over the last quarter-hour against the last week.

Usual is the median of the daily shares at this time of day over seven days, as soon as three
are known; before that the last day as a whole. "This time" is the hour, the one before and the
one after, and all three together: what is usual in one of them is no news, so a batch that
takes another model on the stroke of two is none. The parts of a whole are the series of a view
that differ in the view's last dimension only (the models of a service, the models of a route).
Windows widen from 15 to 60 minutes until there is volume. Quarter-hours of a mix that has surely
begun to move, and half as far as it takes, are not learned from: the first bad one is not normal
either.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.history.count_history import SHARE
from tocsin.flow.baseline.stats.shares import g_test, js_distance, over_dispersion, shift_bound
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import Baseline, Contributor, Unit

_WIDTHS_S = (900, 1800, 3600)
_RECENT_S = 3600  # the baseline ends an hour before now
_DAY_S = 86_400
_DAYS, _LEAST_DAYS = 7, 3


@dataclass(frozen=True, slots=True)
class _Mix:
    """One whole: its parts, lead part first when judged."""

    rows: np.ndarray
    now: np.ndarray
    before: np.ndarray
    lead: int
    shift: float
    bound: float
    p: float
    distance: float
    ready: bool
    n: float  # events of the whole now
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class _Past:
    """Counts of each row: by quarter-hours of the last day, and at this time of each day."""

    quarters: np.ndarray  # float64 [rows, 96]; NaN where unknown or not to learn from
    days: np.ndarray  # float64 [rows, 7, 3 hours]
    age_s: np.ndarray  # how long each row is known


@dataclass(frozen=True, slots=True)
class _Usual:
    """What one whole was made of: shares, out of how many events, how much they wander."""

    share: np.ndarray
    m: float
    series: np.ndarray  # counts [parts, times] that the shares vary over
    baseline: Baseline


def judge(series: Series) -> Verdicts:
    """Every whole whose mix moved, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    wholes = _wholes(graded, rows)
    now, n = _recent(rule, graded, rows, wholes)
    history = graded.history
    quarters = history.counts.quarters("n", rows, graded.at - _RECENT_S, mark=SHARE)[:, -96:]
    past = _Past(
        quarters,
        history.weeks.same_time("n", rows, graded.at, _DAYS),
        history.age(rows, graded.at),
    )
    keep = series.at_rows(rows).is_alerting
    mixes = []
    for parts in wholes:
        if n[parts[0]] < rule.volume["n"]:
            continue
        mix = _mix(rule, graded, rows, parts, now, past)
        if mix.shift >= rule.effect["points"] / 2 or keep[parts].any():
            mixes.append(mix)
    return _verdicts(rule, graded, mixes) if mixes else NOTHING


def _wholes(graded: Graded, rows: np.ndarray) -> list[np.ndarray]:
    """Positions in `rows` of the parts of each whole, in order of the whole's name."""
    found: dict[str, list[int]] = defaultdict(list)
    names = graded.history.catalog.names
    for i, row in enumerate(rows):
        found[names[row].rpartition("\x1f")[0]].append(i)
    return [
        np.array(sorted(parts, key=lambda i: names[rows[i]])) for _, parts in sorted(found.items())
    ]


def _recent(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, wholes: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Events of each part, and of its whole, over the narrowest width with volume."""
    history = graded.history
    whole_of = np.zeros(len(rows), np.int64)
    for number, parts in enumerate(wholes):
        whole_of[parts] = number
    now, n = np.zeros(len(rows)), np.zeros(len(rows))
    for width in _WIDTHS_S:
        short = n < rule.volume["n"]
        windows = width // history.window_s - 1
        part = graded.current["n"][rows] + history.counts.sums("n", rows, windows)[:, 0]
        whole = np.bincount(whole_of, part, minlength=len(wholes))[whole_of] if len(rows) else part
        now, n = np.where(short, part, now), np.where(short, whole, n)
    return now, n


def _mix(
    rule: RuleSpec,
    graded: Graded,
    rows: np.ndarray,
    parts: np.ndarray,
    now: np.ndarray,
    past: _Past,
) -> _Mix:
    n = now[parts].sum()
    share = now[parts] / max(n, 1.0)
    usual = _usual(rule, past, parts, share)
    m, shifts = usual.m, share - usual.share
    # The greatest gain leads; of equal ones the first by name.
    lead = int(np.argmax(np.round(shifts, 12)))
    old = past.age_s[parts].max() >= min(graded.warmup * graded.history.window_s, _DAY_S)
    ready = bool(m >= rule.volume["baseline"] and old)
    shift = float(shifts[lead])
    bound, p, distance = float("nan"), 1.0, 0.0
    if ready and shift >= rule.effect["points"] / 2:
        rho = over_dispersion(usual.series[lead], usual.series.sum(axis=0))
        bound = shift_bound(share[lead], n, usual.share[lead], m, rho, rule.evidence["bound_p"])
        p, distance = g_test(now[parts], usual.share * m), js_distance(share, usual.share)
    return _Mix(
        rows[parts], share, usual.share, lead, shift, bound, p, distance, ready, float(n),
        usual.baseline,
    )  # fmt: skip


def _usual(rule: RuleSpec, past: _Past, parts: np.ndarray, share: np.ndarray) -> _Usual:
    """Of what is usual about this time, the nearest; the last day while too few days are known."""
    nearest: _Usual | None = None
    if past.age_s[parts].max() >= _LEAST_DAYS * _DAY_S:
        hours = past.days[parts]
        here = hours.shape[2] // 2
        for days in (hours[:, :, here], hours.sum(axis=2), hours[:, :, 0], hours[:, :, -1]):
            usual = _by_days(rule, past, parts, days)
            if usual is None:
                continue
            if nearest is None or _gain(share, usual) < _gain(share, nearest):
                nearest = usual
            if _gain(share, nearest) < rule.effect["points"] / 2:
                break  # near enough: nothing has moved
    if nearest is not None:
        return nearest
    series = or_zero(past.quarters[parts])
    before = series.sum(axis=1)
    return _Usual(before / max(before.sum(), 1.0), before.sum(), series, Baseline.LAST_24_HOURS)


def _gain(share: np.ndarray, usual: _Usual) -> float:
    return float((share - usual.share).max())


def _by_days(rule: RuleSpec, past: _Past, parts: np.ndarray, days: np.ndarray) -> _Usual | None:
    """The median of the shares in `days` [parts, days]; None where too few are known."""
    ago = np.arange(_DAYS, 0, -1)
    missing = np.isnan(days) & (past.age_s[parts][:, None] >= ago * _DAY_S)
    counts = or_zero(days)
    whole = counts.sum(axis=0)
    known = (whole >= rule.volume["n"]) & ~missing.any(axis=0)
    if known.sum() < _LEAST_DAYS or whole[known].sum() < rule.volume["baseline"]:
        return None
    share = np.median(counts[:, known] / whole[known], axis=1)
    total = share.sum()
    if not total:
        return None
    return _Usual(share / total, whole[known].sum(), counts[:, known], Baseline.HOUR_OF_DAY)


def _verdicts(rule: RuleSpec, graded: Graded, mixes: list[_Mix]) -> Verdicts:
    level = rule.clear.level if rule.clear.level is not None else rule.effect["points"] / 2
    leads = np.array([mix.rows[mix.lead] for mix in mixes], np.int64)
    breach = [
        mix.ready
        and mix.shift >= rule.effect["points"]
        and mix.bound >= rule.effect["bound"]
        and mix.p <= rule.evidence["p"]
        and mix.distance >= rule.effect["distance"]
        for mix in mixes
    ]

    def sentence(i: int) -> str:
        mix = mixes[i]
        dim = DIMS[rule.views[0]][-1]
        whole = name_of(graded, int(leads[i])).rpartition(f" {dim} ")[0]
        value = graded.history.catalog.dims(int(leads[i]))[dim]
        return (
            f"{whole}: {dim} {value} now takes {mix.now[mix.lead]:.0%}, "
            f"was {mix.before[mix.lead]:.0%} ({mix.shift * 100:+.0f} points)"
        )

    def top(i: int) -> tuple[Contributor, ...]:
        return _parts(graded, mixes[i], DIMS[rule.views[0]][-1])

    def column(values: list[float]) -> np.ndarray:
        return np.array(values, float)

    return Verdicts.of(
        leads,
        breach=np.array(breach, bool),
        clear=np.array([mix.ready and mix.shift <= level for mix in mixes], bool),
        observed=column([mix.now[mix.lead] for mix in mixes]),
        expected=column([mix.before[mix.lead] if mix.ready else np.nan for mix in mixes]),
        bound=column([mix.before[mix.lead] + rule.effect["points"] for mix in mixes]),
        n=np.array([round(mix.n) for mix in mixes], np.int64),
        p=column([mix.p if mix.ready else np.nan for mix in mixes]),
        score=column([mix.shift / rule.effect["points"] for mix in mixes]),
        baseline=np.array(
            [mix.baseline if mix.ready else Baseline.NONE for mix in mixes], np.int64
        ),
        unit=Unit.SHARE,
        sentence=sentence,
        top=top,
        spoilt=_spoilt(mixes, breach, level),
    )


def _spoilt(mixes: list[_Mix], breach: list[bool], level: float) -> np.ndarray:
    """All parts of the wholes that moved, or surely are about to."""
    moved = [
        mix.rows
        for mix, bad in zip(mixes, breach, strict=True)
        if bad or (mix.ready and mix.shift >= level and mix.bound > 0)
    ]
    return np.concatenate(moved) if moved else np.empty(0, np.int64)


def _parts(graded: Graded, mix: _Mix, dim: str) -> tuple[Contributor, ...]:
    """The parts that gained, each with its part of all that was gained."""
    gain = np.maximum(mix.now - mix.before, 0.0)
    found = [
        Contributor(dim, graded.history.catalog.dims(int(row))[dim], float(f"{part:.3g}"))
        for row, part in zip(mix.rows, gain / gain.sum(), strict=True)
        if part >= 0.03
    ]
    return tuple(sorted(found, key=lambda c: (-c.share, c.value))[:5])


DETECTOR = WindowDetector(
    name="share",
    effect={
        "points": 0.20,  # of absolute change
        "bound": 0.10,  # its lower confidence limit
        "distance": 0.05,  # Jensen-Shannon
    },
    evidence={"p": 1e-6, "bound_p": 1e-3},
    volume={"n": 100.0, "baseline": 1000.0},
    judge=judge,
    excludes=lambda _: SHARE,
)
