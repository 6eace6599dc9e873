"""Money against budgets: burn rate, part spent, forecast, price of a call; and a dear day.

Budgets come from the configuration (`cost_budgets`); without any, the first four kinds say
nothing. `day` needs none: it compares the last 24 hours with what days of that series cost, and
judges series without a budget only. Only calls whose cost is known are added up; where
that is less than 95 % of them the sentence says so.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S, HOUR_S
from tocsin.flow.baseline.stats import budgets
from tocsin.flow.baseline.stats.budgets import BURNS, NANO
from tocsin.flow.detect.contributors import drivers
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.options import one_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, CostBudget, Floats, Severity, Unit

_DAYS, _MIN_DAYS = 28, 14
#: Part of the calls without a cost from which on the sentence tells of it.
_TOLD_UNKNOWN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Bill:
    """What one budget, or one dear day, gives for one series. Money in USD."""

    row: int  # of the catalog
    breach: bool
    clear: bool
    severity: Severity
    observed: float
    expected: float  # NaN = nothing is expected
    bound: float
    text: str  # what a person reads after the series' name
    p: float = float("nan")


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Signals and the views they are read of."""
    views = {*rule.views, *rule.contributors}
    return {"cost": views, "unknown": views, "n": views}


def judge(series: Series) -> Verdicts:
    """Every series with a budget of the rule's kind, or for `day` without one."""
    kind = series.rule.options["kind"]
    if kind == "day":
        bills = list(_expensive_days(series))
    else:
        ledger = series.graded.ledger
        names = enumerate(series.names) if ledger.budgets else ()
        held = [
            (series.only(np.array([i])), budget) for i, name in names for budget in ledger.of(name)
        ]
        bills = [bill for one, budget in held if (bill := _KINDS[kind](one, budget))]
    return _verdicts(series, bills) if bills else NOTHING


def _spent(one: Series, since: int) -> float:
    """nano-USD from `since` to the end of the window under judgement, of the only series."""
    booked = one.graded.ledger.spent(one.names[0], since, one.at)
    return booked + float(one.current("cost")[0])


def _recently_spent(one: Series, seconds: int) -> float:
    """nano-USD of the last `seconds`: by the window up to an hour, then by the hour."""
    if seconds <= HOUR_S:
        return float(one.total("cost", seconds)[0])
    return _spent(one, one.end - seconds)


def _burn(one: Series, budget: CostBudget) -> Bill | None:
    """The budget burns many times too fast, over a long window and a short one."""
    rule, rate = one.rule, budgets.nano_a_second(budget)
    if not rate:
        return None
    longs = np.array([_recently_spent(one, long_s) for _, long_s, _ in BURNS])
    shorts = np.array([_recently_spent(one, short_s) for _, _, short_s in BURNS])
    burning = budgets.burns(longs, shorts, rate)
    fastest = int(np.argmax(burning)) if burning.any() else 0
    times, long_s, _ = BURNS[fastest]
    now = longs[fastest] / (rate * long_s)
    usd, hours = longs[fastest] / NANO, long_s / HOUR_S
    calm = shorts <= rule.clear.at(1.0) * rate * np.array([short_s for _, _, short_s in BURNS])
    return Bill(
        int(one.rows[0]),
        breach=bool(burning.any()),
        clear=bool(calm.all()),
        severity="critical" if fastest == 0 and burning.any() else rule.severity,
        observed=usd,
        expected=rate * long_s / NANO,
        bound=times * rate * long_s / NANO,
        text=f"{usd:,.2f} USD in {hours:.0f} h, {now:.1f} times the even rate of the budget",
    )


def _share(one: Series, budget: CostBudget) -> Bill | None:
    """The part of the day's or the month's budget that is spent: the fuller of the two."""
    rule, fuller = one.rule, None
    for usd, word, since in (
        (budget.daily_usd, "day", budgets.day_start(budget, one.at)),
        (budget.monthly_usd, "month", budgets.month_start(budget, one.at)),
    ):
        if not usd:
            continue
        spent = _spent(one, since) / NANO
        part = spent / usd
        bill = Bill(
            int(one.rows[0]),
            breach=part >= rule.effect["share"],
            clear=part < rule.effect["share"],  # a new day or month has begun
            severity="critical" if part >= 1 else rule.severity,
            observed=spent,
            expected=float("nan"),
            bound=usd * rule.effect["share"],
            text=f"{part:.0%} of the {word}'s {usd:,.2f} USD are spent",
        )
        if fuller is None or spent / bill.bound > fuller.observed / fuller.bound:
            fuller = bill
    return fuller


