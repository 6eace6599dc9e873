"""Runs to findings, and findings of runs to alerts."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.alerts import AlertState, advance
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import load_rules, parse_rule
from tocsin.flow.detect.run_tracker import RunTracker
from tocsin.flow.policies import policies_of
from tocsin.flow.rule_tests.runs import expand, run_case, steps_of
from tocsin.flow.rules.spec import RuleError, RuleTest
from tocsin.flow.windows.fold_runs import fold_runs
from tocsin.types import (
    NANO,
    RING,
    RUN_HEADER,
    RUN_VERSION,
    SPAN_SCHEMA,
    STEP,
    ChangedRun,
    Finding,
    Kind,
    join_series,
)

RULE = next(rule for rule in load_rules() if rule.id == "runaway_loop")
POLICIES = policies_of([RULE])


def breaches(text: str) -> list[Finding]:
    run, labels = run_case(text)
    return [finding for finding in RunTracker([RULE]).judge([run], labels) if finding.breach]


def with_steps(run: ChangedRun, steps: np.ndarray) -> ChangedRun:
    return ChangedRun(run.trace_id, run.state[: RUN_HEADER.itemsize] + steps.tobytes())


def live(run: ChangedRun, labels: dict[str, str], sizes: Iterable[int]) -> list[AlertEvent]:
    """The run in snapshot after snapshot, its ring rolling, through detection and alerts."""
    steps = steps_of(run)
    states: dict[str, AlertState] = {}
    events: list[AlertEvent] = []
    end = 0
    for size in sizes:
        end += size
        if end - size < len(steps):
            seen = with_steps(run, steps[:end][-RING:])
            now_ms = int(seen_end(seen))
            findings = RunTracker([RULE]).judge([seen], labels)
            states, new = advance(states, findings, now_ms, POLICIES)
            events += new
    return events


def seen_end(run: ChangedRun) -> int:
    return int(steps_of(run)["end_ms"].max())


@pytest.mark.parametrize("case", RULE.tests, ids=lambda case: case.name)
def test_the_rule_file_says_what_the_judge_does(case: RuleTest) -> None:
    found = breaches(case.runs)
    assert bool(found) == (case.expect == "fires")
    if case.severity:
        assert found[-1].severity == case.severity


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("llm read(f)=x llm read(f)=x", []),
        ("[llm read(f)=x] x3", [("warning", 3)]),
        ("[llm read(f)=x] x12", [("warning", 3), ("critical", 5), ("critical", 10)]),
        ("read(f) x4", []),  # results not known: four may be chance
        ("read(f) x5", [("critical", 5)]),
        ("more(c)=1 more(c)=2 more(c)=3 more(c)=4 more(c)=5 more(c)=6", []),
        (" ".join(f"more(c)={i}" for i in range(20)), [("warning", 10), ("critical", 20)]),
        ("[more(c)=1 more(c)=2] more(c)=1 more(c)=3 more(c)=4", [("critical", 5)]),
        ("@w/1 llm t(1)=x @w/2 llm t(1)=x @w/3 llm t(1)=x @w/1 u(1)=a @w/2 u(2)=b", []),
        ("@w/1 llm @w/2 llm @w/1 t(1)=x t(1)=x @w/2 t(1)=x @w/1 t(1)=x", [("warning", 3)]),
        ("@w/1 llm t(1)=x done/1 @w/2 llm t(1)=x done/2 @w/3 llm t(1)=x", [("warning", 3)]),
        ("@w/1 t(1)=x @w/2 t(1)=x @w/3 t(1)=x", [("warning", 3)]),  # a span around each call
        (" ".join(f"@w/{i} llm t(1)=x" for i in range(9)), []),
        (" ".join(f"@w/{i} llm t(1)=x" for i in range(10)), [("critical", 10)]),  # spans never seen
        (" ".join(f"@w/{i} llm +-1 t(1)=x +-0.9" for i in range(12)), []),  # at once
        (
            "[a(1)=x b(1)=y c(1)=z d(1)=1 e(1)=1 f(1)=1 g(1)=1 h(1)=1 i(1)=1 j(1)=1] x3",
            [("critical", 3)],
        ),
        ("read=x x30", []),  # arguments not known: no two calls are alike
        ("read!gone x3", [("warning", 3)]),  # ... unless they fail alike
        ("read!gone read!denied read!gone", []),
        ("[a(1)=x b(1)=y] x3", [("critical", 3)]),
        ("[a(1) b(1)] x3", []),
        ("[a(1) b(1)] x4", [("critical", 4)]),
        ("[a(1)=x b(1)=1] a(1)=x b(1)=2 a(1)=x b(1)=3 a(1)=x b(1)=4", []),
        ("[a>b b>a] x2", []),
        ("[a>b b>a] x3", [("warning", 3)]),
        ("[a>b b>a] x5", [("warning", 3), ("critical", 5)]),
        ("a>b x9", []),  # work handed down again and again is no ping-pong
        ("[a>b t(1)=x b>a] x3", [("critical", 3)]),
        ("a>b t(1)=x b>a a>b t(2)=y b>a a>b t(3)=z b>a", []),
        ("job_status(7)=wait x19", []),
        ("job_status(7)=wait x20", [("warning", 20)]),
        ("[job_status(7)=wait +500] x3", [("warning", 3)]),
        ("[job_status(7)=a +500 job_status(7)=b +500] x9", []),
        ("llm!429 x2 llm llm!429", []),
        ("llm!429 x3", [("warning", 3)]),
        ("@a t(1)=x @b t(1)=x @a t(1)=x @b t(1)=x", []),
        ("[@a t(1)=x @b u(1)=x] x3", [("warning", 3), ("warning", 3), ("critical", 3)]),
    ],
)
def test_each_loop_is_told_at_its_thresholds(text: str, marks: list[tuple[str, int]]) -> None:
    told = [(f.severity, f.n) for f in breaches(text)]
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(marks))


def test_a_finding_tells_when_it_began_and_what_it_burnt() -> None:
    (found,) = breaches("plan(0)=ok [llm search(q)=none] x3")
    run, _ = run_case("plan(0)=ok [llm search(q)=none] x3")
    steps = steps_of(run)
    assert found.at_ms == steps["end_ms"][6]
    assert found.window == steps["end_ms"][2] // 1000
    assert found.tokens_burnt == 2_000  # the two calls between the three
    assert found.cost_burnt_nano == 2_000_000
    assert found.traces == ("t1",)
    assert dict(found.group) == {
        "env": "prod", "service": "shop", "agent": "agent", "tool": "search",
    }  # fmt: skip


def test_progress_ends_a_loop_and_so_does_the_end_of_the_run() -> None:
    run, labels = run_case("[llm search(q)=none] x3 read(1)=a read(2)=b")
    assert [event.reason for event in live(run, labels, [1] * 20)] == ["opened", "cleared"]
    run, labels = run_case("[llm search(q)=none] x3 llm end")
    assert [event.reason for event in live(run, labels, [1] * 20)] == ["opened", "cleared"]
    run, labels = run_case("[llm search(q)=none] x3 read(1)=a llm llm")
    assert [event.reason for event in live(run, labels, [1] * 20)] == ["opened"]


def test_a_run_that_falls_silent_in_its_loop_expires() -> None:
    run, labels = run_case("[llm search(q)=none] x3")
    states, _ = advance({}, RunTracker([RULE]).judge([run], labels), seen_end(run), POLICIES)
    states, events = advance(states, (), seen_end(run) + 900_000, POLICIES)
    assert [(event.status, event.at) for event in events] == [("expired", seen_end(run) + 900_000)]


def test_a_long_loop_is_one_alert_told_as_it_doubles_though_its_start_rolls_away() -> None:
    run, labels = run_case("[llm search(q)=none] x220")
    events = live(run, labels, [2] * 220)
    assert [(event.reason.value, event.n) for event in events] == [
        ("opened", 3), ("escalated", 5), ("updated", 10), ("updated", 20),
    ]  # fmt: skip
    assert len({event.alert_id for event in events}) == 1
    burnt = [event.tokens_burnt for event in events]
    assert all(a is not None and b is not None and a < b for a, b in pairwise(burnt))


def test_runs_that_loop_alike_are_one_alert_with_samples() -> None:
    cases = [run_case("[llm search(q)=none] x3", trace_id=f"t{i}") for i in range(50)]
    labels = cases[0][1]
    states: dict[str, AlertState] = {}
    events: list[AlertEvent] = []
    for run, _ in cases:
        findings = RunTracker([RULE]).judge([run], labels)
        states, new = advance(states, findings, seen_end(run), POLICIES)
        events += new
    assert len({event.alert_id for event in events}) == 1
    assert len(events) == 6  # opened, then at 2, 4, 8, 16, 32 runs
    assert len(events[-1].traces) == 5
    assert events[-1].tokens_burnt == 32 * 2_000


WORDS = st.sampled_from(
    ["llm", "a(1)=x", "a(1)=y", "b(1)=x", "c(2)!e", "llm!429", "@p", "@q", "+70", "p>q", "q>p"]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        words = " ".join(draw(st.lists(WORDS, min_size=1, max_size=5)))
        parts.append(f"[{words}] x{draw(st.integers(1, 8))}")
    return " ".join(parts)


@given(texts(), st.lists(st.integers(1, 12), min_size=200, max_size=200))
def test_events_do_not_depend_on_how_many_steps_a_snapshot_brings(
    text: str, sizes: list[int]
) -> None:
    run, labels = run_case(text + " llm")
    one = live(run, labels, [1] * len(steps_of(run)))
    many = live(run, labels, sizes)
    assert [event.encode() for event in one] == [event.encode() for event in many]


@given(texts(), st.randoms(use_true_random=False))
def test_order_of_arrival_and_repeated_delivery_change_nothing(
    text: str, rng: random.Random
) -> None:
    run, labels = run_case(text + " llm")
    steps = steps_of(run)[-RING:]
    order = [*range(len(steps)), *rng.choices(range(len(steps)), k=5)]
    rng.shuffle(order)
    plain = RunTracker([RULE]).judge([with_steps(run, steps)], labels)
    assert RunTracker([RULE]).judge([with_steps(run, steps[order])], labels) == plain


@given(st.lists(texts(), min_size=1, max_size=8))
def test_runs_are_judged_each_for_itself(many: list[str]) -> None:
    cases = [run_case(text + " llm", trace_id=f"t{i}") for i, text in enumerate(many)]
    labels = {key: name for _, part in cases for key, name in part.items()}
    runs = [run for run, _ in cases]
    alone = [finding for run in runs for finding in RunTracker([RULE]).judge([run], labels)]
    assert RunTracker([RULE]).judge(runs, labels) == alone


def test_names_that_are_not_known_yet_do_not_hide_a_loop() -> None:
    run, _ = run_case("search(q)=none x3")
    (found,) = RunTracker([RULE]).judge([run], {})
    assert found.breach
    assert dict(found.group)["tool"] == "_none"


def test_an_empty_run_and_no_runs_are_fine() -> None:
    header = np.array((RUN_VERSION, 0, 0, 0, 0), RUN_HEADER).tobytes()
    assert RunTracker([RULE]).judge([ChangedRun("t", header)], {}) == []
    assert RunTracker([RULE]).judge([], {}) == []
    assert RunTracker([]).judge([ChangedRun("t", header)], {}) == []


def test_a_run_of_another_version_is_left_alone() -> None:
    run, labels = run_case("search(q)=none x3")
    header = np.array((RUN_VERSION + 1, 3, 0, 0, 0), RUN_HEADER).tobytes()
    other = ChangedRun("t", header + run.state[RUN_HEADER.itemsize :])
    assert RunTracker([RULE]).judge([other], labels) == []


def test_a_state_that_is_no_run_stops_loudly() -> None:
    with pytest.raises(ValueError, match=r"whole steps|buffer size"):
        RunTracker([RULE]).judge([ChangedRun("t", b"\0" * (RUN_HEADER.itemsize + 7))], {})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("effect: {repeats: 3}", "effect.repeats is not read by detector 'loop'; known: repeat, "),
        ("effect: {repeat: 1}", "effect: counts of a loop start at 2"),
        ("options: {x: 1}", "options.x is not read by detector 'loop'; known: poll_tools"),
    ],
)
def test_a_loop_rule_with_a_key_nobody_reads_is_refused(change: str, why: str) -> None:
    text = f"title: t\nkpi: depth\ndetector: loop\nrunbook: [r]\n{change}\n"
    with pytest.raises(RuleError, match=re.escape(f"mine.yaml: {why}")):
        parse_rule(text, "mine", "mine.yaml")


def test_thresholds_and_groups_are_the_rules() -> None:
    strict: Rule = RULE.model_copy(
        update={"effect": {"repeat": 2.0}, "group_by": ("service", "family", "trace_id")}
    )
    run, labels = run_case("search(q)=none x2")
    (found,) = RunTracker([strict]).judge([run], labels)
    assert found.group == (("service", "shop"), ("family", "repeat"), ("trace_id", "t1"))


def test_the_words_of_a_case_expand() -> None:
    assert expand("a [b c] x2 d x3") == ["a", "b", "c", "b", "c", "d", "d", "d"]
    for wrong in ("[a", "a]", "a]["):
        with pytest.raises(ValueError, match="without its"):
            expand(wrong)
    with pytest.raises(ValueError, match="is no step"):
        run_case("a(")


def test_kinds_between_two_calls_do_not_break_a_repetition() -> None:
    run, labels = run_case("[llm search(q)=none] x3")
    steps = steps_of(run).copy()
    for kind in (Kind.GUARDRAIL, Kind.AGENT, Kind.STEP, Kind.EMBEDDING):
        steps["kind"][0::2] = list(Kind).index(kind)
        assert RunTracker([RULE]).judge([with_steps(run, steps)], labels)


def test_steps_are_62_bytes_so_a_full_ring_stays_under_four_kib() -> None:
    assert RUN_HEADER.itemsize + RING * STEP.itemsize < 4_096


def folded(words: str) -> tuple[ChangedRun, dict[str, str]]:
    """The same words as spans, through the real fold."""
    rows = []
    for i, word in enumerate(expand(words)):
        act, _, result = word.partition("=")
        source, handed, target = act.partition(">")
        name, _, args = act.rstrip(")").partition("(")
        llm = name == "llm"
        kind = Kind.HANDOFF if handed else Kind.LLM if llm else Kind.TOOL
        row = dict.fromkeys(SPAN_SCHEMA) | {
            "row": i, "trace_id": "t1", "span_id": f"s{i}", "parent_id": "root",
            "kind": kind.value, "start_ns": i * NANO, "end_ns": (i + 1) * NANO, "env": "prod",
            "service": "shop", "agent": source if handed else "agent", "error": False,
            "timeout": False,
        }  # fmt: skip
        row |= {"model": "m", "input_tokens": 900, "output_tokens": 100} if llm else {}
        row |= {"handoff_from": source, "handoff_to": target} if handed else {}
        row |= {"tool": name, "args_hash": args or None, "result_hash": result or None} if (
            kind is Kind.TOOL
        ) else {}  # fmt: skip
        rows.append(row)
    deltas, labels = fold_runs(pl.DataFrame(rows, schema=dict(SPAN_SCHEMA)), 1)[0]
    (delta,) = deltas
    header = np.array((RUN_VERSION, delta.spans, delta.tokens, 0, 0), RUN_HEADER)
    return ChangedRun(delta.trace_id, header.tobytes() + delta.steps), dict(labels)


@pytest.mark.parametrize(
    ("words", "tool", "observed"),
    [
        ("[llm search(q)=none] x3", "search", 3),
        ("[a(1)=x llm b(2)=y] x3", "a+b", 3),
        ("[triage>billing llm billing>triage] x3", "billing+triage", 3),
        ("[llm search(q)=none] x2", "", 0),
        ("[triage>billing llm] x9", "", 0),
        ("search(1)=x search(2)=x search(3)=x", "", 0),
    ],
)
def test_spans_that_loop_are_found_through_the_real_fold(
    words: str, tool: str, observed: int
) -> None:
    run, labels = folded(words)
    found = [f for f in RunTracker([RULE]).judge([run], labels) if f.breach]
    assert [(dict(f.group)["tool"], f.n) for f in found] == ([(tool, observed)] if tool else [])
    if found:
        assert found[0].series == join_series("run", "prod", "shop", "t1")


def test_a_span_without_a_parent_is_a_root() -> None:
    row = dict.fromkeys(SPAN_SCHEMA) | {
        "row": 0, "trace_id": "t1", "span_id": "s", "kind": "agent", "start_ns": 0, "end_ns": NANO,
        "env": "prod", "service": "shop", "error": False, "timeout": False,
    }  # fmt: skip
    child = row | {"span_id": "c", "parent_id": "s"}
    deltas, _ = fold_runs(pl.DataFrame([row, child], schema=dict(SPAN_SCHEMA)), 1)[0]
    steps = np.frombuffer(deltas[0].steps, STEP)
    assert steps["parent"].tolist() == [0, steps["span"][0]]


def test_a_run_costs_what_its_calls_cost_however_little_each_is() -> None:
    row = dict.fromkeys(SPAN_SCHEMA) | {
        "row": 0, "trace_id": "t1", "kind": "embedding", "start_ns": 0, "end_ns": NANO,
        "env": "prod", "service": "shop", "error": False, "timeout": False, "cost_nano": 901,
    }  # fmt: skip
    rows = [row | {"span_id": str(i)} for i in range(300)]
    deltas, _ = fold_runs(pl.DataFrame(rows, schema=dict(SPAN_SCHEMA)), 1)[0]
    assert deltas[0].cost_nano == 300 * 901
    assert np.frombuffer(deltas[0].steps, STEP)["cost_nano"].sum() == RING * 901
