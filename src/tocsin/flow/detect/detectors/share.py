"""A mix that moved: the parts of a whole over the last quarter-hour against the last week.

Usual is the median of the daily shares at this time of day over seven days, as soon as three
are known; before that the last day as a whole. "This time" is the hour, the one before and the
one after, and all three together: what is usual in one of them is expected, so that a batch that
takes another model on the stroke of two is no alarm. The parts of a whole are the series of a view
that differ in the view's last dimension only (the models of a service, the models of a route).
Windows widen from 15 to 60 minutes until there is volume. Quarter-hours of a mix that has surely
begun to move, and half as far as it takes, are not learned from: or the first of them would count
as usual when the next is judged.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.history.count_history import SHARE
from tocsin.flow.baseline.stats.shares import g_test, js_distance, over_dispersion, shift_bound
from tocsin.flow.detect.contributors import MIN_SHARE, MOST_NAMED
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import SEP, Baseline, Contributor, Floats, Ints, Unit

_WIDTHS_S: Final = (900, 1800, 3600)
_LAG_S: Final = 3600  # the baseline ends an hour before now
_DAY_QUARTERS: Final = 96
_DAYS, _LEAST_DAYS = 7, 3


@dataclass(frozen=True, slots=True)
class _Mix:
    """One whole: a column entry each part; the part that gained most leads."""

    parts: Series
    now: Floats  # shares, 0..1
    before: Floats  # usual shares, 0..1
    lead: int  # position of the leading part
    shift: float  # what its share gained, 0..1
    bound: float  # lower confidence limit of that; NaN where it gained too little to ask
    p: float  # of such a mix, were it the usual one
    distance: float  # Jensen-Shannon, 0..1
    ready: bool  # whether enough is known of the whole
    n: float  # events of the whole now
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class _Usual:
    """What one whole was made of: shares, out of how many events, how much they wander."""

    share: Floats
    m: float
    counts: Floats  # [parts, times] that the shares vary over
    baseline: Baseline


def judge(series: Series) -> Verdicts:
    """Every whole whose mix moved, and those whose group has an alert."""
    rule = series.rule
    wholes = _wholes(series)
    now, n = _recent(series, wholes)
    quarters = series.quarters("n", _LAG_S, mark=SHARE)[:, -_DAY_QUARTERS:]
    days = series.graded.history.weeks.same_time("n", series.rows, series.at, _DAYS)
    age_s, alerting = series.age_s, series.is_alerting
    mixes = []
    for parts in wholes:
        if n[parts[0]] < rule.volume["n"]:
            continue
        past = (quarters[parts], days[parts], age_s[parts])
        mix = _mix(series.only(parts), now[parts], *past)
        if mix.shift >= rule.effect["points"] / 2 or alerting[parts].any():
            mixes.append(mix)
    return _verdicts(series, mixes) if mixes else NOTHING


def _wholes(series: Series) -> list[Ints]:
    """Positions of the parts of each whole, by name, in order of the whole's name."""
    found: dict[str, list[int]] = defaultdict(list)
    names = series.names
    for i, name in enumerate(names):
        found[name.rpartition(SEP)[0]].append(i)
    return [np.array(sorted(parts, key=names.__getitem__)) for _, parts in sorted(found.items())]


def _recent(series: Series, wholes: list[Ints]) -> tuple[Floats, Floats]:
    """Events of each part, and of its whole, over the narrowest width with volume."""
    whole_of = np.zeros(len(series), np.int64)
    for number, parts in enumerate(wholes):
        whole_of[parts] = number
    now, n = np.zeros(len(series)), np.zeros(len(series))
    for width_s in _WIDTHS_S:
        short = n < series.rule.volume["n"]
        part = series.total("n", width_s)
        whole = np.bincount(whole_of, part, minlength=len(wholes))[whole_of] if wholes else part
        now, n = np.where(short, part, now), np.where(short, whole, n)
    return now, n


def _mix(parts: Series, now: Floats, quarters: Floats, days: Floats, age_s: Ints) -> _Mix:
    """One whole, from counts of its parts: recent ones [parts], by quarter-hours of the last day
    [parts, 96] (NaN where unknown or not to learn from), at this time of each day [parts, 7, 3].
    """
    rule = parts.rule
    n = now.sum()
    share = now / max(n, 1.0)
    usual = _usual(rule, age_s, share, quarters, days)
    gains = share - usual.share
    # The greatest gain leads; of equal ones the first by name.
    lead = int(np.argmax(np.round(gains, 12)))
    shift = float(gains[lead])
    ready = bool(usual.m >= rule.volume["baseline"] and age_s.max() >= parts.warmup_s)
    bound, p, distance = float("nan"), 1.0, 0.0
    if ready and shift >= rule.effect["points"] / 2:
        rho = over_dispersion(usual.counts[lead], usual.counts.sum(axis=0))
        before, m = usual.share[lead], usual.m
        bound = shift_bound(share[lead], n, before, m, rho, rule.evidence["bound_p"])
        p, distance = g_test(now, usual.share * m), js_distance(share, usual.share)
    return _Mix(
        parts, share, usual.share, lead, shift, bound, p, distance, ready, float(n), usual.baseline
    )


