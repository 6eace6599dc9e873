"""Zipkin's spans: a list in JSON or protobuf, all tags text."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.flow.decode.protobuf.zipkin_pb2 import ListOfSpans
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
from unit.wire_samples import zipkin, zipkin_protobuf

CALL = Otlp(
    {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 3, "gen_ai.usage.cost": 0.5,
        # The collector writes what a resource said as tags.
        "service.version": "1.2.3", "deployment.environment": "prod",
    },
    parent_id=PARENT,
)  # fmt: skip


@pytest.mark.parametrize("value", [encode([zipkin(CALL)]), zipkin_protobuf(CALL)])
def test_a_span_says_who_when_and_where(value: bytes) -> None:
    row = one(value)
    assert (row["trace_id"], row["span_id"], row["parent_id"]) == (TRACE, SPAN, PARENT)
    assert (row["start_ns"], row["end_ns"]) == (START_NS, END_NS)
    assert (row["service"], row["release"], row["env"]) == ("shop", "1.2.3", "prod")
    assert (row["input_tokens"], row["cost_nano"]) == (3, 500_000_000)


def test_a_list_of_one_or_the_span_alone() -> None:
    assert one(encode(zipkin(CALL))) == one(encode([zipkin(CALL)]))


def test_ids_of_64_bits_are_padded_in_both_encodings() -> None:
    spans = ListOfSpans.FromString(zipkin_protobuf(CALL))
    spans.spans[0].trace_id = bytes.fromhex(SPAN)
    for value in (encode([zipkin(CALL) | {"traceId": SPAN}]), spans.SerializeToString()):
        assert one(value)["trace_id"] == SPAN.zfill(32)


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ({}, False),
        ({"error": ""}, True),
        ({"error": "MARK of a customer"}, True),
        ({"error": "false"}, False),
        ({"otel.status_code": "ERROR"}, True),
        ({"otel.status_code": "OK"}, False),
    ],
)
def test_an_error_is_a_tag_and_its_text_goes_no_further(tags: dict[str, str], error: bool) -> None:
    row = one(encode([zipkin(CALL) | {"tags": tags}]))
    assert (row["error"], row["error_class"]) == (error, "_other" if error else None)
    assert "MARK" not in repr(row)


@pytest.mark.parametrize(
    "value", ["exception", "exception|{", "exception|{}|0", 'exception|{"exception.type":5}|0', ""]
)
def test_an_annotation_may_be_anything(value: str) -> None:
    span = zipkin(CALL) | {"annotations": [{"timestamp": END_NS // 1_000, "value": value}]}
    assert one(encode([span])) == one(encode([zipkin(CALL)]))


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"timestamp": None}, Reason.MISSING_FIELD, "start_time"),
        ({"timestamp": 5}, Reason.BAD_VALUE, "start_time"),
        ({"timestamp": "now"}, Reason.WRONG_TYPE, ""),
        ({"duration": -1}, Reason.BAD_VALUE, "duration"),
        ({"duration": 10**18}, Reason.BAD_VALUE, "duration"),
        ({"id": "xyz"}, Reason.BAD_VALUE, "span_id"),
        ({"id": "a" * 17}, Reason.BAD_VALUE, "span_id"),
        ({"parentId": "xyz"}, Reason.BAD_VALUE, "parent_id"),
        ({"traceId": ""}, Reason.MISSING_FIELD, "trace_id"),
    ],
)
def test_what_cannot_be_used_has_its_reason(
    change: dict[str, Any], reason: Reason, detail: str
) -> None:
    (reject,) = decode_values(encode([zipkin(CALL) | change])).rejects
    assert (reject.reason, reject.detail) == (reason, detail)


def test_a_broken_message_is_refused() -> None:
    (reject,) = decode_values(zipkin_protobuf(CALL)[:-1]).rejects
    assert reject.reason is Reason.BAD_PROTOBUF
