"""What the spans of one message say of each other, and what a record's headers say of them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from tocsin.flow.decode import Limits, decode
from unit.decode_samples import (
    KEY,
    LIMITS,
    TRANSPORTS,
    Message,
    Otlp,
    decode_values,
    encode,
    otlp,
    read,
)
from unit.wire_samples import MANY, MESSAGES, openai_agents

AGENT = {"gen_ai.operation.name": "invoke_agent"}
FLOW = {"gen_ai.operation.name": "invoke_workflow"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
STEP = {"openinference.span.kind": "CHAIN"}
WIRES = MESSAGES | {
    f"otlp_{transport}": lambda *spans, to=transport: otlp(to, *spans) for transport in TRANSPORTS
}
SEVERAL = [*MANY, *(f"otlp_{transport}" for transport in TRANSPORTS)]


def _id(number: int) -> str:
    return f"{number + 1:016x}"


def _tree(*spans: tuple[dict[str, Any], int | None]) -> list[Otlp]:
    """Spans given as attributes and the position of the parent."""
    return [
        Otlp(attributes, span_id=_id(i), parent_id="" if parent is None else _id(parent))
        for i, (attributes, parent) in enumerate(spans)
    ]


def _agents(wire: str, spans: list[Otlp]) -> list[str | None]:
    """The agent of each span, in the order of their ids."""
    decoded = decode_values(WIRES[wire](*spans))
    assert decoded.rejects == ()
    agents: list[str | None] = decoded.spans.sort("span_id")["agent"].to_list()
    return agents


def _named(name: str, attributes: dict[str, Any] = AGENT) -> dict[str, Any]:
    return attributes | {"gen_ai.agent.name": name}


@pytest.mark.parametrize("wire", SEVERAL)
def test_a_span_has_the_agent_of_the_nearest_span_around_it_that_has_one(wire: str) -> None:
    spans = _tree(
        (_named("planner"), None), (STEP, 0), (CHAT, 1), (TOOL, 1),
        (_named("writer"), 3), (CHAT, 4), (_named("critic", CHAT), 4), (STEP, None), (CHAT, 7),
    )  # fmt: skip
    expected = [
        "planner", "planner", "planner", "planner", "writer", "writer", "critic", None, None,
    ]  # fmt: skip
    assert _agents(wire, spans) == expected
    assert _agents(wire, spans[::-1]) == expected


@pytest.mark.parametrize("wire", SEVERAL)
def test_an_agent_without_a_name_is_somebody_else_and_a_workflow_nobodys(wire: str) -> None:
    spans = _tree((_named("planner"), None), (AGENT, 0), (CHAT, 1), (FLOW, 0), (CHAT, 3))
    assert _agents(wire, spans) == ["planner", None, None, None, "planner"]


def test_only_spans_of_one_message_are_compared() -> None:
    agent, call = _tree((_named("planner"), None), (CHAT, 0))
    together = decode_values(otlp("json", agent, call))
    apart = decode_values(otlp("json", agent), otlp("json", call))
    assert together.spans["agent"].to_list() == ["planner", "planner"]
    assert apart.spans["agent"].to_list() == ["planner", None]


PARENTS = st.lists(st.one_of(st.none(), st.integers(0, 11)), min_size=2, max_size=12)
KINDS = st.lists(
    st.sampled_from([_named("a"), _named("b"), AGENT, FLOW, STEP, CHAT, TOOL]),
    min_size=12,
    max_size=12,
)


@cases(40)
@given(PARENTS, KINDS, st.randoms(use_true_random=False))
def test_neither_order_nor_circles_of_parents_change_whose_a_span_is(
    parents: list[int | None], kinds: list[dict[str, Any]], rng: Any
) -> None:
    spans = _tree(*zip(kinds, parents, strict=False))
    shuffled = rng.sample(spans, len(spans))
    agents = _agents("otlp_json", spans)
    assert _agents("otlp_json", shuffled) == agents

    def whose(i: int) -> str | None:  # the definition, step by step
        seen: set[int] = set()
        at: int | None = i
        while at is not None and at < len(spans) and at not in seen:
            seen.add(at)
            attributes = spans[at].attributes
            if "gen_ai.agent.name" in attributes:
                return str(attributes["gen_ai.agent.name"])
            if attributes == AGENT:
                return None
            at = parents[at]
        return None

    own = [dict(span.attributes) != FLOW for span in spans]
    assert agents == [whose(i) if own[i] else None for i in range(len(spans))]


def test_a_message_of_ever_deeper_spans_takes_no_longer_than_a_flat_one() -> None:
    n = 3_000
    flat = _tree((_named("a"), None), *[(STEP, 0)] * n)
    deep = _tree((_named("a"), None), *[(STEP, i) for i in range(n)])
    times = []
    for spans in (flat, deep[::-1]):
        message = otlp("protobuf", *spans)
        begin = time.process_time()
        assert decode_values(message).spans["agent"].to_list() == ["a"] * (n + 1)
        times.append(time.process_time() - begin)
    print(f"flat {times[0]:.3f} s, deep {times[1]:.3f} s")
    assert times[1] < 4 * times[0] + 0.1


HEADERS = [
    ("service.name", b"desk"), ("deployment.environment.name", b"prod"),
    ("service.version", b"7"), ("traceparent", b"MARK"), ("host.name", b"MARK"),
]  # fmt: skip


def _with_headers(value: bytes) -> list[tuple[str, str, str | None]]:
    decoded = decode([Message(value, HEADERS)], LIMITS, KEY)
    assert decoded.rejects == ()
    assert "MARK" not in decoded.spans.write_csv()
    return decoded.spans.select("service", "env", "release").rows()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_headers_name_what_the_message_leaves_out(transport: str) -> None:
    assert _with_headers(otlp(transport, Otlp(CHAT), resource={})) == [("desk", "prod", "7")]
    own = {"service.name": "shop", "service.version": "1"}
    assert _with_headers(otlp(transport, Otlp(CHAT), resource=own)) == [("shop", "prod", "1")]


SPAN = openai_agents({"type": "agent", "name": "a"})
TRACE = {"object": "trace", "id": SPAN["trace_id"], "workflow_name": "Customer service"}
METADATA = {
    "service.name": "shop", "service.version": "1", "deployment.environment.name": "test",
    "gen_ai.agent.name": "triage", "customer": "MARK",
}  # fmt: skip


def test_a_later_batch_of_a_trace_is_of_the_same_service_by_its_header() -> None:
    first, later = encode({"data": [TRACE, SPAN]}), encode({"data": [SPAN]})
    assert _with_headers(first) == _with_headers(later) == [("desk", "prod", "7")]


def test_or_by_the_metadata_of_its_spans() -> None:
    call = openai_agents({"type": "response", "usage": {}}, metadata=METADATA)
    (row,) = decode_values(encode({"data": [call]})).spans.to_dicts()
    assert (row["service"], row["env"], row["release"]) == ("shop", "test", "1")
    assert row["agent"] == "triage"
    assert "MARK" not in repr(row)
    named = TRACE | {"metadata": METADATA}
    (row,) = decode_values(encode({"data": [named, SPAN]})).spans.to_dicts()
    assert (row["service"], row["env"], row["workflow"]) == ("shop", "test", "Customer service")


def test_the_sdks_own_batch_says_which_agent_a_call_is_of() -> None:
    agent = openai_agents({"type": "agent", "name": "triage"}, id="span_a")
    turn = openai_agents(
        {"type": "custom", "name": "turn", "data": {"sdk_span_type": "turn"}},
        id="span_b", parent_id="span_a",
    )  # fmt: skip
    call = openai_agents({"type": "response", "usage": {}}, id="span_c", parent_id="span_b")
    decoded = decode_values(encode({"data": [call, turn, agent]}))
    assert decoded.spans["agent"].to_list() == ["triage"] * 3


def test_a_span_that_is_refused_still_says_whose_its_children_are() -> None:
    agent = Otlp(_named("a"), span_id=_id(0), start_ns=5_000)  # refused
    call = Otlp(CHAT, span_id=_id(1), parent_id=_id(0))
    decoded = decode_values(otlp("json", agent, call), limits=Limits())
    assert len(decoded.rejects) == 1
    assert decoded.spans["agent"].to_list() == ["a"]
    assert read("json", call)[0]["agent"] is None
