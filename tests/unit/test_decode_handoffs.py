"""The eleven ways in which producers say that one agent hands over to another.

Each case is what the producer puts on the span, and between whom it says it is; every wire
format that carries attributes must read it alike. Names are read before content is dropped:
some producers write them only where content goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from unit.decode_samples import (
    END_NS,
    PARENT,
    SPAN,
    TRANSPORTS,
    Otlp,
    decode_values,
    encode,
    native,
    one,
    otlp,
    read,
)
from unit.wire_samples import MANY, MESSAGES, openai_agents

#: Format -> the message with these spans.
WIRES: dict[str, Callable[..., bytes]] = MESSAGES | {
    f"otlp_{transport}": lambda *spans, to=transport: otlp(to, *spans) for transport in TRANSPORTS
}


class Case(NamedTuple):
    """A span's attributes and name, and the handoff it tells of."""

    attributes: Mapping[str, Any]
    source: str | None
    target: str | None
    name: str = ""


def _tool(tool: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool,
        "gen_ai.agent.name": "triage",
    } | more  # fmt: skip


#: 2 to 11 of the encodings, and their variants; 1 is the OpenAI Agents SDK's own export, below.
CASES: dict[str, Case] = {
    # 2. OpenTelemetry's openai-agents instrumentation; Traceloop's.
    "gen_ai.handoff": Case(
        {"gen_ai.operation.name": "handoff", "gen_ai.handoff.from_agent": "triage",
         "gen_ai.handoff.to_agent": "billing"}, "triage", "billing"),
    "traceloop": Case(
        {"traceloop.span.kind": "handoff", "gen_ai.handoff.from_agent": "triage",
         "gen_ai.handoff.to_agent": "billing", "gen_ai.system": "openai"},
        "triage", "billing", "triage → billing.handoff"),
    # 3. Sentry: in the span's name alone.
    "sentry": Case({"sentry.op": "gen_ai.handoff"}, "triage", "billing",
                   "handoff from triage to billing"),
    "sentry, new": Case({"gen_ai.operation.name": "handoff"}, "triage", "billing desk",
                        "handoff from triage to billing desk"),
    # 4. OpenInference: a tool, and the names where its content goes.
    "openinference": Case(
        {"openinference.span.kind": "TOOL", "input.value": "triage", "output.value": "billing"},
        "triage", "billing", "handoff to billing"),
    # 5. What OpenTelemetry proposes, in both modes.
    "pass_control": Case(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "escalate",
         "gen_ai.transfer.mode": "pass_control", "gen_ai.agent.name": "triage",
         "gen_ai.transfer.target.name": "billing"}, "triage", "billing"),
    "return_to_caller": Case(
        _tool("ask", **{"gen_ai.transfer.mode": "return_to_caller",
                        "gen_ai.transfer.target.name": "billing"}), "triage", "billing"),
    "target, no mode": Case(_tool("ask", **{"gen_ai.transfer.target.name": "billing"}),
                            "triage", "billing"),
    "mode, no target": Case(_tool("ask", **{"gen_ai.transfer.mode": "pass_control"}),
                            "triage", None),
    # 6. LangGraph's routing by Command, as Traceloop writes it.
    "goto": Case(
        {"gen_ai.operation.name": "goto", "langgraph.command.source_node": "triage",
         "langgraph.command.goto_node": "billing"}, "triage", "billing", "goto billing"),
    "goto, several": Case(
        {"gen_ai.operation.name": "goto", "langgraph.command.source_node": "triage",
         "langgraph.command.goto_nodes": '["billing", "audit"]'}, "triage", "billing"),
    # 7. LangGraph's swarm and supervisor.
    "transfer_to": Case(_tool("transfer_to_billing"), "triage", "billing"),
    "transfer_back_to": Case(_tool("transfer_back_to_supervisor"), "triage", "supervisor"),
    # 8. OpenAI Agents' default tool, where an instrumentation traces it as one.
    "openai tool": Case(
        {"openinference.span.kind": "TOOL", "tool.name": "transfer_to_billing_desk",
         "agent.name": "triage"}, "triage", "billing_desk"),
    # 9. AutoGen: the target in lower case.
    "autogen": Case(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.system": "autogen",
         "gen_ai.tool.name": "transfer_to_billing"}, None, "billing"),
    # 10. Google ADK: the target in the arguments alone, if they were not dropped before.
    "adk": Case(
        _tool("transfer_to_agent", **{"gcp.vertex.agent.tool_call_args":
              '{"agent_name": "billing"}'}), "triage", "billing"),
    "adk, no content": Case(_tool("transfer_to_agent"), "triage", None),
    # 11. CrewAI: two tools, as its agents are told of them and as they are called.
    "crewai": Case(
        {"openinference.span.kind": "TOOL", "tool.name": "Delegate work to coworker",
         "agent.name": "triage",
         "input.value": '{"task": "MARK", "context": "MARK", "coworker": "billing"}'},
        "triage", "billing"),
    "crewai, question": Case(
        _tool("ask_question_to_coworker", **{"gen_ai.tool.call.arguments":
              '{"question": "MARK", "coworker": "billing"}'}), "triage", "billing"),
    "crewai, no content": Case(_tool("delegate_work_to_coworker"), "triage", None),
    # Further tools of the same families.
    "strands": Case(
        _tool("handoff_to_agent", **{"gen_ai.tool.call.arguments":
              '{"agent_name": "billing", "message": "MARK"}'}), "triage", "billing"),
    "llama-index": Case(
        _tool("handoff", **{"gen_ai.tool.call.arguments":
              '{"to_agent": "billing", "reason": "MARK"}'}), "triage", "billing"),
    "semantic kernel": Case(_tool("Handoff-transfer_to_billing"), "triage", "billing"),
    "microsoft": Case(_tool("handoff_to_billing"), "triage", "billing"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wire", WIRES)
def test_every_encoding_of_a_handoff_is_one_in_every_format(wire: str, case: str) -> None:
    attributes, source, target, name = CASES[case]
    row = one(WIRES[wire](Otlp(attributes, name=name or "span")))
    assert (row["kind"], row["handoff_from"], row["handoff_to"]) == ("handoff", source, target)
    assert "MARK" not in repr(row)


@pytest.mark.parametrize(
    ("data", "span", "expected"),
    [
        ({"type": "handoff", "from_agent": "triage", "to_agent": "billing"}, {}, "billing"),
        ({"type": "handoff", "from_agent": "triage", "to_agent": None}, {}, None),
        (
            {"type": "handoff", "from_agent": "triage", "to_agent": "billing"},
            {"error": {"message": "Multiple handoffs requested",
                       "data": {"requested_agents": ["billing", "audit"]}}},
            "billing",
        ),
        (
            {"type": "function", "name": "transfer_to_billing", "input": "{}"},
            {"metadata": {"gen_ai.agent.name": "triage"}}, "billing",
        ),
    ],
)  # fmt: skip
def test_the_openai_agents_sdk_says_it_in_its_own_words(
    data: dict[str, Any], span: dict[str, Any], expected: str | None
) -> None:
    row = one(encode(openai_agents(data, **span)))
    assert (row["kind"], row["handoff_from"], row["handoff_to"]) == ("handoff", "triage", expected)
    assert row["error"] == ("error" in span)


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"kind": "handoff", "handoff_from": "triage", "handoff_to": "billing"}, "billing"),
        ({"kind": "tool", "agent": "triage", "tool": "transfer_to_billing"}, "billing"),
        ({"kind": "tool", "agent": "triage", "tool": "transfer_to_agent"}, None),
        ({"kind": "tool", "agent": "triage", "tool": "Delegate work to coworker"}, None),
    ],
)
def test_a_native_span_may_say_it_by_kind_or_by_tool(
    fields: dict[str, Any], target: str | None
) -> None:
    row = one(encode(native(**fields)))
    assert (row["kind"], row["handoff_from"], row["handoff_to"]) == ("handoff", "triage", target)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        (_tool("transfer_money"), "tool"),
        (_tool("transfer"), "tool"),
        (_tool("ask_question"), "tool"),
        (_tool("handoff", **{"gen_ai.tool.call.arguments": '{"ticket": 1}'}), "tool"),
        (_tool("search", **{"gen_ai.tool.call.arguments": '{"agent_name": "billing"}'}), "tool"),
        # The end of a graph is nobody.
        ({"gen_ai.operation.name": "goto", "langgraph.command.goto_node": "__end__"}, "step"),
    ],
)
@pytest.mark.parametrize("wire", WIRES)
def test_what_only_looks_like_a_handoff_is_none(
    wire: str, attributes: dict[str, Any], kind: str
) -> None:
    row = one(WIRES[wire](Otlp(attributes)))
    assert (row["kind"], row["handoff_from"], row["handoff_to"]) == (kind, None, None)


