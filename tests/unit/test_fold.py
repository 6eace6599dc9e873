"""Fold against the brute-force oracle, and the laws that let a batch be cut anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import Windows, count
from spans import T0_NS, frame, rows, span
from tocsin.flow.windows.event_time import TimeRules, place
from tocsin.flow.windows.fold import SKETCH_ACCURACY, ShardDelta, bucket, bucket_value, fold
from tocsin.types import STEP, STEP_COST_UNKNOWN, STEP_ERROR, STEP_HAS_ARGS

SHARDS = 4
ALWAYS = TimeRules(lateness_ms=10**12, horizon_ms=10**12)


def folded(spans: list[dict], shards: int = SHARDS) -> Mapping[int, ShardDelta]:
    placed = place(frame(spans), {}, ALWAYS)
    return fold(placed.spans, shards)


def counters(deltas: Mapping[int, ShardDelta]) -> Windows:
    total: Windows = {}
    for delta in deltas.values():
        for w in delta.windows:
            pairs = zip(w.counts[::2], w.counts[1::2], strict=True)
            counts = {str(name): int(by) for name, by in pairs}
            total.setdefault((w.window, w.series), Counter()).update(counts)
    return total


@given(st.lists(rows(), max_size=30))
def test_fold_counts_what_the_oracle_counts(spans: list[dict]) -> None:
    spans += spans  # each cell holds two at least, so that few cases tell a sum from a maximum
    assert counters(folded(spans)) == count(spans)


@given(st.lists(rows(), min_size=1, max_size=30), st.data())
def test_a_batch_may_be_cut_anywhere(spans: list[dict], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(spans)))
    total = counters(folded(spans[:cut]))
    for key, counts in counters(folded(spans[cut:])).items():
        total.setdefault(key, Counter()).update(counts)
    assert total == counters(folded(spans))


@given(st.permutations(range(12)), st.lists(rows(), min_size=12, max_size=12))
def test_order_does_not_matter_to_windows(order: list[int], spans: list[dict]) -> None:
    assert counters(folded([spans[i] for i in order])) == counters(folded(spans))


@given(st.lists(rows(), max_size=20))
def test_a_series_lives_in_one_shard_and_all_of_a_service_in_the_same(spans: list[dict]) -> None:
    homes: dict[tuple[str, ...], set[int]] = {}
    for shard, delta in folded(spans).items():
        for window in delta.windows:
            homes.setdefault(tuple(window.series.split("\x1f")[1:3]), set()).add(shard)
    assert all(len(shards) == 1 for shards in homes.values())


@given(st.lists(rows(), max_size=40))
def test_runs_carry_every_step_in_time_order_with_its_totals(spans: list[dict]) -> None:
    work = [s for s in spans if s["kind"] != "other"]
    runs = {r.trace_id: r for delta in folded(spans).values() for r in delta.runs}
    assert runs.keys() == {s["trace_id"] for s in work}
    for trace_id, run in runs.items():
        mine = [s for s in work if s["trace_id"] == trace_id]
        steps = np.frombuffer(run.steps, STEP)
        assert run.spans == len(mine)
        ends = sorted(s["end_ns"] // 1_000_000 for s in mine)
        assert steps["end_ms"].tolist() == ends[-64:]
        assert run.first_ms == min(s["start_ns"] // 1_000_000 for s in mine)


def steps_of(*spans: dict) -> np.ndarray:
    (run,) = (r for d in folded(list(spans)).values() for r in d.runs)
    return np.frombuffer(run.steps, STEP)


def test_equal_calls_have_equal_symbols_and_other_arguments_or_agents_do_not() -> None:
    call = {"kind": "tool", "tool": "search", "agent": "a", "args_hash": "1" * 16}
    steps = steps_of(
        span(**call, span_id="1"),
        span(**call, span_id="2"),
        span(**call | {"args_hash": "2" * 16}, span_id="3"),
        span(**call | {"agent": "b"}, span_id="4"),
        span(**call, span_id="5", error=True, error_class="timeout"),
    )
    assert steps["sym"][0] == steps["sym"][1] == steps["sym"][4]
    assert len(set(steps["sym"].tolist())) == 3
    assert steps["rsym"][0] == steps["rsym"][1] != steps["rsym"][4]
    assert steps["flags"].tolist() == [STEP_HAS_ARGS] * 4 + [STEP_HAS_ARGS | STEP_ERROR]


def test_every_label_a_step_names_is_in_its_shards_table() -> None:
    for delta in folded([span(trace_id=str(i), model=f"m{i % 3}") for i in range(20)]).values():
        known = {label for label, _ in delta.labels}
        for run in delta.runs:
            steps = np.frombuffer(run.steps, STEP)
            assert {f"{label:016x}" for label in steps["label"].tolist()} <= known


@pytest.mark.parametrize("value", [1.0, 1.5, 10, 333.3, 1e4, 1e6, 9.9e9])
def test_a_bucket_stands_for_its_values_within_the_accuracy(value: float) -> None:
    assert abs(bucket_value(bucket(value)) - value) <= SKETCH_ACCURACY * value * (1 + 1e-9)


def test_markers_without_duration_stay_out_of_latency() -> None:
    deltas = counters(folded([span(kind="handoff", start_ns=T0_NS, end_ns=T0_NS)]))
    assert deltas
    assert not any(field.startswith("d:") for counts in deltas.values() for field in counts)


@given(st.lists(rows(), min_size=2, max_size=40), st.integers(0, 600), st.data())
def test_lateness_does_not_depend_on_how_the_log_was_cut(
    spans: list[dict], lateness_s: int, data: st.DataObject
) -> None:
    rules = TimeRules(lateness_ms=lateness_s * 1_000, horizon_ms=10**12)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(spans)), max_size=4))), len(spans)]
    high: dict[int, int] = {}
    pieces = []
    for start, end in pairwise(cuts):
        if start < end:
            timed = place(frame(spans[start:end]), high, rules)
            high = dict(timed.highs)
            pieces.append(timed.spans["late"])
    whole = place(frame(spans), {}, rules)
    assert pl.concat(pieces).to_list() == whole.spans["late"].to_list()
    assert high == whole.highs


def test_a_call_whose_cost_nobody_knows_is_marked_and_a_free_one_is_not() -> None:
    steps = steps_of(
        span(span_id="1", cost_nano=None),
        span(span_id="2", cost_nano=0),
        span(span_id="3", kind="tool", tool="t", cost_nano=None),
    )
    assert (steps["flags"] & STEP_COST_UNKNOWN).tolist() == [STEP_COST_UNKNOWN, 0, 0]