def _usual(rule: RuleSpec, age_s: Ints, share: Floats, quarters: Floats, hours: Floats) -> _Usual:
    """Of what is usual about this time, the nearest; the last day while too few days are known."""
    nearest: _Usual | None = None
    if age_s.max() >= _LEAST_DAYS * DAY_S:
        this = hours.shape[2] // 2
        for days in (hours[:, :, this], hours.sum(axis=2), hours[:, :, 0], hours[:, :, -1]):
            usual = _by_days(rule, age_s, days)
            if usual is None:
                continue
            if nearest is None or _gain(share, usual) < _gain(share, nearest):
                nearest = usual
            if _gain(share, nearest) < rule.effect["points"] / 2:
                break  # near enough: nothing has moved
    if nearest is not None:
        return nearest
    counts = or_zero(quarters)
    before = counts.sum(axis=1)
    return _Usual(before / max(before.sum(), 1.0), before.sum(), counts, Baseline.LAST_24_HOURS)


def _gain(share: Floats, usual: _Usual) -> float:
    return float((share - usual.share).max())


def _by_days(rule: RuleSpec, age_s: Ints, days: Floats) -> _Usual | None:
    """The median of the shares in `days` [parts, days]; None where too few are known."""
    ago = np.arange(_DAYS, 0, -1)
    missing = np.isnan(days) & (age_s[:, None] >= ago * DAY_S)
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


def _verdicts(series: Series, mixes: list[_Mix]) -> Verdicts:
    rule, dim = series.rule, DIMS[series.rule.views[0]][-1]
    clear_at = rule.clear.at(rule.effect["points"] / 2)
    leads = np.array([mix.parts.rows[mix.lead] for mix in mixes], np.int64)
    breach = [_has_moved(rule, mix) for mix in mixes]

    def sentence(i: int) -> str:
        mix = mixes[i]
        whole = mix.parts.name(mix.lead).rpartition(f" {dim} ")[0]
        return (
            f"{whole}: {dim} {mix.parts.dims(mix.lead)[dim]} now takes {mix.now[mix.lead]:.0%}, "
            f"was {mix.before[mix.lead]:.0%} ({mix.shift * 100:+.0f} points)"
        )

    return Verdicts(
        leads,
        breach=np.array(breach, bool),
        clear=np.array([mix.ready and mix.shift <= clear_at for mix in mixes], bool),
        observed=np.array([mix.now[mix.lead] for mix in mixes], float),
        expected=np.array([mix.before[mix.lead] if mix.ready else np.nan for mix in mixes], float),
        bound=np.array([mix.before[mix.lead] + rule.effect["points"] for mix in mixes], float),
        n=np.array([round(mix.n) for mix in mixes], np.int64),
        p=np.array([mix.p if mix.ready else np.nan for mix in mixes], float),
        score=np.array([mix.shift / rule.effect["points"] for mix in mixes], float),
        baseline=np.array([mix.baseline if mix.ready else Baseline.NONE for mix in mixes]),
        unit=Unit.SHARE,
        sentence=sentence,
        top=lambda i: _gainers(mixes[i], dim),
        unlearnable=_unlearnable(mixes, breach, clear_at),
    )


def _has_moved(rule: RuleSpec, mix: _Mix) -> bool:
    return (
        mix.ready
        and mix.shift >= rule.effect["points"]
        and mix.bound >= rule.effect["bound"]
        and mix.p <= rule.evidence["p"]
        and mix.distance >= rule.effect["distance"]
    )


def _unlearnable(mixes: list[_Mix], breach: list[bool], clear_at: float) -> Ints:
    """All parts of the wholes that moved, or surely are about to, as rows of the catalog."""
    moved = [
        mix.parts.rows
        for mix, bad in zip(mixes, breach, strict=True)
        if bad or (mix.ready and mix.shift >= clear_at and mix.bound > 0)
    ]
    return np.concatenate(moved) if moved else np.empty(0, np.int64)


def _gainers(mix: _Mix, dim: str) -> tuple[Contributor, ...]:
    """The parts that gained, each with its part of all that was gained."""
    gain = np.maximum(mix.now - mix.before, 0.0)
    found = [
        Contributor(dim, mix.parts.dims(i)[dim], float(f"{part:.3g}"))
        for i, part in enumerate(gain / gain.sum())
        if part >= MIN_SHARE
    ]
    return tuple(sorted(found, key=lambda part: (-part.share, part.value))[:MOST_NAMED])


DETECTOR = WindowDetector(
    name="share",
    effect={
        "points": 0.20,  # what one part's share gained, of 1
        "bound": 0.10,  # lower confidence limit of that, of 1
        "distance": 0.05,  # Jensen-Shannon distance of the whole mix, 0..1
    },
    evidence={
        "p": 1e-6,  # of such a mix, were it the usual one (likelihood-ratio test)
        "bound_p": 1e-3,  # one-sided, of the confidence limit
    },
    volume={
        "n": 100.0,  # events of the whole in 15 to 60 minutes
        "baseline": 1000.0,  # events of the whole in what is usual
    },
    judge=judge,
    excludes=lambda _: SHARE,
)
