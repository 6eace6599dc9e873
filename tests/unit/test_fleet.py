"""Laws of the synthetic fleet: the same seed, the same spans; an incident, and nothing else."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from tocsin.demo.draw import BLOCK_MS
from tocsin.demo.fleet import Fleet
from tocsin.demo.incidents import KINDS, MINUTE_MS, Incident, scenario
from tocsin.demo.profiles import FLEET, NEW_MODEL
from tocsin.demo.span_messages import EncodedSpans

START_MS = 1_763_800_200_000 // BLOCK_MS * BLOCK_MS
SERVICES = [profile.service for profile in FLEET]
Span = dict[str, object]


def parsed(batch: EncodedSpans) -> list[Span]:
    return [json.loads(value) for value in batch.values]


def of(spans: list[Span], **wanted: object) -> list[Span]:
    return [s for s in spans if all(s.get(name) == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def calm() -> list[Span]:
    """Half an hour of the fleet with nothing wrong."""
    return parsed(Fleet(7).spans(START_MS, START_MS + 30 * MINUTE_MS))


def test_a_seed_gives_the_same_bytes_twice() -> None:
    first, again = (Fleet(3).spans(START_MS, START_MS + MINUTE_MS) for _ in range(2))
    assert first.values == again.values
    assert first.keys == again.keys
    assert first.values != Fleet(4).spans(START_MS, START_MS + MINUTE_MS).values


@cases(15)
@given(cuts=st.lists(st.integers(0, 2 * BLOCK_MS), max_size=6))
def test_cutting_time_changes_nothing(cuts: list[int]) -> None:
    loop = next(i for i in scenario(5, SERVICES, START_MS - 36 * MINUTE_MS) if i.kind == "loop")
    index = SERVICES.index(loop.service)
    fleet = Fleet(5, [loop], (FLEET[index], FLEET[index - 1]))
    edges = [START_MS + cut for cut in sorted({0, 2 * BLOCK_MS, *cuts})]
    parts = [fleet.spans(a, b) for a, b in itertools.pairwise(edges)]
    whole = fleet.spans(edges[0], edges[-1])
    assert [value for part in parts for value in part.values] == whole.values
    assert np.concatenate([part.end_ms for part in parts]).tolist() == whole.end_ms.tolist()


def test_spans_come_in_order_of_their_end_and_are_keyed_by_their_trace(calm: list[Span]) -> None:
    batch = Fleet(7).spans(START_MS, START_MS + 2 * MINUTE_MS)
    assert (np.diff(batch.end_ms) >= 0).all()
    spans = calm[: len(batch.values)]
    assert [int(str(s["end_time"])) // 1_000_000 for s in spans] == batch.end_ms.tolist()
    assert [str(s["trace_id"]).encode() for s in spans] == batch.keys


def test_ids_are_unique_and_parents_enclose_their_children(calm: list[Span]) -> None:
    by_id = {s["span_id"]: s for s in calm}
    assert len(by_id) == len(calm)
    children = [s for s in calm if s["parent_id"] in by_id]
    assert len(children) > len(calm) // 2
    for child in children:
        parent = by_id[child["parent_id"]]
        assert parent["trace_id"] == child["trace_id"]
        assert parent["start_time"] <= child["start_time"]  # type: ignore[operator]
        assert child["start_time"] <= child["end_time"] <= parent["end_time"]  # type: ignore[operator]


def test_the_fleet_publishes_about_thirty_spans_a_second(calm: list[Span]) -> None:
    assert 25 < len(calm) / 1800 < 40
    kinds = Counter(str(s["kind"]) for s in calm)
    assert set(kinds) == {"agent", "llm", "tool", "retrieval", "guardrail", "handoff"}
    assert {s["service"] for s in calm} == set(SERVICES)


def test_arrivals_are_more_spread_than_poisson() -> None:
    fleet = Fleet(11, profiles=FLEET[:1])
    spans = parsed(fleet.spans(START_MS, START_MS + 120 * MINUTE_MS))
    roots = of(spans, kind="agent", parent_id=None)
    minutes = Counter((int(str(s["end_time"])) // 1_000_000 - START_MS) // MINUTE_MS for s in roots)
    counts = np.array([minutes[m] for m in range(120)])
    assert counts.var() > 1.5 * counts.mean()


def test_a_healthy_run_never_makes_the_same_call_three_times(calm: list[Span]) -> None:
    calls = Counter((s["trace_id"], s["tool"], s["args_hash"]) for s in of(calm, kind="tool"))
    assert max(calls.values()) == 2, "retries are part of healthy traffic, and stop at two"


@pytest.fixture
def incidents() -> dict[str, Incident]:
    return {i.kind: i for i in scenario(7, SERVICES, START_MS)}


def test_a_scenario_has_one_incident_of_each_kind_each_in_another_service() -> None:
    for seed in range(50):
        incidents = scenario(seed, SERVICES, START_MS)
        assert {i.kind for i in incidents} == set(KINDS)
        assert len({i.service for i in incidents}) == len(KINDS)
        assert [i.from_ms for i in incidents] == sorted(i.from_ms for i in incidents)


def test_a_scenario_refuses_fewer_services_than_kinds() -> None:
    with pytest.raises(ValueError, match="need 5 services"):
        scenario(1, SERVICES[:4], START_MS)


def around(incident: Incident, minutes: int = 10) -> tuple[list[Span], list[Span]]:
    """The incident's service with it, and as it would have been, in its first minutes."""
    window = incident.from_ms, incident.from_ms + minutes * MINUTE_MS
    index = SERVICES.index(incident.service)
    two = (FLEET[index], FLEET[index - 1])
    with_it = parsed(Fleet(7, [incident], two).spans(*window))
    without = parsed(Fleet(7, profiles=two).spans(*window))
    others = [s for s in with_it if s["service"] != incident.service]
    assert others == [s for s in without if s["service"] != incident.service]
    return of(with_it, service=incident.service), of(without, service=incident.service)