def _forecast(one: Series, budget: CostBudget) -> Bill | None:
    """Where the month will end, by the days so far."""
    if not budget.monthly_usd:
        return None
    rule, until, end = one.rule, one.end, budgets.month_end(budget, one.at)
    days = one.graded.ledger.days(one.names[0], one.at, _DAYS)
    mean, high = budgets.forecast(days, (end - until) / DAY_S)
    spent = _spent(one, budgets.month_start(budget, one.at))
    likely, most = (spent + mean) / NANO, (spent + high) / NANO
    return Bill(
        int(one.rows[0]),
        breach=bool(most > budget.monthly_usd),
        clear=bool(most <= rule.clear.at(1.0) * budget.monthly_usd),
        # Info: within the budget by expectation, and over it in one case of ten.
        severity=rule.severity if likely > budget.monthly_usd else "info",
        observed=most,
        expected=likely,
        bound=budget.monthly_usd,
        text=f"the month will end at {likely:,.2f} USD, at up to {most:,.2f} in nine cases of "
        f"ten; the budget is {budget.monthly_usd:,.2f}",
    )


def _call(one: Series, budget: CostBudget) -> Bill | None:
    """The mean price of a call of the last hour."""
    if not budget.per_call_usd:
        return None
    rule = one.rule
    cost, n, unknown = (float(one.total(s, HOUR_S)[0]) for s in ("cost", "n", "unknown"))
    calls = n - unknown
    price = cost / NANO / calls if calls else 0.0
    return Bill(
        int(one.rows[0]),
        breach=calls >= rule.volume["n"] and price > budget.per_call_usd,
        clear=price <= rule.clear.at(1.0) * budget.per_call_usd,
        severity=rule.severity,
        observed=price,
        expected=float("nan"),
        bound=budget.per_call_usd,
        text=f"{price:,.4g} USD a call over {calls:,.0f} calls, limit {budget.per_call_usd:,.4g}",
    )


def _expensive_days(series: Series) -> Iterator[Bill]:
    """Series whose last 24 hours cost more than their days do."""
    rule, ledger = series.rule, series.graded.ledger
    limits = [[b.daily_usd or b.monthly_usd for b in ledger.of(name)] for name in series.names]
    series = series.only(np.array([not any(found) for found in limits], bool))
    now = series.graded.history.counts.day_total("cost", series.rows) + series.current("cost")
    kept = (now >= rule.volume["usd"] * NANO) | series.is_alerting
    series, now = series.only(kept), now[kept]
    if not len(series):
        return
    past = series.graded.history.weeks.days("cost", series.rows, series.at - DAY_S, _DAYS)
    usual, bound, p = budgets.expensive_day(now, past, rule.evidence["p"], _MIN_DAYS)
    bound = np.maximum(bound, rule.effect["ratio"] * usual)
    for i, row in enumerate(series.rows):
        if not np.isfinite(bound[i]):
            continue
        usd, then = now[i] / NANO, usual[i] / NANO
        yield Bill(
            int(row),
            breach=bool(now[i] > bound[i]) and usd >= rule.volume["usd"],
            clear=bool(now[i] <= bound[i]),
            severity=rule.severity,
            observed=usd,
            expected=then,
            bound=bound[i] / NANO,
            text=f"{usd:,.2f} USD in 24 h, {usd / max(then, 1e-12):.1f} times a usual day",
            p=float(p[i]),
        )


_KINDS: Final[Mapping[str, Callable[[Series, CostBudget], Bill | None]]] = {
    "burn": _burn,
    "share": _share,
    "forecast": _forecast,
    "call": _call,
}


def _verdicts(series: Series, bills: list[Bill]) -> Verdicts:
    is_day = series.rule.options["kind"] == "day"
    series = series.at_rows(np.array([bill.row for bill in bills], np.int64))
    calls, unknown = series.total("n", HOUR_S), series.total("unknown", HOUR_S)

    def column(name: str) -> Floats:
        return np.array([getattr(bill, name) for bill in bills], float)

    def sentence(i: int) -> str:
        text = f"{series.name(i)}: {bills[i].text}"
        part = unknown[i] / max(calls[i], 1.0)
        if part <= _TOLD_UNKNOWN:
            return text
        return f"{text}; {part:.0%} of its calls have no known cost"

    return Verdicts(
        series.rows,
        breach=column("breach").astype(bool),
        clear=column("clear").astype(bool),
        observed=column("observed"),
        expected=column("expected"),
        bound=column("bound"),
        n=calls.astype(np.int64),
        p=column("p"),
        score=column("observed") / np.maximum(column("bound"), 1e-12),
        baseline=np.array(Baseline.HOUR_OF_WEEK if is_day else Baseline.NONE),
        unit=Unit.USD,
        sentence=sentence,
        severity=tuple(bill.severity for bill in bills),
        top=lambda i: drivers(series, i, lambda parts: parts.total("cost", HOUR_S)),
    )


DETECTOR = WindowDetector(
    name="budget",
    effect={
        "share": 0.8,  # `share`: of the day's or the month's budget, 0..1
        "ratio": 1.5,  # `day`: times a usual day
    },
    evidence={"p": 1e-3},  # `day`: of a day as dear or dearer
    volume={
        "n": 20.0,  # `call`: calls with a known cost in the last hour
        "usd": 1.0,  # `day`: the least that 24 hours must cost, USD
    },
    options={"kind": "burn"},  # or share, forecast, call, day
    judge=judge,
    check=lambda rule: one_of(rule.options, "kind", (*_KINDS, "day")),
    reads=reads,
)
