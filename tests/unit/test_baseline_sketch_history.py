"""What is bad never becomes what is usual: not its first minutes, and not after a restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.sketch_history import (
    LAG_QUARTERS,
    QUARTER_S,
    SketchHistory,
    contaminated,
)
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.series import EPOCH, frame_of, frames_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import join_series

SERIES = join_series("calls_by_model", "prod", "shop", "gpt-5")
RULES = [rule for rule in load_rules() if rule.id == "latency_calls"]
SETTINGS = DetectSettings(warmup_windows=60)


def lived(evaluator: ShardEvaluator) -> History:
    return evaluator.detector.history


def bad_in_baseline(evaluator: ShardEvaluator, healthy_most: int) -> int:
    history = lived(evaluator)
    rows = history.catalog.rows((SERIES,))
    base = history.sketches["duration"].baseline
    return int(sketch.above(base, rows, np.array([healthy_most]))[0])


@pytest.mark.parametrize("onset", [240, 254])
@pytest.mark.parametrize("rate", [40, 8])
def test_a_regression_never_enters_its_own_baseline_from_whichever_minute_it_began(
    onset: int, rate: int
) -> None:
    text = f"{rate}@2000~0.3x{onset} {rate}@6000~0.1x{400 - onset}"
    frames = frames_of({"calls_by_model model=gpt-5": text})
    healthy_most = max(int(f[2:]) for f in frames[0].fields if f.startswith("d:"))
    evaluator = ShardEvaluator(RULES, SETTINGS)
    fired = False
    for frame in frames:
        result = evaluator.evaluate_window(frame)
        fired |= any(event.status == "firing" for event in result.events)
        assert bad_in_baseline(evaluator, healthy_most) == 0
    assert fired


def test_what_was_spoilt_is_spoilt_after_a_restart() -> None:
    text = "40@2000~0.3x246 40@6000~0.1x149"
    frames = frames_of({"calls_by_model model=gpt-5": text})
    live, blobs = ShardEvaluator(RULES, SETTINGS), dict[str, bytes | None]()
    for frame in frames:
        blobs |= live.evaluate_window(frame).blobs
    back = ShardEvaluator(RULES, SETTINGS)
    back.restore({key: raw for key, raw in blobs.items() if raw is not None})
    one, other = (lived(d).sketches["duration"].baseline for d in (live, back))
    assert one.count.sum() > 0
    assert np.array_equal(one.count, other.count)


def quarter(past: SketchHistory, catalog: Catalog, number: int, bad: dict[str, list[str]]) -> None:
    frame = frame_of(number * QUARTER_S, QUARTER_S, {SERIES: {"n": 1, "d:700": 1}})
    past.push_quarter(frame, catalog.rows(frame.series), bad)
    past.age_out(frame.start)


@pytest.mark.parametrize("back", range(LAG_QUARTERS + 1))
def test_a_breach_spoils_just_what_its_look_took_in(back: int) -> None:
    catalog = Catalog()
    past = SketchHistory("duration", 60, 104, catalog)
    window, reach = 20 * QUARTER_S, 60 + back * QUARTER_S
    marks = contaminated("duration", catalog.rows((SERIES,)), np.array([reach]), window, 60)
    bad = {key: [catalog.names[row] for row in rows] for key, rows in marks.items()}
    for number in range(40):
        quarter(past, catalog, number, bad if number == 20 else {})
    entered = 40 - LAG_QUARTERS
    assert past.baseline.count.sum() == entered - (back + 1)


def test_what_is_usual_is_that_of_the_baseline_whatever_was_born_since_it_was_asked_for() -> None:
    catalog = Catalog()
    past = SketchHistory("duration", 60, 104, catalog)
    for number in range(LAG_QUARTERS + 2):
        quarter(past, catalog, number, {})
        for born in range(3):
            catalog.rows((join_series("calls_by_model", "prod", f"s{number}-{born}", "gpt-5"),))
            whole, _ = sketch.quantile(past.baseline, np.arange(len(catalog)), 0.5)
            assert np.array_equal(past.usual(0.5), whole, equal_nan=True)
    assert np.isfinite(past.usual(0.5)[0])


def test_only_views_that_rules_read_have_a_past() -> None:
    series = {"calls_by_model model=gpt-5": "9@100x3", "tools_by_tool tool=a": "9@100x3"}
    history = History(60, ["n"], {"duration": frozenset({"tools_by_tool"})})
    for frame in frames_of(series):
        history.learn(frame, {})
    rows = history.catalog.rows((SERIES, join_series("tools_by_tool", "prod", "shop", "a")))
    past = history.sketches["duration"]
    assert past.recent_counts(rows, [4])[0].tolist() == [0, 36]


def test_recent_counts_are_those_of_the_windows_and_unknown_windows_count_nothing() -> None:
    history = History(60, ["n"])
    frames = frames_of({"calls_by_model model=gpt-5": "3@100 5@100 7@100 9@100"})
    for frame in (frames[0], frames[1], frames[3]):
        history.learn(frame, {})
    rows = history.catalog.rows((SERIES,))
    past = history.sketches["duration"]
    assert [int(n[0]) for n in past.recent_counts(rows, range(5))] == [0, 9, 9, 14, 17]


def test_a_window_without_observations_is_no_window_lost() -> None:
    catalog = Catalog()
    past, rows = SketchHistory("ttft", 60, 104, catalog), catalog.rows((SERIES,))
    past.push_window(frame_of(EPOCH, 60, {SERIES: {"t:100": 3}}), rows)
    past.push_window(frame_of(EPOCH + 60, 60, {}), np.empty(0, np.int64))
    now, low = sketch.EMPTY, np.array([0])
    assert past.stacks(now, EPOCH + 120, 1) == []
    found = past.stacks(now, EPOCH + 120, 2)
    assert [[part.tolist() for part in stack.above(rows, low)] for stack in found] == [[[3], [3]]]
    assert past.baseline is sketch.EMPTY


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=9)),
    st.integers(0, 4),
)
def test_a_stack_says_of_its_newest_windows_what_they_say_one_by_one(
    windows: list[list[tuple[int, int]]], since: int
) -> None:
    parts = [
        sketch.from_cells(
            np.array([row * sketch.WIDTH + bucket for row, bucket in cells], np.int64),
            np.ones(len(cells), np.int64),
        )
        for cells in windows
    ]
    rows, cut = np.array([3, 0, 4]), np.array([10, 20, 5])
    stacks = [stack.since(since) for stack in sketch.stacked(dict(enumerate(parts)), 5)]
    alone = [sketch.Stack(part, (i,), 5) for i, part in enumerate(parts) if i >= since]
    nothing = np.zeros((2, 3), np.int64)
    together, apart = (
        sum((np.array(s.above(rows, cut)) for s in held), nothing) for held in (stacks, alone)
    )
    assert together.tolist() == apart.tolist()
    one, two = (sketch.add([stack.only(rows) for stack in held]) for held in (stacks, alone))
    assert np.array_equal(one.key, two.key)
    assert np.array_equal(one.count, two.count)
