"""Who rings too often must show more; what is structural or open already is let be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import event
from tocsin.flow.alerts import Budget, Governor
from tocsin.flow.alerts.contract import AlertReason, fingerprint_of
from tocsin.flow.alerts.governor import SPENT
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.series import frames_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import Finding, join_series

DAY_S = 86_400
NOW_S = 20 * DAY_S
GROUP = (("env", "prod"), ("service", "shop"))
FINDING = Finding(
    rule="spike", series=join_series("runs_by_service", "prod", "shop"), group=GROUP,
    window=NOW_S, at_ms=(NOW_S + 60) * 1000, breach=True, clear=False, severity="critical",
    signal="n", unit="", observed=10.0, expected=1.0, bound=9.0, n=10, p=1e-7,
)  # fmt: skip
EVIDENCE = {"spike": 1e-6}


def rang(governor: Governor, *days_ago: float, **fields: object) -> None:
    for ago in sorted(days_ago, reverse=True):
        opened = event(1).model_copy(update={
            "fingerprint": fingerprint_of("spike", GROUP), "p": 1e-8, "severity": "warning",
            "at": int((NOW_S - ago * DAY_S) * 1000), **fields,
        })  # fmt: skip
        governor.update([opened])


def told(governor: Governor, finding: Finding = FINDING) -> Finding:
    return governor.govern([finding], {}, EVIDENCE)[0]


def test_one_opening_in_a_week_is_within_the_budget() -> None:
    governor = Governor(Budget())
    rang(governor, 2)
    assert told(governor) == FINDING


def test_from_the_second_on_it_must_be_ten_times_as_improbable_for_each() -> None:
    governor = Governor(Budget())
    rang(governor, 1, 2, 3)  # two beyond the budget: 1e-8 is asked for
    assert not told(governor, replace(FINDING, p=2e-8)).breach
    assert told(governor, replace(FINDING, p=9e-9)).breach


def test_what_is_past_is_forgiven() -> None:
    governor = Governor(Budget())
    rang(governor, 7.1, 8, 9)
    assert told(governor) == FINDING


def test_an_acknowledged_alarm_was_no_false_one() -> None:
    governor = Governor(Budget())
    rang(governor, 1, 2)
    rang(governor, 0.5, reason=AlertReason.ACKNOWLEDGED)
    assert told(governor) == FINDING


def test_what_structural_rules_say_is_never_touched() -> None:
    governor = Governor(Budget(pages_a_day=1))
    rang(governor, 0.1, 0.2, 0.3, 0.4, severity="critical")
    structural = replace(FINDING, p=None)
    assert told(governor, structural) == structural


def test_pages_beyond_the_budget_are_warnings_and_say_so() -> None:
    governor = Governor(Budget(episodes_a_day=100))
    for hour in range(5):
        rang(governor, (hour + 1) / 24, severity="critical")
    spent = told(governor)
    assert (spent.breach, spent.severity) == (True, "warning")
    assert spent.summary.endswith(SPENT)


def test_only_openings_before_the_judged_window_count() -> None:
    governor = Governor(Budget())
    rang(governor, 0, -0.1, -0.2)
    assert told(governor) == FINDING


@given(st.lists(st.floats(0.01, 13), max_size=8), st.booleans())
def test_a_restored_governor_says_the_same(ago: list[float], page: bool) -> None:
    governor, back = Governor(Budget()), Governor(Budget())
    rang(governor, *ago, severity="critical" if page else "warning")
    raw = governor.update([event(2).model_copy(update={"p": 1e-9, "at": NOW_S * 1000 - 1})])
    assert raw is not None
    back.restore(raw)
    assert told(back) == told(governor)


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        Governor(Budget()).restore(b"\x93\x02\x90\x90")


@pytest.mark.parametrize(("openings", "rings"), [(0, True), (1, True), (7, False)])
def test_a_detector_hears_its_governor(openings: int, rings: bool) -> None:
    """A wild series whose tenfold burst is barely improbable enough."""
    frames = frames_of({"runs_by_service": "~10/1.2x299 180 ~10x2"})
    fingerprint = fingerprint_of("spike_runs", (("env", "prod"), ("service", "shop")))
    governor, raw = Governor(Budget()), b""
    for hour in range(openings):
        opened = event(1).model_copy(update={
            "fingerprint": fingerprint, "p": 1e-8, "at": frames[0].start * 1000 - hour * 3_600_000,
        })  # fmt: skip
        raw = governor.update([opened]) or b""
    rules = [rule for rule in load_rules() if rule.id == "spike_runs"]
    evaluator = ShardEvaluator(rules, DetectSettings(warmup_windows=60))
    evaluator.restore({"g:governor": raw} if raw else {})
    events = [one for frame in frames for one in evaluator.evaluate_window(frame).events]
    assert bool(events) is rings
