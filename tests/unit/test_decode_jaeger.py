"""Jaeger's spans: the collector's JSON and protobuf, and the UI's export."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.flow.decode.protobuf.jaeger_pb2 import Span
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
from unit.wire_samples import jaeger, jaeger_export, jaeger_protobuf

CALL = Otlp(
    {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3},
    parent_id=PARENT,
)
#: A process' tags are what a resource's attributes were.
PROCESS = {"service.version": "1.2.3", "deployment.environment": "prod"}


def _json() -> bytes:
    span = jaeger(CALL)
    span["process"]["tags"] += [{"key": key, "vStr": value} for key, value in PROCESS.items()]
    return encode(span)


def _export() -> bytes:
    export = jaeger_export(CALL)
    tags = [{"key": key, "type": "string", "value": value} for key, value in PROCESS.items()]
    export["data"][0]["processes"]["p1"]["tags"] += tags
    return encode(export)


def _protobuf() -> bytes:
    span = Span.FromString(jaeger_protobuf(CALL))
    for key, value in PROCESS.items():
        span.process.tags.add(key=key, v_str=value)
    return bytes(span.SerializeToString())


@pytest.mark.parametrize("value", [_json(), _export(), _protobuf()], ids=["json", "ui", "protobuf"])
def test_a_span_says_who_when_and_where(value: bytes) -> None:
    row = one(value)
    assert (row["trace_id"], row["span_id"], row["parent_id"]) == (TRACE, SPAN, PARENT)
    assert (row["start_ns"], row["end_ns"]) == (START_NS, END_NS)
    assert (row["service"], row["release"], row["env"]) == ("shop", "1.2.3", "prod")


def test_zeros_that_json_of_protobuf_leaves_out_are_zeros() -> None:
    span = jaeger(Otlp({**CALL.attributes, "gen_ai.usage.output_tokens": 0}))
    assert {"key": "gen_ai.usage.output_tokens", "vType": "INT64"} in span["tags"]
    assert one(encode(span))["output_tokens"] == 0


def test_only_the_span_that_began_it_is_the_parent() -> None:
    span = jaeger(CALL)
    follows = span["references"][0] | {"refType": "FOLLOWS_FROM", "spanId": "AAAAAAAAAAE="}
    assert one(encode(span | {"references": [follows, *span["references"]]}))["parent_id"] == PARENT
    assert one(encode(span | {"references": [follows]}))["parent_id"] is None


def test_hex_ids_are_read_in_a_message_too() -> None:
    row = one(encode(jaeger(CALL) | {"traceId": TRACE.upper(), "spanId": SPAN}))
    assert (row["trace_id"], row["span_id"]) == (TRACE, SPAN)


def test_trace_ids_of_64_bits_are_padded() -> None:
    export = jaeger_export(CALL)
    export["data"][0]["spans"][0]["traceID"] = "7a"
    assert one(encode(export))["trace_id"] == "7a".zfill(32)


def test_a_span_without_its_process_has_no_service() -> None:
    export = jaeger_export(CALL)
    export["data"][0]["processes"] = {}
    assert one(encode(export))["service"] == "unknown_service"


def test_a_span_of_an_export_that_is_none_spoils_no_other() -> None:
    export = jaeger_export(CALL, CALL)
    spans = export["data"][0]["spans"]
    spans[1:1] = [5, spans[0] | {"processID": 5}, spans[0] | {"startTime": None}]
    decoded = decode_values(encode(export))
    assert decoded.spans["service"].to_list() == ["shop", "unknown_service", "shop"]
    assert [(r.item, r.reason) for r in decoded.rejects] == [
        (1, Reason.WRONG_TYPE),
        (3, Reason.MISSING_FIELD),
    ]


def test_the_text_of_an_error_is_no_class() -> None:
    row = one(encode(jaeger(Otlp({"gen_ai.tool.name": "t", "error": True, "message": "MARK"}))))
    assert (row["error"], row["error_class"]) == (True, "_other")


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"startTime": None}, Reason.MISSING_FIELD, "start_time"),
        ({"startTime": "yesterday"}, Reason.BAD_VALUE, "start_time"),
        ({"duration": "long"}, Reason.BAD_VALUE, "duration"),
        ({"duration": "-1s"}, Reason.BAD_VALUE, "duration"),
        ({"duration": "nans"}, Reason.BAD_VALUE, "duration"),
        ({"traceId": None}, Reason.MISSING_FIELD, "trace_id"),
        ({"traceId": "!!!="}, Reason.BAD_VALUE, "trace_id"),
        ({"spanId": "AAAAAAAAAAA="}, Reason.BAD_VALUE, "span_id"),
        ({"tags": 5}, Reason.WRONG_TYPE, ""),
    ],
)
def test_what_cannot_be_used_has_its_reason(
    change: dict[str, Any], reason: Reason, detail: str
) -> None:
    (reject,) = decode_values(encode(jaeger(CALL) | change)).rejects
    assert (reject.reason, reject.detail) == (reason, detail)


def test_a_broken_message_is_refused() -> None:
    (reject,) = decode_values(jaeger_protobuf(CALL)[:-1]).rejects
    assert reject.reason is Reason.BAD_PROTOBUF