def test_a_spike_multiplies_the_runs_of_its_service_alone(incidents: dict[str, Incident]) -> None:
    spike = incidents["spike"]
    with_it, without = around(spike, minutes=5)
    ratio = len(of(with_it, kind="agent")) / len(of(without, kind="agent"))
    assert 10 < ratio < 1.4 * spike.size


def test_a_flatline_leaves_no_span_at_all(incidents: dict[str, Incident]) -> None:
    with_it, without = around(incidents["flatline"])
    assert with_it == []
    assert len(without) > 100


def test_routing_moves_share_between_two_models_and_brings_a_new_one(
    incidents: dict[str, Incident],
) -> None:
    shift = incidents["routing"]
    with_it, without = (
        Counter(str(s["model"]) for s in of(spans, kind="llm"))
        for spans in around(shift, minutes=30)
    )
    profile = next(p for p in FLEET if p.service == shift.service)
    second = profile.models[1].name
    moved = with_it[second] / with_it.total() - without[second] / without.total()
    assert abs(moved - shift.size) < 0.08
    assert with_it[NEW_MODEL.name] > 0
    assert without[NEW_MODEL.name] == 0


def test_latency_moves_the_p95_of_model_calls_by_its_factor(incidents: dict[str, Incident]) -> None:
    slow = incidents["latency"]
    p95 = [
        np.quantile([int(str(s["end_time"])) - int(str(s["start_time"]))
                     for s in of(spans, kind="llm")], 0.95)
        for spans in around(slow, minutes=45)
    ]  # fmt: skip
    assert 1.3 < p95[0] / p95[1] < 1.7


def test_a_loop_is_one_open_run_repeating_one_call(incidents: dict[str, Incident]) -> None:
    loop = incidents["loop"]
    spans = parsed(Fleet(7, [loop]).spans(loop.from_ms, loop.to_ms))
    calls = Counter(
        (s["trace_id"], s["tool"], s["args_hash"], s["result_hash"]) for s in of(spans, kind="tool")
    )
    (trace, *_), count = calls.most_common(1)[0]
    assert count >= (loop.to_ms - loop.from_ms) / 1000 / loop.size - 2
    run = of(spans, trace_id=trace)
    assert run[-1]["kind"] == "agent", "the run's own span ends last: it was open all along"
