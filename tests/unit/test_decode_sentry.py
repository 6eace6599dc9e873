"""Sentry's spans, as Relay and as its SDKs write them."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.types import Reason
from unit.decode_samples import END_NS, START_NS, Otlp, decode_values, encode, one
from unit.wire_samples import sentry

CHAT = {"sentry.op": "gen_ai.chat", "gen_ai.request.model": "gpt-4o"}


def _one(attributes: dict[str, Any], **span: Any) -> dict[str, Any]:
    return one(encode(sentry(Otlp(attributes, name="chat gpt-4o")) | span))


def test_a_span_as_relay_writes_it() -> None:
    row = _one(
        CHAT | {
            "sentry.release": "shop@1.2.3", "sentry.environment": "prod",
            "gen_ai.usage.input_tokens": 100.0, "gen_ai.usage.input_tokens.cached": 40.0,
            "gen_ai.usage.output_tokens": 7, "gen_ai.usage.output_tokens.reasoning": 5,
            "gen_ai.cost.total_tokens": 0.002, "gen_ai.response.time_to_first_token": 0.5,
            "gen_ai.response.finish_reasons": '["stop"]', "gen_ai.pipeline.name": "checkout",
            "gen_ai.response.text": "content",
        }
    )  # fmt: skip
    assert (row["kind"], row["service"], row["env"]) == ("llm", "shop", "prod")
    assert (row["release"], row["workflow"], row["model"]) == ("shop@1.2.3", "checkout", "gpt-4o")
    assert (row["start_ns"], row["end_ns"]) == (START_NS, END_NS)
    assert (row["input_tokens"], row["output_tokens"]) == (100, 7)
    assert (row["cache_read_tokens"], row["reasoning_tokens"]) == (40, 5)
    assert (row["cost_nano"], row["ttft_ns"]) == (2_000_000, 500_000_000)
    assert row["finish_reason"] == "stop"


def test_times_are_good_to_a_microsecond() -> None:
    row = _one(CHAT, start_timestamp=1_759_999_999.123456, end_timestamp=1_760_000_000.654321)
    assert row["start_ns"] == 1_759_999_999_123_456_000
    assert row["end_ns"] == 1_760_000_000_654_321_000


@pytest.mark.parametrize(
    ("status", "error_class", "timeout"),
    [
        ("ok", None, False),
        (None, None, False),
        ("error", "_other", False),
        ("deadline_exceeded", "deadline_exceeded", True),
        ("internal_error", "internal_error", False),
        ("a customer's own words", "_other", False),
    ],
)
def test_only_statuses_of_sentrys_own_name_a_class(
    status: str | None, error_class: str | None, timeout: bool
) -> None:
    row = _one(CHAT, status=status)
    assert (row["error_class"], row["timeout"]) == (error_class, timeout)
    assert row["error"] is (error_class is not None)


def test_without_a_service_the_project_is_it() -> None:
    span = sentry(Otlp(CHAT))
    del span["attributes"]["service.name"]
    assert one(encode(span))["service"] == "42"


def test_a_handoff_is_a_marker_that_names_its_agents_in_its_name() -> None:
    row = _one(
        {"sentry.op": "gen_ai.handoff", "gen_ai.operation.name": "handoff"},
        name="handoff from Triage Agent to Billing Agent",
        end_timestamp=START_NS / 1e9,
    )
    assert (row["kind"], row["start_ns"]) == ("handoff", row["end_ns"])
    assert (row["handoff_from"], row["handoff_to"]) == ("Triage Agent", "Billing Agent")


def test_a_span_as_an_sdk_makes_it() -> None:
    row = one(
        encode({
            "trace_id": "A" * 32, "span_id": "b" * 16, "parent_span_id": "c" * 16,
            "op": "gen_ai.execute_tool", "description": "execute_tool search", "origin": "auto",
            "start_timestamp": START_NS / 1e9, "timestamp": END_NS / 1e9, "status": "ok",
            "data": {"gen_ai.tool.input": '{"q": "x"}', "thread.id": 1},
            "environment": "prod", "release": "1.0",
        })
    )  # fmt: skip
    assert (row["trace_id"], row["parent_id"]) == ("a" * 32, "c" * 16)
    assert (row["kind"], row["tool"], row["env"], row["release"]) == (
        "tool", "search", "prod", "1.0",
    )  # fmt: skip
    assert row["args_hash"]


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"end_timestamp": None}, Reason.MISSING_FIELD, "end_time"),
        ({"start_timestamp": None}, Reason.MISSING_FIELD, "start_time"),
        ({"trace_id": None}, Reason.MISSING_FIELD, "trace_id"),
        ({"span_id": "not hex"}, Reason.BAD_VALUE, "span_id"),
        ({"end_timestamp": 1e300}, Reason.BAD_VALUE, "end_time"),
        ({"start_timestamp": "now"}, Reason.WRONG_TYPE, ""),
    ],
)
def test_what_cannot_be_used_has_its_reason(
    change: dict[str, Any], reason: Reason, detail: str
) -> None:
    (reject,) = decode_values(encode(sentry(Otlp(CHAT)) | change)).rejects
    assert (reject.reason, reject.detail) == (reason, detail)
