"""Shapes of many runs at once are those of `tree.py`, run by run; pauses as one run shows them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.detect.runs import pauses
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.shapes import shapes
from tocsin.flow.detect.runs.step_ring import closing, has_called, read_rings
from tocsin.flow.detect.runs.tree import agents, depths, fan_outs
from tocsin.types import RUN_HEADER, RUN_VERSION, SEP, STEP, STEP_HAS_ARGS, ChangedRun, Kind

KINDS = list(Kind)
USED = [Kind.LLM, Kind.TOOL, Kind.RETRIEVAL, Kind.AGENT, Kind.WORKFLOW, Kind.HANDOFF, Kind.STEP]
AGENTS = ["a", "b", "c"]
#: One label an agent and a target, whatever the kind: enough for chains to come back.
LABELS = {
    f"{i * 3 + j + 1:016x}": SEP.join(("prod", "shop", one, "x", other))
    for i, one in enumerate(AGENTS)
    for j, other in enumerate(AGENTS)
}


@st.composite
def runs(draw: st.DrawFn, *, trees: bool = True) -> ChangedRun:
    """Any run of few spans, so that they repeat; its spans may go in circles, unless `trees`."""
    count = draw(st.integers(1, 16))
    steps = np.zeros(count, STEP)
    gaps = st.sampled_from([0, 0, 1_000, 1_000, -1_000, 130_000, 2_000_000])
    steps["end_ms"] = 10_000_000 + np.cumsum(draw(st.lists(gaps, min_size=count, max_size=count)))
    for step in steps:
        span = draw(st.integers(1, 12))
        step["span"] = span
        step["parent"] = draw(st.just(0) | st.integers(span + 1 if trees else 0, 13))
        step["label"], step["sym"] = draw(st.integers(1, 9)), draw(st.integers(1, 5))
        step["kind"] = KINDS.index(draw(st.sampled_from(USED)))
        known = draw(st.booleans())  # a symbol is made of the arguments, so the two never agree
        step["flags"], step["sym"] = STEP_HAS_ARGS * known, step["sym"] + 8 * known
        step["tokens"], step["cost_nano"] = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    left = draw(st.sampled_from([0, 0, 7]))  # steps that have left the ring, of 3 tokens each
    tokens = int(steps["tokens"].sum()) + 3 * left
    head = (RUN_VERSION, count + left, tokens, tokens * 1e6, 9_000_000)
    state = np.array(head, RUN_HEADER).tobytes() + steps.tobytes()
    return ChangedRun(f"t{draw(st.integers())}", state)


@given(st.lists(runs(), min_size=1, max_size=3))
def test_shapes_of_many_runs_are_the_shapes_of_each(some: list[ChangedRun]) -> None:
    rings, reader = read_rings(some), Reader(LABELS)
    found = shapes(rings.tidy(np.arange(len(some))), reader)
    for i in range(len(some)):
        steps = rings.of(i)
        names, models = reader.names(steps), has_called(rings, i, steps)
        assert found.depth[i] == depths(steps, names)[-1]
        assert found.fan_out[i] == fan_outs(steps, names, models=models)[-1]
        assert found.agents[i] == agents(steps)[-1]


@given(st.lists(runs(trees=False), min_size=1, max_size=3))
def test_agents_that_go_in_circles_are_as_deep_as_one_by_one(some: list[ChangedRun]) -> None:
    rings, reader = read_rings(some), Reader(LABELS)
    found = shapes(rings.tidy(np.arange(len(some))), reader)
    for i in np.flatnonzero(found.agents > 1).tolist():
        steps = rings.of(i)
        assert found.depth[i] == depths(steps, reader.names(steps))[-1]


@given(st.lists(runs(), min_size=1, max_size=3))
def test_pauses_of_many_runs_are_the_pauses_of_each(some: list[ChangedRun]) -> None:
    rings, reader = read_rings(some), Reader(LABELS)
    looped = {run.trace_id for run in some[::2]}
    for i, shown in enumerate(pauses.pauses_of(rings, reader, looped)):
        end_ms = rings.steps["end_ms"][rings.first[i] : rings.first[i + 1]]
        last = rings.steps[rings.first[i] : rings.first[i + 1]][end_ms == end_ms.max()]
        assert (shown.ended_ms, shown.ending) == (int(end_ms.max()), bool(closing(last).any()))
        if shown.brief:
            assert len(shown.pauses) == 1
            assert not shown.pauses[0].over
        else:
            one = pauses._pauses(rings, i, reader, looped=some[i].trace_id in looped)
            assert shown.pauses == one


@given(st.lists(runs(), min_size=1, max_size=3))
def test_tidy_rings_are_the_rings_in_order(some: list[ChangedRun]) -> None:
    rings = read_rings(some)
    every = np.arange(0, len(some), 2)
    tidy = rings.tidy(every)
    for k, i in enumerate(every.tolist()):
        assert (tidy.steps[tidy.first[k] : tidy.first[k + 1]] == rings.of(i)).all()
        assert (tidy.held[k], tidy.traces[k]) == (rings.held[i], rings.traces[i])
