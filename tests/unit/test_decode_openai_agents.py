"""The OpenAI Agents SDK's own export: each type of span, and batches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tocsin.types import Reason
from unit.decode_samples import END_NS, START_NS, decode_values, encode, one
from unit.wire_samples import openai_agents

USAGE = {
    "requests": 1, "input_tokens": 120, "output_tokens": 30, "total_tokens": 150,
    "input_tokens_details": {"cached_tokens": 100},
    "output_tokens_details": {"reasoning_tokens": 20},
}  # fmt: skip
TURN_USAGE = {"input_tokens": 120, "output_tokens": 30, "cached_input_tokens": 100}
TRACE = {
    "object": "trace", "id": "trace_0123456789abcdef0123456789abcdef",
    "workflow_name": "Customer service", "group_id": "chat-1", "metadata": {"who": "MARK"},
}  # fmt: skip


def _one(data: dict[str, Any], **span: Any) -> dict[str, Any]:
    return one(encode(openai_agents(data, **span)))


def test_ids_are_kept_as_they_are_and_times_are_iso_8601() -> None:
    row = _one({"type": "agent", "name": "Triage"}, parent_id="span_fedcba987654321076543210")
    assert row["trace_id"] == TRACE["id"]
    assert row["span_id"] == "span_0123456789abcdef01234567"
    assert row["parent_id"] == "span_fedcba987654321076543210"
    assert (row["start_ns"], row["end_ns"]) == (START_NS, END_NS)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"type": "agent", "name": "Triage", "handoffs": ["B"], "tools": [], "output_type": "s"},
            {"kind": "agent", "agent": "Triage"},
        ),
        (
            {"type": "generation", "model": "gpt-4o", "usage": USAGE, "input": [{"MARK": 1}]},
            {
                "kind": "llm", "model": "gpt-4o", "input_tokens": 120, "output_tokens": 30,
                "cache_read_tokens": 100, "reasoning_tokens": 20,
            },
        ),
        (
            {"type": "response", "response_id": "resp_1", "usage": USAGE},
            {"kind": "llm", "model": None, "input_tokens": 120, "cache_read_tokens": 100},
        ),
        ({"type": "response", "response_id": "resp_1"}, {"kind": "llm", "input_tokens": None}),
        (
            {"type": "handoff", "from_agent": "Triage", "to_agent": "Billing"},
            {"kind": "handoff", "handoff_from": "Triage", "handoff_to": "Billing"},
        ),
        (
            {"type": "handoff", "from_agent": "Triage", "to_agent": None},
            {"kind": "handoff", "handoff_from": "Triage", "handoff_to": None},
        ),
        (
            {"type": "guardrail", "name": "pii", "triggered": True},
            {"kind": "guardrail", "stage": "pii", "error": False},
        ),
        ({"type": "mcp_tools", "server": "s", "result": ["MARK"]}, {"kind": "other"}),
        (
            {"type": "transcription", "model": "whisper-1", "input": {"data": "MARK"}},
            {"kind": "llm", "model": "whisper-1"},
        ),
        ({"type": "speech_group", "input": "MARK"}, {"kind": "step"}),
        ({"type": "custom", "name": "MARK", "data": {"MARK": "MARK"}}, {"kind": "step"}),
        (
            {
                "type": "custom", "name": "turn",
                "data": {
                    "sdk_span_type": "turn", "turn": 3, "agent_name": "Triage",
                    "usage": TURN_USAGE,
                },
            },
            {"kind": "step", "agent": "Triage", "input_tokens": None},
        ),
        (
            {"type": "custom", "name": "task", "data": {"sdk_span_type": "task", "usage": USAGE}},
            {"kind": "workflow", "input_tokens": None},
        ),
        ({"type": "something new", "name": "MARK"}, {"kind": "other"}),
    ],
)  # fmt: skip
def test_each_type_of_span(data: dict[str, Any], expected: dict[str, Any]) -> None:
    row = _one(data)
    assert {name: row[name] for name in expected} == expected
    assert "MARK" not in repr(row)


def test_a_function_is_a_tool_and_its_content_a_fingerprint() -> None:
    data = {"type": "function", "name": "search", "input": '{"q": "MARK"}', "output": "MARK"}
    row = _one(data | {"mcp_data": {"server": "MARK"}})
    assert (row["kind"], row["tool"]) == ("tool", "search")
    assert row["args_hash"]
    assert row["result_hash"]
    assert row["args_hash"] == _one(data | {"input": '{ "q":"MARK" }'})["args_hash"]
    assert "MARK" not in repr(row)


def test_a_transfer_by_tool_is_a_handoff() -> None:
    row = _one({"type": "function", "name": "transfer_to_billing", "input": "{}"})
    assert (row["kind"], row["handoff_to"]) == ("handoff", "billing")


@pytest.mark.parametrize(
    ("message", "error_class"),
    [
        ("Max turns exceeded", "max_turns_exceeded"),
        ("Multiple handoffs requested", "multiple_handoffs_requested"),
        ("Error running tool", "tool_error"),
        ("MARK said no", "_other"),
        (None, "_other"),
    ],
)
def test_only_the_sdks_own_words_name_a_class(message: str | None, error_class: str) -> None:
    error = {"message": message, "data": {"error": "MARK"}}
    row = _one({"type": "agent", "name": "a"}, error=error)
    assert (row["error"], row["error_class"]) == (True, error_class)
    assert "MARK" not in repr(row)


def test_a_batch_names_the_workflow_of_its_own_traces() -> None:
    spans = [
        openai_agents({"type": "agent", "name": "a"}),
        openai_agents({"type": "agent", "name": "b"}, trace_id="trace_other"),
    ]
    decoded = decode_values(encode({"data": [TRACE, *spans]}))
    assert decoded.rejects == ()
    assert decoded.spans["workflow"].to_list() == ["Customer service", None]
    assert decoded.spans["service"].to_list() == ["Customer service", "unknown_service"]


def test_one_bad_span_of_a_batch_spoils_no_other() -> None:
    good = openai_agents({"type": "agent", "name": "a"})
    bad: list[Any] = [
        good | {"ended_at": None}, good | {"id": None}, good | {"started_at": "soon"}, 5,
        good | {"object": "MARK"}, good | {"trace_id": "x" * 201},
        good | {"span_data": {"type": "generation", "usage": {"input_tokens": -1}}},
    ]  # fmt: skip
    decoded = decode_values(encode({"data": [good, *bad, good]}))
    assert decoded.spans.height == 2
    assert [(r.item, r.reason, r.detail) for r in decoded.rejects] == [
        (1, Reason.MISSING_FIELD, "end_time"),
        (2, Reason.MISSING_FIELD, "span_id"),
        (3, Reason.BAD_VALUE, "start_time"),
        (4, Reason.WRONG_TYPE, ""),
        (5, Reason.UNKNOWN_FORMAT, "object"),
        (6, Reason.BAD_VALUE, "trace_id"),
        (7, Reason.BAD_VALUE, "usage.input_tokens"),
    ]


@pytest.mark.parametrize("message", [TRACE, {"data": [TRACE]}, {"data": []}])
def test_a_trace_without_spans_is_empty(message: dict[str, Any]) -> None:
    (reject,) = decode_values(json.dumps(message).encode()).rejects
    assert reject.reason is Reason.EMPTY
