"""OTLP spans of every dialect: which attribute becomes what, in both encodings alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.decode.semantics import RESOURCE_TABLE, SPAN_TABLE
from tocsin.types import SPAN_SCHEMA
from unit.decode_samples import (
    END_NS,
    PARENT,
    SPAN,
    START_NS,
    TRACE,
    TRANSPORTS,
    Otlp,
    decode_values,
    otlp,
    read,
)

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
RAISED = ("exception", END_NS, {"exception.type": "E", "exception.message": "m"})
OTHER_ID = "1112131415161718"


def _one(transport: str, attributes: dict[str, Any], **span: Any) -> dict[str, Any]:
    (row,) = read(transport, Otlp(attributes, **span))
    return row


def test_a_span_says_who_when_and_where(transport: str) -> None:
    resource = {
        "service.name": "shop", "service.version": "1.2.3", "deployment.environment": "old",
        "deployment.environment.name": "prod", "host.name": "never read",
    }  # fmt: skip
    (row,) = read(transport, Otlp(CHAT, parent_id=PARENT), resource=resource)
    assert (row["trace_id"], row["span_id"], row["parent_id"]) == (TRACE, SPAN, PARENT)
    assert (row["start_ns"], row["end_ns"]) == (START_NS, END_NS)
    assert (row["service"], row["release"], row["env"]) == ("shop", "1.2.3", "prod")


def test_what_a_resource_leaves_out_has_a_default(transport: str) -> None:
    (row,) = read(transport, Otlp(CHAT, start_ns=0), resource={})
    assert (row["service"], row["release"], row["env"]) == ("unknown_service", None, "default")
    assert row["start_ns"] == row["end_ns"]
    assert row["parent_id"] is None


@pytest.mark.parametrize(
    ("attributes", "name", "kind"),
    [
        ({}, "GET /", "other"),
        ({"http.request.method": "GET", "db.system": "x"}, "GET /", "other"),
        (CHAT, "", "llm"),
        ({"gen_ai.operation.name": "chat"}, "prompt", "step"),  # no model, no usage: no call
        (CHAT | {"gen_ai.operation.name": "embeddings"}, "", "embedding"),
        ({"gen_ai.operation.name": "invoke_agent"}, "", "agent"),
        ({"gen_ai.operation.name": "fetch_response"}, "", "other"),
        ({"openinference.span.kind": "LLM", "llm.model_name": "m"}, "", "llm"),
        ({"openinference.span.kind": "CHAIN"}, "", "workflow"),  # it is the root
        ({"openinference.span.kind": "RETRIEVER"}, "", "retrieval"),
        ({"openinference.span.kind": "RERANKER", "reranker.model_name": "m"}, "", "rerank"),
        ({"openinference.span.kind": "GUARDRAIL"}, "", "guardrail"),
        ({"openinference.span.kind": "EVALUATOR"}, "", "evaluator"),
        (CHAT | {"openinference.span.kind": "TOOL"}, "", "tool"),
        ({"ai.operationId": "ai.streamText.doStream", "ai.model.id": "m"}, "", "llm"),
        ({"ai.operationId": "ai.streamText", "ai.model.id": "m"}, "", "agent"),
        ({"operation.name": "ai.toolCall my-function"}, "", "tool"),
        ({"ai.model.id": "m"}, "ai.embed.doEmbed", "embedding"),
        ({"sentry.op": "gen_ai.execute_tool"}, "", "tool"),
        ({"gen_ai.operation.type": "ai_client", "ai.model_id": "m"}, "", "llm"),
        ({"traceloop.span.kind": "task"}, "", "step"),
        ({"traceloop.span.kind": "workflow"}, "", "workflow"),
        ({"llm.request.type": "completion", "gen_ai.request.model": "m"}, "", "llm"),
        ({"mcp.method.name": "tools/call"}, "", "tool"),
        ({"mcp.method.name": "tools/list"}, "", "other"),
        ({"gen_ai.tool.name": "search"}, "", "tool"),
        ({"agent_name": "joker"}, "joker run", "agent"),
        ({"gen_ai.request.model": "m", "gen_ai.usage.output_tokens": 3}, "", "llm"),
        ({"gen_ai.request.model": "m"}, "", "other"),
    ],
)
def test_the_kind_is_read_in_every_dialect(
    transport: str, attributes: dict[str, Any], name: str, kind: str
) -> None:
    assert _one(transport, attributes, name=name)["kind"] == kind


def test_the_new_name_of_an_attribute_wins_in_any_order(transport: str) -> None:
    names = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.prompt_tokens": 6}
    for attributes in (names, dict(reversed(names.items()))):
        assert _one(transport, CHAT | attributes)["input_tokens"] == 5


def test_an_attribute_that_cannot_be_read_gives_way_to_the_next(transport: str) -> None:
    attributes = {
        "gen_ai.usage.input_tokens": float("nan"), "llm.token_count.prompt": "12",
        "gen_ai.provider.name": "langchain", "gen_ai.system": "az.ai.openai",
    }  # fmt: skip
    row = _one(transport, CHAT | attributes)
    assert (row["input_tokens"], row["provider"]) == (12, "azure.ai.openai")


@pytest.mark.parametrize(
    ("attributes", "column", "expected"),
    [
        ({"gen_ai.usage.input_tokens": "17"}, "input_tokens", 17),
        ({"gen_ai.usage.input_tokens": 17.0}, "input_tokens", 17),
        ({"ai.usage.promptTokens": 17}, "input_tokens", 17),
        ({"gen_ai.usage.total_tokens": 17}, "input_tokens", 17),
        ({"gen_ai.usage.total_tokens": 17, "gen_ai.usage.output_tokens": 7}, "input_tokens", None),
        ({"gen_ai.usage.cache_creation.input_tokens": 3}, "cache_write_tokens", 3),
        ({"gen_ai.usage.input_tokens.cached": 3}, "cache_read_tokens", 3),
        ({"llm.token_count.completion_details.reasoning": 3}, "reasoning_tokens", 3),
        ({"gen_ai.usage.input_cost": 1.0, "gen_ai.usage.output_cost": 2}, "cost_nano", 3 * 10**9),
        ({"operation.cost": "0.5", "gen_ai.usage.input_cost": 9.0}, "cost_nano", 500_000_000),
        ({"gen_ai.response.time_to_first_chunk": 0.25}, "ttft_ns", 250_000_000),
        ({"ai.response.msToFirstChunk": 250}, "ttft_ns", 250_000_000),
        ({"time_to_first_token_ms": 250.5}, "ttft_ns", 250_500_000),
        ({"gen_ai.response.finish_reasons": ["stop", "length"]}, "finish_reason", "stop"),
        ({"gen_ai.response.finish_reasons": '["stop"]'}, "finish_reason", "stop"),
        ({"gen_ai.response.finish_reasons": "stop"}, "finish_reason", "stop"),
        ({"gen_ai.response.finish_reasons": []}, "finish_reason", None),
        ({"ai.model.provider": "anthropic.messages"}, "provider", "anthropic"),
        ({"ai.model.provider": "google.vertex.chat"}, "provider", "gcp.vertex_ai"),
        ({"gen_ai.system": "openai.responses"}, "provider", "openai"),
        ({"gen_ai.system": "gcp.vertex.agent"}, "provider", None),
        ({"gen_ai.prompt.name": "p", "gen_ai.prompt.version": 4}, "prompt_version", "4"),
        ({"ai.telemetry.functionId": "planner"}, "agent", "planner"),
        ({"traceloop.workflow.name": "w"}, "workflow", "w"),
        ({"gen_ai.response.model": "m-2025"}, "model", "m-2025"),
        ({"evaluations.0.evaluation.name": "toxicity"}, "score_name", "toxicity"),
        ({"evaluations.0.evaluation.score": 1}, "score", 1.0),
    ],
)  # fmt: skip
def test_values_are_read_in_their_units(
    transport: str, attributes: dict[str, Any], column: str, expected: object
) -> None:
    assert _one(transport, CHAT | attributes)[column] == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ({"status": 1}, (False, False, None)),
        ({"status": 2}, (True, False, "_other")),
        ({"attributes": {"error.type": "429"}}, (True, False, "429")),
        ({"attributes": {"error.type": 429}}, (True, False, "429")),
        ({"attributes": {"error.type": "ReadTimeout"}}, (True, True, "ReadTimeout")),
        ({"attributes": {"mcp.tool.result.is_error": True}}, (True, False, "_other")),
        ({"attributes": {"gen_ai.response.finish_reasons": ["error"]}}, (True, False, "_other")),
        ({"attributes": {"rpc.response.status_code": -32601}}, (False, False, None)),
        ({"status": 2, "attributes": {"rpc.response.status_code": -32}}, (True, False, "-32")),
        # An exception that was handled is no error.
        ({"events": [RAISED]}, (False, False, None)),
        ({"status": 2, "events": [RAISED]}, (True, False, "E")),
    ],
)  # fmt: skip
def test_errors_and_their_class(transport: str, span: dict[str, Any], expected: object) -> None:
    span["attributes"] = CHAT | span.get("attributes", {})
    (row,) = read(transport, Otlp(**span))
    assert (row["error"], row["timeout"], row["error_class"]) == expected


def test_events_give_the_first_token_and_the_evaluation(transport: str) -> None:
    result = {"gen_ai.evaluation.name": "csat", "gen_ai.evaluation.score.value": 0.5}
    events = [
        ("First Token Stream Event", START_NS + 5_000_000, {}),
        ("gen_ai.evaluation.result", END_NS, result | {"gen_ai.evaluation.explanation": "text"}),
    ]
    row = _one(transport, CHAT, events=events)
    assert (row["ttft_ns"], row["score_name"], row["score"]) == (5_000_000, "csat", 0.5)


def test_a_tool_called_like_a_handoff_keeps_its_content_to_itself(transport: str) -> None:
    attributes = {
        "openinference.span.kind": "TOOL", "tool.name": "mail",
        "input.value": "secret", "output.value": "other secret",
    }  # fmt: skip
    row = _one(transport, attributes, name="handoff to bob")
    assert (row["kind"], row["handoff_from"], row["handoff_to"]) == ("tool", None, None)


@pytest.mark.parametrize(
    ("name", "attributes", "agent"),
    [
        ("invoke_agent planner", {}, "planner"),
        ("invoke_agent gpt-5", {"gen_ai.request.model": "gpt-5"}, None),
        ("agent_run [planner]", {}, "planner"),
        ("x", {"traceloop.entity.name": "planner"}, "planner"),
        ("invoke_agent x", {"gen_ai.agent.name": "planner"}, "planner"),
    ],
)
def test_agents_are_named_by_attribute_or_span_name(
    transport: str, name: str, attributes: dict[str, Any], agent: str | None
) -> None:
    attributes = {"gen_ai.operation.name": "invoke_agent"} | attributes
    assert _one(transport, attributes, name=name)["agent"] == agent


def test_the_tool_is_in_the_span_name_at_worst(transport: str) -> None:
    row = _one(transport, {"gen_ai.operation.name": "execute_tool"}, name="execute_tool search")
    assert row["tool"] == "search"


def test_tool_content_has_one_fingerprint_however_it_is_written(transport: str) -> None:
    written: list[dict[str, Any]] = [
        {"gen_ai.tool.call.arguments": '{"b": [1, "x"], "a": true}'},
        {"ai.toolCall.args": '{"a":true,"b":[1,"x"]}'},
        {"tool_arguments": {"a": True, "b": [1, "x"]}},
    ]
    hashes = {_one(transport, TOOL | attributes)["args_hash"] for attributes in written}
    assert len(hashes) == 1
    assert None not in hashes


def test_parallel_calls_reported_once_more_are_not_a_tool(transport: str) -> None:
    assert _one(transport, TOOL | {"gen_ai.tool.name": "(merged tools)"})["kind"] == "other"


USED = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}


def test_a_call_traced_twice_counts_once_and_innermost(transport: str) -> None:
    outer = Otlp(CHAT | USED, span_id=PARENT)
    between = Otlp({"openinference.span.kind": "CHAIN"}, span_id=OTHER_ID, parent_id=PARENT)
    inner = Otlp(CHAT | USED, parent_id=OTHER_ID)
    for spans in ([outer, between, inner], [inner, between, outer]):
        rows = {row["span_id"]: row for row in read(transport, *spans)}
        assert rows[SPAN]["kind"] == "llm"
        assert rows[PARENT]["kind"] == "step"
        assert sum(row["input_tokens"] or 0 for row in rows.values()) == 10


def test_a_call_made_by_a_tool_of_a_call_is_another_call(transport: str) -> None:
    outer = Otlp(CHAT | USED, span_id=PARENT)
    between = Otlp(TOOL, span_id=OTHER_ID, parent_id=PARENT)
    rows = read(transport, outer, between, Otlp(CHAT | USED, parent_id=OTHER_ID))
    assert [row["kind"] for row in rows] == ["llm", "tool", "llm"]


def test_spans_that_are_each_others_parents_do_no_harm(transport: str) -> None:
    loop = [Otlp(CHAT | USED, parent_id=SPAN)]
    pair = [
        Otlp(CHAT | USED, span_id=SPAN, parent_id=PARENT),
        Otlp(CHAT | USED, span_id=PARENT, parent_id=SPAN),
    ]
    assert [row["kind"] for row in read(transport, *loop)] == ["llm"]
    assert len(read(transport, *pair)) == 2


def test_an_mcp_call_inside_its_tool_span_counts_once(transport: str) -> None:
    outer = Otlp(TOOL, span_id=PARENT)
    inner = Otlp(TOOL | {"mcp.method.name": "tools/call"}, parent_id=PARENT)
    assert [row["kind"] for row in read(transport, outer, inner)] == ["tool", "other"]


def test_agents_repeat_their_childrens_usage_and_count_none(transport: str) -> None:
    row = _one(
        transport, USED | {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.cost": 1.0}
    )
    assert (row["input_tokens"], row["output_tokens"], row["cost_nano"]) == (None, None, None)


#: Attributes that hold content, by formats' own lists, among them families without an end.
CONTENT = [
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.tool.definitions",
    "gen_ai.tool.description", "gen_ai.agent.description", "gen_ai.retrieval.query.text",
    "gen_ai.memory.records", "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content", "gen_ai.prompt.variable.name", "gen_ai.evaluation.explanation",
    "gen_ai.skill.description", "exception.message", "exception.stacktrace", "mcp.resource.uri",
    "user.id", "input.value", "output.value", "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", "llm.prompts",
    "llm.invocation_parameters", "llm.prompt_template.template", "llm.prompt_template.variables",
    "embedding.embeddings.0.embedding.text", "retrieval.documents.0.document.content",
    "tool.parameters", "tool.description", "metadata", "tag.tags", "ai.prompt",
    "ai.prompt.messages", "ai.response.text", "ai.response.object", "ai.response.toolCalls",
    "ai.response.providerMetadata", "ai.toolCall.args", "ai.toolCall.result", "ai.value",
    "ai.request.headers.authorization", "ai.telemetry.metadata.user", "gen_ai.request.messages",
    "gen_ai.response.text", "gen_ai.tool.input", "gen_ai.tool.output", "gen_ai.tool.message",
    "ai.input_messages", "ai.texts", "mcp.request.argument.email", "mcp.tool.result.content",
    "sentry.description", "traceloop.entity.input", "traceloop.entity.output",
    "traceloop.association.properties.user", "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.tool_response",
    "langfuse.observation.input", "langsmith.metadata.user", "all_messages_events", "final_result",
    "events", "pydantic_ai.all_messages", "tool_arguments", "tool_response", "gen_ai.output",
    "gen_ai.tool.args", "some.attribute.nobody.knows",
]  # fmt: skip
EVENTS = ["gen_ai.user.message", "gen_ai.choice", "exception", "gen_ai.content.prompt", "any"]


@pytest.mark.parametrize("kind", ["chat", "execute_tool", "invoke_agent", "handoff", "unknown"])
def test_no_content_leaves_decode(transport: str, kind: str) -> None:
    marks = {name: f"MARK{i}" for i, name in enumerate(CONTENT)}
    spans = [
        Otlp(
            {"gen_ai.operation.name": kind, "gen_ai.request.model": "m", name: value},
            name=f"MARK in {kind}",
            status=2,
            events=[(event, END_NS, {name: value, "exception.message": value}) for event in EVENTS],
            end_ns=end,
        )
        for name, mark in marks.items()
        for value in (mark, {"nested": [mark]}, f'{{"json": "{mark}"}}')
        for end in (END_NS, 5)  # read, and refused
    ]
    resource = {"service.name": "shop", "process.command_args": ["MARK"], "host.name": "MARK"}
    decoded = decode_values(otlp(transport, *spans, resource=resource))
    assert decoded.spans.height == len(decoded.rejects) == len(spans) // 2
    assert "MARK" not in decoded.spans.write_csv()
    assert "MARK" not in repr(decoded.rejects)


@given(
    attributes=st.dictionaries(
        st.sampled_from(sorted(SPAN_TABLE)),
        st.one_of(
            st.text(max_size=9), st.integers(-(2**63), 2**63 - 1), st.booleans(),
            st.floats(allow_nan=True, allow_infinity=False, width=32),
            st.lists(st.text(max_size=3), max_size=2), st.just({"k": ["v", 1]}), st.just('["a"]'),
        ),
        max_size=6,
    ),
    resource=st.dictionaries(st.sampled_from(sorted(RESOURCE_TABLE)), st.text("ab"), max_size=2),
)  # fmt: skip
def test_any_values_decode_alike_in_both_encodings(
    transport: str, attributes: dict[str, Any], resource: dict[str, Any]
) -> None:
    span = Otlp(attributes)
    decoded = decode_values(otlp(transport, span, resource=resource))
    other = decode_values(otlp("json", span, resource=resource))
    assert decoded.spans.equals(other.spans)
    assert decoded.rejects == other.rejects
    assert dict(decoded.spans.schema) == dict(SPAN_SCHEMA)
