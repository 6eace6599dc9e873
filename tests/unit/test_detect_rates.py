"""Rates, ratios, classes, stand-ins and budgets through the whole of a shard's detection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.detectors.rate_evidence import (
    Counts,
    UsualRate,
    exceeds,
    risen,
    shortest,
)
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.series import frames_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import CostBudget

RULES = {rule.id: rule for rule in load_rules()}
BUDGETS = (CostBudget(service="shop", monthly_usd=300), CostBudget(model="large", daily_usd=9))
#: An outage of one provider with a fallback, a new class of errors, and dearer calls after it.
OUTAGE = {
    "runs_by_service": "~20x199",
    "runs_by_service.err": "~0.2x129 ~5x19 ~0.2x49",
    "tools_by_service": "~30x199",
    "tools_by_tool tool=search": "~20x199",
    "tools_by_tool.err tool=search": "_x150 ~3x29 _x20",
    "tools_by_tool.to tool=search": "_x150 ~2x29 _x20",
    "calls_by_service": "~60x199",
    "calls_by_service.err": "~0.6x129 ~20x19 ~0.6x49",
    "calls_by_service.cost": "~60000000/40x129 ~150000000/40x69",
    "calls_by_provider provider=acme": "~40x129 ~30x19 ~40x49",
    "calls_by_provider.err provider=acme": "~0.4x129 ~20x19 ~0.4x49",
    "calls_by_provider provider=other": "~20x129 ~30x19 ~20x49",
    "calls_by_model model=large": "~20x129 ~50x69",
    "calls_by_model.cost model=large": "~40000000/40x129 ~140000000/40x69",
    "calls_by_model model=small": "~40x129 ~10x69",
    "calls_by_model.cost model=small": "~20000000/40x129 ~5000000/40x69",
    "calls_by_substitution substituted=small model=large": "_x130 ~10x19 _x50",
    "errors_by_class error_class=overloaded": "_x130 ~20x19 _x50",
    "errors_by_class.traces error_class=overloaded": "_x130 9x19 _x50",
    "errors_by_model_class model=small error_class=overloaded": "_x130 ~18x19 _x50",
    "errors_by_model_class model=large error_class=overloaded": "_x130 ~2x19 _x50",
    "errors_by_class error_class=bad_input": "~0.6x199",
}


def told(
    *rules: str,
    series: Mapping[str, str] = OUTAGE,
    restart_every: int = 0,
    seed: int = 4,
) -> list[AlertEvent]:
    """Events of some rules, inhibition left out; optionally restarted from blobs."""
    chosen = [RULES[name].model_copy(update={"inhibited_by": ()}) for name in rules]
    settings = DetectSettings(warmup_windows=60, cost_budgets=BUDGETS)
    evaluator, blobs = ShardEvaluator(chosen, settings), dict[str, bytes]()
    events: list[AlertEvent] = []
    for i, frame in enumerate(frames_of(series, seed=seed)):
        if restart_every and i % restart_every == restart_every - 1:
            evaluator = ShardEvaluator(chosen, settings)
            evaluator.restore(blobs)
        result = evaluator.evaluate_window(frame)
        events += result.events
        for key, raw in result.blobs.items():
            if raw is None:
                blobs.pop(key, None)
            else:
                blobs[key] = raw
    return events


def opened(events: list[AlertEvent]) -> list[AlertEvent]:
    return [event for event in events if event.reason == "opened"]


def parts(event: AlertEvent, dimension: str) -> dict[str, float]:
    return {part.value: part.share for part in event.top if part.dimension == dimension}


EVERY = (
    "error_rate_calls", "error_rate_runs", "error_rate_tools", "timeout_tools", "timeout_calls",
    "error_class_new", "error_class_spike", "cost_per_request", "cost_vs_traffic",
    "invocations_per_run", "tokens_without_traffic", "model_substituted", "budget_burn",
    "budget_spent", "budget_forecast", "cost_day",
)  # fmt: skip


@pytest.mark.slow
def test_a_restart_changes_nothing_that_is_told() -> None:
    whole = told(*EVERY)
    assert {event.rule for event in opened(whole)} >= {
        "error_rate_calls", "error_rate_runs", "error_rate_tools", "timeout_tools",
        "error_class_new", "model_substituted", "budget_burn", "budget_spent",
    }  # fmt: skip
    assert [e.encode() for e in told(*EVERY, restart_every=37)] == [e.encode() for e in whole]


def test_an_outage_names_the_provider_that_has_it() -> None:
    events = told("error_rate_calls")
    (first,) = opened(events)
    assert "critical" in {event.severity for event in events}
    assert first.p is None  # absolute: no baseline is asked for
    assert parts(first, "provider") == {"acme": 1.0}
    resolved = [event for event in events if event.status == "resolved"]
    assert len(resolved) == 1
    minutes = (resolved[0].at - first.onset) / 60_000
    assert 20 + 15 <= minutes <= 20 + 15 + 6  # well for a quarter of an hour, then over


def test_severity_follows_the_rate() -> None:
    mild = {"calls_by_service": "100x119", "calls_by_service.err": "1x59 9x59"}
    harsh = {"calls_by_service": "100x119", "calls_by_service.err": "1x59 9x29 60x29"}
    assert {event.severity for event in told("error_rate_calls", series=mild)} == {"warning"}
    severities = [event.severity for event in told("error_rate_calls", series=harsh)]
    assert severities[0] == "warning"
    assert "critical" in severities


def test_a_new_class_names_the_model_that_has_most_of_it() -> None:
    (first,) = opened(told("error_class_new"))
    assert dict(first.dims)["error_class"] == "overloaded"
    assert "never met here before" in first.summary
    found = parts(first, "model")
    assert found["small"] > 0.8
    assert sum(found.values()) == pytest.approx(1, abs=0.03)


def test_dearer_calls_name_the_dear_model_though_neither_changed_its_price() -> None:
    series = {
        "calls_by_service": "60x299",
        "calls_by_service.cost": "~60000000/90x209 ~120000000/90x89",
        "calls_by_model model=large": "15x209 45x89",
        "calls_by_model.cost model=large": "~37500000/90x209 ~112500000/90x89",
        "calls_by_model model=small": "45x209 15x89",
        "calls_by_model.cost model=small": "~22500000/90x209 ~7500000/90x89",
    }
    (first,) = opened(told("cost_per_request", series=series))
    assert parts(first, "model") == {"large": 1.0}
    assert first.unit == "USD a call"
    assert first.expected == pytest.approx(0.001, rel=0.05)
    assert "times the usual" in first.summary


def test_a_stand_in_is_told_of_once_an_hour_holds_five() -> None:
    (first,) = opened(told("model_substituted"))
    assert first.summary.endswith("where small was asked for")
    assert first.n >= 5


def test_a_stand_in_that_is_how_a_service_works_is_told_of_for_a_day_only() -> None:
    usual = {
        "calls_by_service": "50x219",
        "calls_by_substitution substituted=auto model=large": "5x219",
    }
    settings = DetectSettings(window_s=900, warmup_windows=10)
    evaluator = ShardEvaluator([RULES["model_substituted"]], settings)
    breaches = []
    for i, frame in enumerate(frames_of(usual, window_s=900)):
        events = evaluator.evaluate_window(frame).events
        breaches += [(i, event.status) for event in events]
    assert breaches[0][1] == "firing"
    assert any(status == "resolved" and i < 200 for i, status in breaches)
    assert [status for _, status in breaches].count("firing") == 1


def test_each_budget_is_told_of_by_its_series() -> None:
    summaries = [event.summary for event in opened(told("budget_burn"))]
    assert summaries
    assert all("times the even rate of the budget" in text for text in summaries)
    spent = opened(told("budget_spent"))
    assert any(
        "model large" in event.summary and "day's 9.00 USD" in event.summary for event in spent
    )


def test_calls_of_unknown_cost_are_told_beside_what_is_known() -> None:
    series = {
        "calls_by_service": "50x89",
        "calls_by_service.un": "20x89",
        "calls_by_service.cost": "~200000000/40x89",
    }
    (first, *_) = opened(told("budget_burn", series=series))
    assert "40% of its calls have no known cost" in first.summary


def healthy(rule: str, part: float, per_minute: float, rng: np.random.Generator) -> np.ndarray:
    """Whether each of 100 series, at a part of the rule's threshold, exceeds it in each minute.

    A day each; rates wander by quarter-hour (beta, rho 0.002), traffic comes in bursts.
    """
    series, day, rho = 100, 1_440, 0.002
    usual = RULES[rule].effect["rate"] * part
    spread = 1 / rho - 1
    rate = rng.beta(usual * spread, (1 - usual) * spread, (series, day // 15)).repeat(15, axis=1)
    n = rng.negative_binomial(8, 8 / (8 + per_minute), rate.shape)
    k = rng.binomial(n, rate)
    windows = [
        np.lib.stride_tricks.sliding_window_view(part, 60, axis=1).reshape(-1, 60).astype(float)
        for part in (k, n)
    ]
    some = windows[0][:, -1] > 0  # an alert is opened by a failure
    nothing = np.zeros(int(some.sum()))
    counts = Counts(windows[0][some], windows[1][some], 5, nothing, nothing, nothing > 0)
    found = np.zeros(len(some), bool)
    found[some] = exceeds(RULES[rule], counts, RULES[rule].effect["rate"])
    found[some] |= has_risen(rule, counts, usual, 1_000.0)
    return found.reshape(series, -1)


def has_risen(rule: str, counts: Counts, usual: float, day: float) -> np.ndarray:
    """The check of what has risen, of series that are known to fail at `usual` in `day` calls."""
    size = len(counts.k)
    usual_rate = UsualRate(
        np.full(size, usual * day), np.full(size, day), np.full(size, 0.002), np.ones(size, bool)
    )
    width = shortest(RULES[rule], counts, (5, 10, 15, 30))
    found: np.ndarray = (width > 0) & risen(RULES[rule], counts, usual_rate, width)
    return found


@pytest.mark.parametrize("per_minute", [6.0, 60.0])
@pytest.mark.parametrize(("rule", "part"), [("error_rate_calls", 0.5), ("timeout_calls", 0.2)])
def test_a_rate_well_below_the_threshold_stays_silent_for_a_hundred_days(
    rule: str, part: float, per_minute: float
) -> None:
    told_of = healthy(rule, part, per_minute, np.random.default_rng(12)).any(axis=1).sum()
    assert told_of == 0


@pytest.mark.parametrize(("per_minute", "minutes"), [(6.0, 30), (30.0, 8), (100.0, 4)])
def test_a_tenth_of_failures_where_one_in_a_hundred_was_usual_is_mostly_told_in_minutes(
    per_minute: float, minutes: int
) -> None:
    rng, series = np.random.default_rng(15), 200
    n = rng.poisson(per_minute, (series, 60 + minutes))
    k = rng.binomial(n, np.where(np.arange(60 + minutes) < 60, 0.01, 0.1))
    nothing = np.zeros(series)
    told_of = nothing > 0
    for end in range(61, 61 + minutes):
        hour = slice(end - 60, end)
        counts = Counts(
            k[:, hour].astype(float), n[:, hour].astype(float), 5, nothing, nothing, nothing > 0
        )
        told_of |= has_risen("error_rate_calls", counts, 0.01, 1_000.0)
    assert told_of.mean() >= 0.5  # the median is told


@pytest.mark.parametrize(
    ("usual", "now"),
    [
        pytest.param(0.006, 0.0165, marks=pytest.mark.slow),
        (0.01, 0.027),
        pytest.param(0.015, 0.04, marks=pytest.mark.slow),
    ],
)
def test_timeouts_below_three_times_a_usual_rate_have_not_risen(usual: float, now: float) -> None:
    """An hour of 300 calls a minute, where half a percent and more is usual."""
    rng, series = np.random.default_rng(16), 200
    n = rng.poisson(300, (series, 120)).astype(float)
    k = rng.binomial(n.astype(int), np.where(np.arange(120) < 60, usual, now)).astype(float)
    nothing = np.zeros(series)
    told_of = nothing > 0
    for end in range(61, 121):
        counts = Counts(
            k[:, end - 60 : end], n[:, end - 60 : end], 5, nothing, nothing, nothing > 0
        )
        told_of |= has_risen("timeout_calls", counts, usual, 400_000.0)
    assert told_of.mean() <= 0.01


def test_timeouts_that_wander_about_the_threshold_are_no_news_once_they_are_known() -> None:
    rng = np.random.default_rng(14)
    rates = rng.beta(2.5, 497.5, 64).repeat(15)  # half a percent, now and then two
    n = rng.negative_binomial(8, 8 / 68, len(rates))
    series = {
        "calls_by_service": " ".join(map(str, n)),
        "calls_by_service.to": " ".join(map(str, rng.binomial(n, rates))),
    }
    events = opened(told("timeout_calls", series=series))
    assert all(event.onset < events[0].onset + 4 * 3_600_000 for event in events)
    outage = dict(series)
    outage["calls_by_service"] += " 60x29"
    outage["calls_by_service.to"] += " 6x29"
    after = opened(told("timeout_calls", series=outage))
    assert len(after) == len(events) + 1


def test_few_calls_at_half_of_the_threshold_stay_silent_for_two_hundred_days() -> None:
    rng, rule = np.random.default_rng(13), RULES["error_rate_calls"]
    failed = (rng.random((200, 700)) < rule.effect["rate"] / 2).astype(float)  # 25 calls an hour
    last = np.lib.stride_tricks.sliding_window_view(failed, 100, axis=1).sum(axis=2)
    k = last[failed[:, 99:] > 0]
    none = np.zeros((len(k), 5))
    counts = Counts(none, none, 5, k, np.full(len(k), 100.0), np.ones(len(k), bool))
    assert exceeds(rule, counts, rule.effect["rate"]).sum() <= 2
