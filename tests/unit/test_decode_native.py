"""The native span: what its fields become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tocsin.flow.decode.native import Span
from tocsin.flow.decode.span_v1 import MAX_TOKENS, SpanV1
from tocsin.types import SPAN_SCHEMA, Reason
from unit.decode_samples import END_NS, PARENT, START_NS, decode_values, encode, native, one

FULL = native(
    parent_id=PARENT, start_time=START_NS, env="prod", release="1.2.3", agent="planner",
    workflow="serve", route="/chat", stage="plan", provider="openai", model="gpt-5-2025-08-07",
    model_requested="gpt-5", status="ok", input_tokens=900, output_tokens=80,
    cache_read_tokens=300, cache_write_tokens=20, reasoning_tokens=30, cost_usd=0.0123,
    ttft_ms=210.5, finish_reason="stop", prompt_name="greet", prompt_version="7",
    score_name="toxicity", score=0.25,
)  # fmt: skip


def test_the_frame_is_exactly_the_span_schema() -> None:
    for values in ([], [encode(FULL)], [b"broken", encode([FULL, FULL])]):
        assert dict(decode_values(*values).spans.schema) == dict(SPAN_SCHEMA)


def test_every_field_lands_in_its_column() -> None:
    span = one(encode(FULL))
    same = {name: value for name, value in FULL.items() if name in SPAN_SCHEMA}
    assert {name: span[name] for name in same} == same
    assert (span["start_ns"], span["end_ns"]) == (START_NS, END_NS)
    assert (span["cost_nano"], span["ttft_ns"]) == (12_300_000, 210_500_000)
    assert (span["error"], span["timeout"], span["error_class"]) == (False, False, None)


def test_a_span_of_required_fields_only_has_defaults_and_nulls() -> None:
    span = one(encode(native()))
    assert (span["env"], span["error"], span["timeout"]) == ("default", False, False)
    # Without a start there is no duration, which fold leaves out of latencies.
    assert span["start_ns"] == span["end_ns"] == END_NS
    given_columns = {"row", "trace_id", "span_id", "service", "kind", "start_ns", "end_ns", "env"}
    assert all(span[n] is None for n in SPAN_SCHEMA.keys() - given_columns - {"error", "timeout"})


def test_null_is_absent() -> None:
    optional = {name: None for name, info in SpanV1.model_fields.items() if not info.is_required()}
    assert one(encode(native(**optional))) == one(encode(native()))


def test_the_decoder_knows_the_fields_of_the_contract_and_no_others() -> None:
    assert Span.__struct_fields__ == tuple(
        sorted(SpanV1.model_fields, key=Span.__struct_fields__.index)
    )
    assert set(Span.__struct_fields__) == set(SpanV1.model_fields)


def test_unknown_fields_are_ignored() -> None:
    extra = {"name": "x", "prompt": "hello", "nested": {"a": [1, {"b": None}]}}
    assert one(encode(native() | extra)) == one(encode(native()))


@pytest.mark.parametrize(
    "written",
    [
        END_NS,
        str(END_NS),
        "2025-10-09T08:53:20Z",
        "2025-10-09T08:53:20",
        "2025-10-09T10:53:20.000+02:00",
        "20251009T085320.000000000Z",
        " 2025-10-09 08:53:20+00:00 ",
    ],
)
def test_instants_are_nanoseconds_or_iso_8601(written: int | str) -> None:
    assert one(encode(native(end_time=written)))["end_ns"] == END_NS
    span = one(encode(native(start_time=written)))
    assert span["start_ns"] == END_NS


def test_iso_instants_keep_their_microseconds() -> None:
    text = "2025-10-09T08:53:20.123456Z"
    assert one(encode(native(end_time=text)))["end_ns"] == END_NS + 123_456_000


def test_duration_gives_the_start_unless_there_is_one() -> None:
    assert one(encode(native(duration_ms=2000)))["start_ns"] == START_NS
    assert one(encode(native(duration_ms=9, start_time=START_NS)))["start_ns"] == START_NS


@pytest.mark.parametrize("column", ["agent", "route", "error_class", "tool", "env"])
def test_names_lose_control_characters_and_are_cut(column: str) -> None:
    dirty = "a\x00\x1fb\nc\x7f\x85" + "é" * 300
    expected = "abc" + "é" * 197
    assert one(encode(native(**{column: dirty})))[column] == expected
    lone = one(encode(native(**{column: "\x1f"})))[column]
    assert lone == ("default" if column == "env" else None)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("llm", "llm"), ("LLM", "llm"), ("chat", "llm"), ("embeddings", "embedding"),
        ("execute_tool", "tool"), ("invoke_agent", "agent"), ("invoke_workflow", "workflow"),
        ("agent_step", "step"), ("upsert_memory", "memory"), ("rerank", "rerank"),
        ("http", "other"), ("some new thing", "other"),
    ],
)  # fmt: skip
def test_kinds_are_kinds_or_operation_names(written: str, kind: str) -> None:
    assert one(encode(native(kind=written)))["kind"] == kind


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "ok"}, (False, False, None)),
        ({"status": "error"}, (True, False, "_other")),
        ({"status": "timeout"}, (True, True, "timeout")),
        ({"error_class": "RateLimitError"}, (True, False, "RateLimitError")),
        ({"status": "error", "error_class": "ReadTimeout"}, (True, True, "ReadTimeout")),
        ({"error_class": "DEADLINE_EXCEEDED"}, (True, True, "DEADLINE_EXCEEDED")),
        ({"status": "error", "error_class": "504"}, (True, True, "504")),
        ({"status": "error", "error_class": "5040"}, (True, False, "5040")),
    ],
)
def test_every_error_has_a_class_and_timeouts_are_known_by_theirs(
    fields: dict[str, str], expected: tuple[bool, bool, str | None]
) -> None:
    span = one(encode(native(**fields)))
    assert (span["error"], span["timeout"], span["error_class"]) == expected


def test_the_model_that_was_asked_for_stands_in_for_the_one_that_answered() -> None:
    assert one(encode(native(model_requested="gpt-5")))["model"] == "gpt-5"


@pytest.mark.parametrize(
    ("written", "provider"),
    [("openai", "openai"), ("vertex_ai", "gcp.vertex_ai"), ("xai", "x_ai"), ("langchain", None)],
)
def test_frameworks_are_no_providers(written: str, provider: str | None) -> None:
    assert one(encode(native(provider=written)))["provider"] == provider


@pytest.mark.parametrize(("cached", "total"), [((300, 20), 900), ((800, 200), 1900)])
def test_cached_tokens_left_out_of_the_input_are_added(cached: tuple[int, int], total: int) -> None:
    read, write = cached
    fields = {"input_tokens": 900, "cache_read_tokens": read, "cache_write_tokens": write}
    assert one(encode(native(**fields)))["input_tokens"] == total


@pytest.mark.parametrize("kind", ["agent", "workflow", "tool", "step", "handoff", "nonsense"])
def test_tokens_count_on_model_calls_only(kind: str) -> None:
    span = one(encode(FULL | {"kind": kind}))
    assert all(span[name] is None for name in SPAN_SCHEMA if name.endswith("_tokens"))
    assert span["ttft_ns"] is None
    assert (span["cost_nano"] is not None) == (kind == "tool")


@pytest.mark.parametrize(
    ("tool", "target"),
    [
        ("transfer_to_billing", "billing"),
        ("transfer_back_to_supervisor", "supervisor"),
        ("handoff_to_human", "human"),
        ("transfer_to_agent", None),
    ],
)
def test_transfer_tools_are_handoffs(tool: str, target: str | None) -> None:
    span = one(encode(native(kind="tool", tool=tool, agent="triage")))
    assert (span["kind"], span["handoff_from"], span["handoff_to"]) == ("handoff", "triage", target)


def test_a_tool_that_transfers_money_is_a_tool() -> None:
    assert one(encode(native(kind="tool", tool="transfer_funds")))["kind"] == "tool"


def test_tool_content_becomes_a_fingerprint_unless_there_is_a_hash() -> None:
    spans = [
        one(encode(native(kind="tool", **fields)))
        for fields in (
            {"tool_arguments": {"a": 1, "b": [2]}, "tool_result": "fine"},
            {"tool_arguments": '{"b":[2],  "a":1}', "tool_result": " fine "},
            {"tool_arguments": {"a": 2, "b": [2]}, "args_hash": "0123456789abcdef"},
            {"tool_arguments": None},
        )
    ]
    assert spans[0]["args_hash"] == spans[1]["args_hash"] != spans[2]["args_hash"]
    assert spans[0]["result_hash"] == spans[1]["result_hash"] is not None
    assert spans[2]["args_hash"] == "0123456789abcdef"
    assert spans[3]["args_hash"] is None


def test_a_producers_own_hash_goes_on_as_a_digest_only() -> None:
    hashes = [
        one(encode(native(kind="tool", args_hash=text)))["args_hash"]
        for text in ("send 5 euros to bob", "send 5 euros to bob", "sha256:8a5edab2", "a" * 16)
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(len(h) == 16 and int(h, 16) >= 0 for h in hashes)
    assert hashes[3] == "a" * 16


@st.composite
def _spans(draw: st.DrawFn) -> dict[str, Any]:
    """Spans that are right, and spans with any one field wrong in any way."""
    span = dict(FULL)
    for name in draw(st.lists(st.sampled_from(sorted(SpanV1.model_fields)), max_size=2)):
        span[name] = draw(
            st.one_of(
                st.none(), st.text(max_size=5), st.booleans(), st.integers(), st.just([1]),
                st.integers(-1, 2), st.just(MAX_TOKENS), st.just(MAX_TOKENS + 1), st.just(1e300),
                st.just(END_NS + 1), st.just("2025-10-09T08:53:20Z"), st.just("12"), st.just(3.0),
            )
        )  # fmt: skip
    return span


@given(_spans())
@example(FULL | {"input_tokens": "12"})
@example(FULL | {"input_tokens": 12.0})
@example(FULL | {"cost_usd": "0.5"})
@example(FULL | {"start_time": END_NS + 1})
@example(FULL | {"input_tokens": True})
@example(FULL | {"end_time": float(END_NS)})
@example(FULL | {"score": "nan"})
def test_decode_accepts_what_the_contract_accepts(span: dict[str, Any]) -> None:
    try:
        SpanV1.model_validate_json(json.dumps(span))
        accepted = True
    except ValidationError:
        accepted = False
    decoded = decode_values(encode(span))
    assert (decoded.rejects == ()) == accepted, decoded.rejects
    if not accepted:
        reasons = {Reason.MISSING_FIELD, Reason.WRONG_TYPE, Reason.BAD_VALUE}
        assert {reject.reason for reject in decoded.rejects} <= reasons
