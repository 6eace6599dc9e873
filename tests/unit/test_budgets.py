"""Laws of budgets: exact books that survive a restart, days of the wall clock, honest forecasts."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cases import cases
from tocsin.flow.baseline.frames import encode
from tocsin.flow.baseline.history.cost_ledger import CostLedger, matches
from tocsin.flow.baseline.stats.budgets import (
    BURNS,
    NANO,
    burns,
    day_start,
    expensive_day,
    forecast,
    month_end,
    month_start,
    nano_a_second,
)
from tocsin.flow.rule_tests.series import frame_of
from tocsin.types import CostBudget, WindowFrame, join_series

SHOP = join_series("calls_by_service", "prod", "shop")
LARGE = join_series("calls_by_model", "prod", "shop", "large")
MONTHLY = CostBudget(service="shop", monthly_usd=720.0)  # a dollar an hour
HOUR, DAY = 3_600, 86_400


def window(start: int, costs: dict[str, int], seconds: int = 60) -> WindowFrame:
    return frame_of(start, seconds, {name: {"n": 1, "cost": cost} for name, cost in costs.items()})


def test_a_budget_holds_for_series_of_just_its_dimensions() -> None:
    assert matches(CostBudget(daily_usd=1), SHOP)
    assert not matches(CostBudget(daily_usd=1), LARGE)
    assert matches(CostBudget(model="l*", daily_usd=1), LARGE)
    assert not matches(CostBudget(model="small", daily_usd=1), LARGE)
    assert not matches(CostBudget(env="staging", daily_usd=1), SHOP)
    assert not matches(CostBudget(daily_usd=1), join_series("runs_by_service", "prod", "shop"))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "needs daily_usd"),
        ({"daily_usd": -1.0}, "needs daily_usd"),
        ({"daily_usd": 1.0, "agent": "a", "model": "m"}, "cannot name agent and model together"),
        ({"daily_usd": 1.0, "time_zone": "Mars/Olympus"}, "no IANA time zone"),
    ],
)
def test_a_budget_that_limits_nothing_or_nobody_is_refused(
    given: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        CostBudget(**given)  # type: ignore[arg-type]


@given(
    st.integers(1_600_000_000, 1_900_000_000),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"]),
)
def test_days_and_months_are_those_of_the_wall_clock(at: int, zone: str) -> None:
    budget = CostBudget(daily_usd=1, time_zone=zone)
    clock = zoneinfo.ZoneInfo(zone)
    here = dt.datetime.fromtimestamp(at, clock)
    midnight = dt.datetime.fromtimestamp(day_start(budget, at), clock)
    first = dt.datetime.fromtimestamp(month_start(budget, at), clock)
    after = dt.datetime.fromtimestamp(month_end(budget, at), clock)
    assert (midnight.date(), midnight.hour, midnight.minute) == (here.date(), 0, 0)
    assert (first.year, first.month, first.day) == (here.year, here.month, 1)
    assert (after.day, after.hour) == (1, 0)
    assert first <= midnight <= here < after


def test_burn_rates_are_those_of_the_workbook() -> None:
    rate = nano_a_second(MONTHLY)
    assert rate * HOUR == pytest.approx(NANO)
    shares = [times * long / (30 * DAY) for times, long, _ in BURNS]
    assert shares == pytest.approx([0.02, 0.05, 0.10])
    edge = np.array([times for times, _, _ in BURNS]) * rate
    longs, shorts = (np.array([pair[i] for pair in BURNS]) for i in (1, 2))
    assert burns(edge * longs * 1.001, edge * shorts * 1.001, rate).all()
    assert not burns(edge * longs * 1.001, edge * shorts * 0.999, rate).any()
    assert not burns(edge * longs * 0.999, edge * shorts * 9, rate).any()
    assert not burns(edge * longs * 9, edge * shorts * 9, 0.0).any()


costs = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 5 * NANO), st.integers(0, 5 * NANO)),
    min_size=1, max_size=60,
)  # fmt: skip


@cases(40)
@given(costs, st.integers(0, 59))
def test_a_ledger_is_exact_and_a_restart_changes_nothing(
    steps: list[tuple[int, int, int]], cut: int
) -> None:
    both = (MONTHLY, CostBudget(model="*", daily_usd=1))
    at = 1_700_000_100 // DAY * DAY + 22 * HOUR
    begin = at
    whole, half, blobs = CostLedger(both), CostLedger(both), dict[str, bytes]()
    truth = 0
    for i, (skip, one, other) in enumerate(steps):
        at += 60 + 60 * skip
        frame = window(at, {SHOP: one, LARGE: other})
        truth += one
        if i == cut:
            half = CostLedger(both)
            half.restore(blobs)
        saved = [ledger.learn(frame) for ledger in (whole, half)]
        assert saved[0] == saved[1]
        blobs[f"m:{at}"] = encode(frame)
        blobs |= {key: raw for key, raw in saved[0].items() if raw is not None}
    until = at + 60
    assert whole.spent(SHOP, begin, until) == truth
    assert half.spent(SHOP, begin, until) == truth
    assert half.days(LARGE, until, 3) == pytest.approx(whole.days(LARGE, until, 3), nan_ok=True)


def test_the_part_of_an_hour_is_counted_evenly_and_the_books_are_bounded() -> None:
    ledger = CostLedger((MONTHLY,))
    start = 1_700_000_000 // DAY * DAY
    dropped = set()
    for hour in range(40 * 24):
        made = ledger.learn(window(start + hour * HOUR, {SHOP: 3_600}, HOUR))
        dropped |= {key for key, raw in made.items() if raw is None}
    until = start + 40 * DAY
    assert ledger.spent(SHOP, until - 5_400, until) == 5_400
    assert ledger.days(SHOP, until, 3) == pytest.approx([3_600 * 24] * 3)
    assert ledger.spent(SHOP, start, start + DAY) == 0  # older than 33 days
    assert f"c:{start}" in dropped


def test_a_ledger_of_another_version_is_refused_and_without_budgets_there_is_none() -> None:
    assert CostLedger().learn(window(0, {SHOP: 5})) == {}
    ledger = CostLedger((MONTHLY,))
    blobs = {k: v for k, v in ledger.learn(window(0, {SHOP: 5}, HOUR)).items() if v is not None}
    wrong = {key: b"\x94\x63" + raw[2:] for key, raw in blobs.items()}
    with pytest.raises(ValueError, match="version 99"):
        CostLedger((MONTHLY,)).restore(wrong)


def test_a_steady_past_is_forecast_exactly() -> None:
    mean, high = forecast(np.full(28, 7.0), 9.5)
    assert mean == pytest.approx(66.5)
    assert high == pytest.approx(66.5)


def test_a_weekly_shape_is_followed() -> None:
    week = np.array([1.0, 1, 10, 10, 10, 10, 10])  # newest first: it is Sunday night
    mean, _ = forecast(np.tile(week, 4), 5)
    assert mean == pytest.approx(50)
    assert forecast(np.tile(week, 4), 7)[0] == pytest.approx(52)


def test_too_few_days_are_no_forecast() -> None:
    days = np.full(28, np.nan)
    days[:2] = 5.0
    assert np.isnan(forecast(days, 3)).all()
    days[2] = 5.0
    assert forecast(days, 2)[0] == pytest.approx(10)
    assert forecast(days, 2)[1] == pytest.approx(13)


def test_the_ninth_decile_holds_in_about_nine_cases_of_ten() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        days = np.exp(rng.normal(0, 0.4, 28 + 10))[::-1]
        held += days[:10].sum() <= forecast(days[10:], 10)[1]
    assert 0.85 <= held / 400 <= 0.99


def test_a_dear_day_is_beyond_a_log_normal_of_the_days_and_beyond_their_record() -> None:
    rng = np.random.default_rng(6)
    past = np.exp(rng.normal(3, 0.3, (1, 28)))
    usual, bound, p = expensive_day(np.array([60.0]), past, 1e-3, 14)
    logs = np.log(past[0])
    error = logs.std(ddof=1) * np.sqrt(1 + 1 / 28)
    assert usual[0] == pytest.approx(np.exp(logs.mean()))
    assert bound[0] == pytest.approx(np.exp(logs.mean() + stats.t.isf(1e-3, 27) * error))
    assert p[0] == pytest.approx(stats.t.sf((np.log(60) - logs.mean()) / error, 27))
    past[0, 5] = 1_000.0
    assert expensive_day(np.array([60.0]), past, 1e-3, 14)[1][0] >= 1_000
    past[0, :20] = np.nan
    assert np.isnan(expensive_day(np.array([60.0]), past, 1e-3, 14)).all()
