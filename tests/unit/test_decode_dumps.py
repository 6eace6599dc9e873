"""Files that people keep and replay: the SDK's own JSON, any-agent's, and Langfuse's exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tocsin.types import Reason
from unit.decode_samples import (
    END_NS,
    PARENT,
    SPAN,
    START_NS,
    TRACE,
    Otlp,
    decode_values,
    encode,
    one,
)
from unit.wire_samples import iso, langfuse, sdk_dump

CALL = Otlp(
    {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3},
    parent_id=PARENT,
)


@pytest.mark.parametrize("form", ["0x hex", "hex", "decimal", "decimal text"])
def test_an_id_of_the_sdk_is_hex_or_decimal(form: str) -> None:
    write: Callable[[str], str | int] = {
        "0x hex": lambda digits: f"0x{digits}",
        "hex": lambda digits: digits.upper(),
        "decimal": lambda digits: int(digits, 16),
        "decimal text": lambda digits: str(int(digits, 16)),
    }[form]
    context, parent = (
        {"trace_id": write(TRACE), "span_id": write(span)} for span in (SPAN, PARENT)
    )
    span = sdk_dump(CALL) | {"context": context, "parent": parent, "parent_id": None}
    row = one(encode(span))
    assert (row["trace_id"], row["span_id"], row["parent_id"]) == (TRACE, SPAN, PARENT)


def test_times_of_the_sdk_are_text_or_nanoseconds() -> None:
    for start, end in ((iso(START_NS), iso(END_NS)), (START_NS, END_NS)):
        row = one(encode(sdk_dump(CALL) | {"start_time": start, "end_time": end}))
        assert (row["start_ns"], row["end_ns"]) == (START_NS, END_NS)


def test_a_printed_span_goes_over_several_lines() -> None:
    assert one(json.dumps(sdk_dump(CALL), indent=4).encode()) == one(encode(sdk_dump(CALL)))


@pytest.mark.parametrize("indent", [None, 4])
def test_spans_printed_one_after_another_are_read_one_by_one(indent: int | None) -> None:
    spans = [sdk_dump(CALL), sdk_dump(CALL) | {"end_time": None}, sdk_dump(Otlp())]
    text = "".join(json.dumps(span, indent=indent) + "\n" for span in spans)
    decoded = decode_values(text.encode())
    assert decoded.spans["kind"].to_list() == ["llm", "other"]
    assert [(r.item, r.reason) for r in decoded.rejects] == [(1, Reason.MISSING_FIELD)]
    cut = decode_values(text.encode()[:-9])
    assert [(r.item, r.reason) for r in cut.rejects][1:] == [(2, Reason.BAD_JSON)]


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"end_time": None}, Reason.MISSING_FIELD, "end_time"),
        ({"context": {"trace_id": "0x1"}}, Reason.MISSING_FIELD, "span_id"),
        ({"context": {"trace_id": 2**128, "span_id": 1}}, Reason.BAD_VALUE, "trace_id"),
        ({"context": {"trace_id": 10**50, "span_id": 1}}, Reason.BAD_VALUE, "trace_id"),
        ({"context": {"trace_id": -1, "span_id": 1}}, Reason.BAD_VALUE, "trace_id"),
        ({"context": {"trace_id": {}, "span_id": 1}}, Reason.BAD_VALUE, "trace_id"),
        ({"context": "MARK"}, Reason.WRONG_TYPE, ""),
    ],
)
def test_what_cannot_be_used_has_its_reason(
    change: dict[str, Any], reason: Reason, detail: str
) -> None:
    (reject,) = decode_values(encode(sdk_dump(CALL) | change)).rejects
    assert (reject.reason, reject.detail) == (reason, detail)


def _observation(**fields: Any) -> dict[str, Any]:
    """One that Langfuse's own SDK made: nothing but what Langfuse itself keeps."""
    return langfuse(Otlp()) | {"metadata": None, "name": "an observation"} | fields


def _exported(*observations: dict[str, Any]) -> bytes:
    return encode({"trace": {"id": TRACE, "name": "MARK"}, "observations": observations})


def test_what_langfuse_keeps_serves_where_attributes_say_nothing() -> None:
    row = one(_exported(_observation(
        type="GENERATION", model="gpt-4o", promptName="p", promptVersion=3, version="1.2",
        environment="prod", usageDetails={"input": 7, "output": 5, "total": 12},
        costDetails={"total": 0.001}, completionStartTime=iso(START_NS + 250_000_000),
    )))  # fmt: skip
    assert (row["kind"], row["model"], row["env"], row["release"]) == (
        "llm", "gpt-4o", "prod", "1.2",
    )  # fmt: skip
    assert (row["input_tokens"], row["output_tokens"], row["cost_nano"]) == (7, 5, 1_000_000)
    assert (row["prompt_name"], row["prompt_version"]) == ("p", "3")
    assert row["ttft_ns"] == 250_000_000


@pytest.mark.parametrize("as_text", [True, False])
def test_attributes_say_it_better(as_text: bool) -> None:
    metadata: Any = langfuse(CALL)["metadata"]
    found = _observation(
        type="AGENT", model="other", metadata=json.dumps(metadata) if as_text else metadata
    )
    row = one(_exported(found))
    assert (row["kind"], row["model"], row["service"]) == ("llm", "m", "shop")


@pytest.mark.parametrize(
    ("fields", "kind", "column", "value"),
    [
        ({"type": "TOOL", "name": "search"}, "tool", "tool", "search"),
        ({"type": "TOOL", "name": "execute_tool search"}, "tool", "tool", "search"),
        ({"type": "AGENT", "name": "triage"}, "agent", "agent", "triage"),
        ({"type": "AGENT", "name": "agent_run [triage]"}, "agent", "agent", "triage"),
        ({"type": "CHAIN"}, "workflow", "tool", None),
        ({"type": "CHAIN", "parentObservationId": "b"}, "step", "tool", None),
        ({"type": "RETRIEVER"}, "retrieval", "tool", None),
        ({"type": "SPAN"}, "other", "tool", None),
        ({"type": "SPAN", "metadata": {"langgraph_node": "plan"}}, "step", "stage", "plan"),
        ({"type": "SPAN", "metadata": "words of a user"}, "other", "stage", None),
        ({"type": "SPAN", "level": "ERROR"}, "other", "error_class", "_other"),
    ],
)
def test_types_of_langfuse_are_kinds(
    fields: dict[str, Any], kind: str, column: str, value: str | None
) -> None:
    row = one(_exported(_observation(**fields)))
    assert (row["kind"], row[column]) == (kind, value)
    assert "MARK" not in repr(row)


def test_a_tools_content_is_a_fingerprint() -> None:
    row = one(_exported(_observation(type="TOOL", input={"q": "MARK"}, output="MARK")))
    assert row["args_hash"]
    assert row["result_hash"]
    assert "MARK" not in repr(row)


def test_an_observation_that_never_ended_is_refused() -> None:
    decoded = decode_values(_exported(_observation(), _observation(endTime=None)))
    assert decoded.spans.height == 1
    assert [(r.item, r.reason, r.detail) for r in decoded.rejects] == [
        (1, Reason.MISSING_FIELD, "end_time")
    ]
