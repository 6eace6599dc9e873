"""Money against budgets: burn rate, part spent, forecast, price of a call; and a dear day.

Budgets come from the configuration (`cost_budgets`); without any, the first four kinds are
idle. `day` needs none: it compares the last 24 hours with what days of that series cost, and
speaks of series without a budget only. Only calls whose cost is known are added up; where
that is less than 95 % of them the sentence says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.expect.recent import total
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import budgets
from tocsin.flow.baseline.stats.budgets import BURNS, NANO
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, drivers, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Contributor, CostBudget, Severity, Unit

_DAY_S, _HOUR_S = 86_400, 3_600
_DAYS, _MIN_DAYS = 28, 14
_UNKNOWN = 0.05  # part of the calls without a cost from which on it is told


@dataclass(frozen=True, slots=True)
class Bill:
    """What one budget (or one dear day) has to say of one series. Money in USD."""

    row: int
    breach: bool
    clear: bool
    severity: Severity
    observed: float
    expected: float  # NaN = nothing is expected
    bound: float
    text: str
    p: float = float("nan")


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Signals and the views they are read of."""
    views = {*rule.views, *rule.contributors}
    return {"cost": views, "unknown": views, "n": views}


def judge(series: Series) -> Verdicts:
    """Every series with a budget of the rule's kind, or for `day` without one."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    if rule.options["kind"] == "day":
        bills = list(_dear_days(series))
    else:
        bill = _KINDS[rule.options["kind"]]
        held = _budgeted(graded, rows) if graded.ledger.budgets else ()
        bills = [one for row, budget in held if (one := bill(rule, graded, row, budget))]
    if not bills:
        return NOTHING
    return _verdicts(rule, graded, bills)


def _budgeted(graded: Graded, rows: np.ndarray) -> Iterator[tuple[int, CostBudget]]:
    names = graded.history.catalog.names
    return ((int(row), budget) for row in rows for budget in graded.ledger.of(names[row]))


def _spent(graded: Graded, row: int, since: int) -> float:
    """nano-USD from `since` to the end of the window under judgement."""
    booked = graded.ledger.spent(graded.history.catalog.names[row], since, graded.at)
    return booked + float(graded.current["cost"][row])


def _lately(graded: Graded, row: int, seconds: int) -> float:
    """nano-USD of the last `seconds`: by the window up to an hour, then by the hour."""
    if seconds <= _HOUR_S:
        return float(total(graded, "cost", np.array([row]), seconds)[0])
    return _spent(graded, row, graded.end - seconds)


def _burn(rule: RuleSpec, graded: Graded, row: int, budget: CostBudget) -> Bill | None:
    """The budget burns many times too fast, over a long window and a short one."""
    rate = budgets.nano_a_second(budget)
    if not rate:
        return None
    longs, shorts = (
        np.array([_lately(graded, row, seconds) for seconds in column])
        for column in ([long for _, long, _ in BURNS], [short for _, _, short in BURNS])
    )
    held = budgets.burns(longs, shorts, rate)
    worst = int(np.argmax(held)) if held.any() else 0
    times, long, _ = BURNS[worst]
    now = longs[worst] / (rate * long)
    level = rule.clear.level if rule.clear.level is not None else 1.0
    usd, hours = longs[worst] / NANO, long / _HOUR_S
    return Bill(
        row,
        breach=bool(held.any()),
        clear=bool((shorts <= level * rate * np.array([s for _, _, s in BURNS])).all()),
        severity="critical" if worst == 0 and held.any() else rule.severity,
        observed=usd,
        expected=rate * long / NANO,
        bound=times * rate * long / NANO,
        text=f"{usd:,.2f} USD in {hours:.0f} h, {now:.1f} times the even rate of the budget",
    )


def _share(rule: RuleSpec, graded: Graded, row: int, budget: CostBudget) -> Bill | None:
    """The part of the day's or the month's budget that is spent: the fuller of the two."""
    best: Bill | None = None
    for usd, word, since in (
        (budget.daily_usd, "day", budgets.day_start(budget, graded.at)),
        (budget.monthly_usd, "month", budgets.month_start(budget, graded.at)),
    ):
        if not usd:
            continue
        spent = _spent(graded, row, since) / NANO
        part = spent / usd
        bill = Bill(
            row,
            breach=part >= rule.effect["share"],
            clear=part < rule.effect["share"],  # a new day or month has begun
            severity="critical" if part >= 1 else rule.severity,
            observed=spent,
            expected=float("nan"),
            bound=usd * rule.effect["share"],
            text=f"{part:.0%} of the {word}'s {usd:,.2f} USD are spent",
        )
        if best is None or spent / bill.bound > best.observed / best.bound:
            best = bill
    return best


def _forecast(rule: RuleSpec, graded: Graded, row: int, budget: CostBudget) -> Bill | None:
    """Where the month will end, by the days so far."""
    if not budget.monthly_usd:
        return None
    until, end = graded.end, budgets.month_end(budget, graded.at)
    days = graded.ledger.days(graded.history.catalog.names[row], graded.at, _DAYS)
    mean, high = budgets.forecast(days, (end - until) / _DAY_S)
    spent = _spent(graded, row, budgets.month_start(budget, graded.at))
    likely, most = (spent + mean) / NANO, (spent + high) / NANO
    level = rule.clear.level if rule.clear.level is not None else 1.0
    # Within the budget by expectation, and over it in one case of ten: that is worth a word.
    return Bill(
        row,
        breach=bool(most > budget.monthly_usd),
        clear=bool(most <= level * budget.monthly_usd),
        severity=rule.severity if likely > budget.monthly_usd else "info",
        observed=most,
        expected=likely,
        bound=budget.monthly_usd,
        text=f"the month will end at {likely:,.2f} USD, at up to {most:,.2f} in nine cases of "
        f"ten; the budget is {budget.monthly_usd:,.2f}",
    )


def _call(rule: RuleSpec, graded: Graded, row: int, budget: CostBudget) -> Bill | None:
    """The mean price of a call of the last hour."""
    if not budget.per_call_usd:
        return None
    few = np.array([row])
    cost, n, unknown = (float(total(graded, s, few, _HOUR_S)[0]) for s in ("cost", "n", "unknown"))
    calls = n - unknown
    price = cost / NANO / calls if calls else 0.0
    level = rule.clear.level if rule.clear.level is not None else 1.0
    return Bill(
        row,
        breach=calls >= rule.volume["n"] and price > budget.per_call_usd,
        clear=price <= level * budget.per_call_usd,
        severity=rule.severity,
        observed=price,
        expected=float("nan"),
        bound=budget.per_call_usd,
        text=f"{price:,.4g} USD a call over {calls:,.0f} calls, limit {budget.per_call_usd:,.4g}",
    )


def _dear_days(series: Series) -> Iterator[Bill]:
    """Series whose last 24 hours cost more than their days do."""
    rule, graded, rows = series.rule, series.graded, series.rows
    names, ledger = graded.history.catalog.names, graded.ledger
    limits = [[b.daily_usd or b.monthly_usd for b in ledger.of(names[row])] for row in rows]
    mine = rows[[not any(found) for found in limits]] if len(rows) else rows
    now = graded.history.counts.day_total("cost", mine) + graded.current["cost"][mine]
    wanted = (now >= rule.volume["usd"] * NANO) | series.at_rows(mine).is_alerting
    mine, now = mine[wanted], now[wanted]
    if not len(mine):
        return
    past = graded.history.weeks.days("cost", mine, graded.at - _DAY_S, _DAYS)
    usual, bound, p = budgets.expensive_day(now, past, rule.evidence["p"], _MIN_DAYS)
    bound = np.maximum(bound, rule.effect["ratio"] * usual)
    for i, row in enumerate(mine):
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


_KINDS: Mapping[str, Callable[[RuleSpec, Graded, int, CostBudget], Bill | None]] = {
    "burn": _burn,
    "share": _share,
    "forecast": _forecast,
    "call": _call,
}


def _verdicts(rule: RuleSpec, graded: Graded, bills: list[Bill]) -> Verdicts:
    rows = np.array([bill.row for bill in bills], np.int64)
    calls, unknown = (total(graded, s, rows, _HOUR_S) for s in ("n", "unknown"))
    is_day = rule.options["kind"] == "day"
    baseline = Baseline.HOUR_OF_WEEK if is_day else Baseline.NONE

    def column(name: str) -> np.ndarray:
        return np.array([getattr(bill, name) for bill in bills], float)

    def sentence(i: int) -> str:
        text = f"{name_of(graded, bills[i].row)}: {bills[i].text}"
        part = unknown[i] / max(calls[i], 1.0)
        return text + (f"; {part:.0%} of its calls have no known cost" if part > _UNKNOWN else "")

    def top(i: int) -> tuple[Contributor, ...]:
        return drivers(
            rule, graded, bills[i].row, lambda parts: total(graded, "cost", parts, _HOUR_S)
        )

    return Verdicts.of(
        rows,
        breach=column("breach").astype(bool),
        clear=column("clear").astype(bool),
        observed=column("observed"),
        expected=column("expected"),
        bound=column("bound"),
        n=calls.astype(np.int64),
        p=column("p"),
        score=column("observed") / np.maximum(column("bound"), 1e-12),
        baseline=baseline,
        unit=Unit.USD,
        sentence=sentence,
        severity=tuple(bill.severity for bill in bills),
        top=top,
    )


DETECTOR = WindowDetector(
    name="budget",
    effect={"share": 0.8, "ratio": 1.5},  # of a budget spent; a dear day against its days
    evidence={"p": 1e-3},
    volume={"n": 20.0, "usd": 1.0},  # calls; the least dear day
    options={"kind": "burn"},  # or share, forecast, call, day
    judge=judge,
    reads=reads,
)
