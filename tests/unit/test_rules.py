"""Every shipped rule fires where it should and stays silent where it should not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import SHIPPED, load_rules, parse_rule
from tocsin.flow.rule_tests.series import (
    EPOCH,
    check_rule,
    check_rules,
    frames_of,
    parse_key,
    parse_points,
    run_test,
)
from tocsin.flow.rules.spec import RuleError, RuleTest
from tocsin.types import join_series

RULES = load_rules()
MINIMAL = """
title: t
kpi: traffic
detector: spike
views: [runs_by_service]
runbook: [look]
"""


@pytest.mark.parametrize(
    ("rule", "test"),
    [
        # A residual needs a long past: over a second each.
        pytest.param(rule, test, marks=[pytest.mark.slow] * rule.id.startswith("residual_"))
        for rule in RULES
        for test in rule.tests
    ],
    ids=lambda value: value.id if isinstance(value, Rule) else value.name,
)
def test_the_inline_test_holds(rule: Rule, test: RuleTest) -> None:
    result = run_test(rule, test)
    assert result.passed, result.why


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_shipped_rule_has_a_runbook_and_a_firing_and_a_silent_test(rule: Rule) -> None:
    assert {test.expect for test in rule.tests} == {"fires", "silent"}
    assert len(rule.runbook) >= 2
    assert all(step.endswith(".") or "," in step or ";" in step for step in rule.runbook)


def test_the_headline_rules_are_there() -> None:
    assert {rule.id for rule in RULES} >= {
        "spike_runs", "spike_tokens", "spike_cost", "flatline", "share_shift",
        "unexpected_model", "new_model", "latency_runs", "latency_calls", "runaway_loop",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ("titel: x", "unknown key 'titel'"),
        ("id: x", "unknown key 'id'"),
        ("effect: {ratoi: 3}", "effect.ratoi is not read by detector 'spike'; known: ratio"),
        ("volume: {n: many}", "volume.n: "),
        ("persistence: {m: 3, n: 2}", "persistence: persistence.m (3) cannot exceed"),
        ("group_by: [env, model]", "group_by 'model' is not a dimension of view"),
        ("contributors: [nowhere]", "view 'nowhere' is unknown"),
        ("severity: loud", "severity: "),
        ("every: 0", "every: "),
        ("version: 2", "version: "),
        ("runbook: []", "runbook: "),
        ("detector: magic", "detector 'magic' is unknown; known: budget, burn"),
        ("views: []", "views is empty"),
        (
            "detector: surge\neffect: {width_s: 14400}",
            "effect.width_s is 14400; windows are kept for 10800",
        ),
        (
            "detector: unexpected\noptions: {reason: frist_seen}",
            "options.reason 'frist_seen' is unknown; known: not_allowed, first_seen, substituted",
        ),
        (
            "detector: error_class\noptions: {reason: news}",
            "options.reason 'news' is unknown; known: new, spike",
        ),
        (
            "detector: budget\noptions: {kind: brun}",
            "options.kind 'brun' is unknown; known: burn, share, forecast, call, day",
        ),
        ("tests: [{name: a, expect: explodes}]", "tests.0.expect: "),
        (": :", "not YAML"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence_with_file_and_key(edit: str, complaint: str) -> None:
    text = "\n".join(
        line for line in MINIMAL.splitlines() if line.partition(":")[0] != edit.partition(":")[0]
    )
    with pytest.raises(RuleError) as error:
        parse_rule(f"{text}\n{edit}\n", "mine", "rules/mine.yaml")
    assert str(error.value).startswith("rules/mine.yaml: ")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_file_leaves_out_is_the_detectors_default() -> None:
    rule = parse_rule(MINIMAL + "effect: {ratio: 4}\n", "mine", "mine.yaml")
    assert rule.effect == {"ratio": 4.0}
    assert rule.evidence == {"p": 1e-6}
    assert rule.volume == {"n": 20.0}


@pytest.mark.parametrize("name", ["Spike", "9lives", "a b", ""])
def test_a_file_name_must_be_an_id(name: str) -> None:
    with pytest.raises(RuleError, match="rule's id"):
        parse_rule(MINIMAL, name, f"{name}.yaml")


def test_a_users_file_replaces_the_shipped_rule_of_its_name_and_adds_others(tmp_path: Path) -> None:
    (tmp_path / "spike_runs.yaml").write_text(MINIMAL.replace("title: t", "title: ours"))
    (tmp_path / "more.yaml").write_text(MINIMAL)
    rules = {rule.id: rule for rule in load_rules(tmp_path)}
    assert rules["spike_runs"].title == "ours"
    assert "more" in rules
    assert rules["flatline"] == next(rule for rule in RULES if rule.id == "flatline")
    assert list(rules) == sorted(rules)


def test_a_rule_cannot_be_inhibited_by_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINIMAL + "inhibited_by: [ghost]\n")
    with pytest.raises(RuleError, match="'ghost', which does not exist"):
        load_rules(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="no such folder"):
        load_rules(tmp_path / "nowhere")
    with pytest.raises(RuleError, match="holds no rule"):
        check_rules(tmp_path)


def test_a_rule_without_a_silent_case_does_not_pass() -> None:
    rule = parse_rule(
        MINIMAL + 'tests: [{name: up, expect: fires, series: {runs_by_service: "100x59 2000x2"}}]',
        "mine",
        "mine.yaml",
    )
    assert [result.passed for result in check_rule(rule)] == [True, False]


def test_a_failing_case_says_why() -> None:
    rule = next(rule for rule in RULES if rule.id == "spike_runs")
    calm = RuleTest(name="x", expect="fires", series={"runs_by_service": "5x89"})
    assert run_test(rule, calm).why == "stayed silent"
    wild = RuleTest(name="x", expect="silent", series={"runs_by_service": "100x59 2000"})
    assert run_test(rule, wild).why.startswith("fired at window 61")
    wrong = RuleTest(name="x", expect="fires", series={"runs_by_servce": "5"})
    assert "is no series" in run_test(rule, wrong).why


def test_the_shipped_folder_passes_its_own_check() -> None:
    assert SHIPPED.is_dir()
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == {rule.id for rule in RULES}


# ---- the mini-language -----------------------------------------------------------------


def values(text: str, seed: int = 1) -> list[int | None]:
    points = parse_points(text, np.random.default_rng(seed))
    return [None if point is None else point.value for point in points]


def test_items_are_values_and_how_long_they_hold() -> None:
    assert values("100x2 7 _x2 10+2x2 9-3x4") == [
        100, 100, 100, 7, None, None, 10, 12, 14, 9, 6, 3, 0, 0,
    ]  # fmt: skip


def test_noise_comes_from_the_declared_seed_only() -> None:
    assert values("~50x19 ~50/3x19", 5) == values("~50x19 ~50/3x19", 5)
    assert values("~50x19", 5) != values("~50x19", 6)


@pytest.mark.parametrize("text", ["x5", "100y3", "1..2", "_~4"])
def test_what_is_no_item_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no item"):
        values(text)


def test_a_key_names_a_series_and_a_field() -> None:
    assert parse_key("calls_by_model.in model=m1") == (
        join_series("calls_by_model", "prod", "shop", "m1"),
        "in",
    )
    with pytest.raises(ValueError, match="no dimension"):
        parse_key("calls_by_model tool=m1")


def test_durations_are_the_quantiles_that_were_asked_for() -> None:
    frame = frames_of({"runs_by_service": "1000@2000~0.5"})[0]
    assert frame.start == EPOCH
    counted = sum(
        int(v)
        for f, v in zip(frame.field, frame.value, strict=True)
        if frame.fields[f].startswith("d:")
    )
    assert counted == 1000
