"""Spans as many frameworks and instrumentations write them, and what they say, typed by hand.

Each case is one span's attributes by its producer's own naming, and all that decode must find
in it; what is not expected must be null. Every one is read in both encodings of OTLP.
"""

from __future__ import annotations

import json

import pytest

from unit.decode_samples import PARENT, START_NS, TRANSPORTS, Otlp, read
from unit.dialects import openinference, opentelemetry, others, sentry, traceloop, vercel

_SECOND = 1_000_000_000
#: Columns that every case is held to: those not expected are null.
_COLUMNS = (
    "agent", "workflow", "stage", "provider", "model", "model_requested", "tool", "prompt_name",
    "prompt_version", "error_class", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "cost_nano", "ttft_ns", "finish_reason",
    "handoff_from", "handoff_to", "score_name", "score",
)  # fmt: skip
_DIALECTS = (opentelemetry, traceloop, openinference, vercel, sentry, others)
CASES = {name: case for dialect in _DIALECTS for name, case in dialect.CASES.items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_span_says_what_its_producer_meant(transport: str, case: str) -> None:
    name, attributes, expected, failed, events = CASES[case]
    span = Otlp(attributes, name=name, status=2 if failed else 0, events=events)
    (row,) = read(transport, span)
    wanted = dict.fromkeys(_COLUMNS) | {"error": False, "timeout": False} | dict(expected)
    assert {column: row[column] for column in wanted} == wanted
    assert "MARK" not in repr(row)


def test_the_spans_start_where_the_langfuse_case_says() -> None:
    assert START_NS == 1_759_999_998 * _SECOND  # 2025-10-09T08:53:18Z


CALLBACK = {
    "input_str": "{'city': 'Oslo'}", "tags": [], "inputs": {"city": "Oslo"},
    "metadata": {"langgraph_step": 2, "langgraph_checkpoint_ns": "billing:1"},
}  # fmt: skip
MESSAGE = {"content": "sunny", "type": "tool", "tool_call_id": "call_1"}
ENDED = {
    "output": {"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": MESSAGE},
    "kwargs": {"tags": ["seq:step:2"]},
}  # fmt: skip


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_callback_around_a_tool_call_does_not_make_it_another(transport: str) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather"}
    later = json.loads(json.dumps(CALLBACK).replace("billing:1", "billing:2").replace("2", "3"))
    written = [
        (json.dumps(CALLBACK), json.dumps(ENDED)),
        (json.dumps(later), json.dumps(ENDED).replace("call_1", "call_9")),
        ('{"city": "Oslo"}', "sunny"),
    ]
    rows = read(transport, *(
        Otlp(tool | {"gen_ai.tool.call.arguments": given, "gen_ai.tool.call.result": got},
             span_id=f"{i + 1:016x}")
        for i, (given, got) in enumerate(written)
    ))  # fmt: skip
    assert len({(row["args_hash"], row["result_hash"]) for row in rows}) == 1
    other = {"input_str": "{'city': 'Rome'}", "inputs": {"city": "Rome"}}
    (row,) = read(transport, Otlp(tool | {"gen_ai.tool.call.arguments": json.dumps(other)}))
    assert row["args_hash"] != rows[0]["args_hash"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_run_that_is_written_twice_counts_once(transport: str) -> None:
    run = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
    outer, inner = Otlp(run, span_id=PARENT), Otlp(run, parent_id=PARENT)
    assert [row["kind"] for row in read(transport, outer, inner)] == ["agent", "step"]
    other = Otlp(run | {"gen_ai.agent.name": "billing"}, parent_id=PARENT)
    assert [row["kind"] for row in read(transport, outer, other)] == ["agent", "agent"]