@pytest.mark.parametrize("wire", [*MANY, *(f"otlp_{transport}" for transport in TRANSPORTS)])
def test_who_hands_over_may_be_said_by_the_span_around_it(wire: str) -> None:
    agent = Otlp(
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}, span_id=PARENT
    )
    asked = Otlp(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "transfer_to_billing"},
        parent_id=PARENT,
    )
    for spans in ([agent, asked], [asked, agent]):
        rows = decode_values(WIRES[wire](*spans)).spans
        (row,) = rows.filter(rows["kind"] == "handoff").to_dicts()
        assert (row["handoff_from"], row["handoff_to"]) == ("triage", "billing")


TOLD = Otlp(
    {"gen_ai.operation.name": "handoff", "gen_ai.handoff.from_agent": "triage",
     "gen_ai.handoff.to_agent": "Billing Desk"}, span_id=PARENT,
)  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "end_ns", "kind"),
    [
        ("transfer_to_billing_desk", END_NS, "other"),
        ("transfer_to_billing_desk", END_NS - 900_000_000, "other"),
        ("transfer_to_billing_desk", END_NS + 5_000_000_000, "handoff"),  # another one
        ("transfer_to_audit", END_NS, "handoff"),
        ("search", END_NS, "tool"),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_handoff_told_by_a_span_and_by_its_tool_is_one(
    transport: str, tool: str, end_ns: int, kind: str
) -> None:
    asked = Otlp(_tool(tool), span_id=SPAN, end_ns=end_ns)
    for spans in ([TOLD, asked], [asked, TOLD]):
        rows = {row["span_id"]: row["kind"] for row in read(transport, *spans)}
        assert rows == {PARENT: "handoff", SPAN: kind}
