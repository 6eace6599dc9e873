"""Traces that real frameworks made: what decode reads from them, and what it leaves behind."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tocsin.flow.decode import convert
from tocsin.flow.decode.semantics import SPAN_TABLE
from unit.decode_samples import decode_values

HERE = Path(__file__).parent / "decode"
TRACES = sorted(path.name.removesuffix(".otlp.json") for path in HERE.glob("*.otlp.json"))
#: Says nothing in a reader's eyes: ids and times are compared by the unit tests.
_UNREAD = ("row", "trace_id", "span_id", "parent_id", "start_ns", "end_ns")


def _value(name: str) -> bytes:
    return (HERE / f"{name}.otlp.json").read_bytes()


def _spans(name: str) -> list[dict[str, Any]]:
    """The decoded spans in order of their end, without what is null or false."""
    decoded = decode_values(_value(name))
    assert decoded.rejects == ()
    rows = decoded.spans.sort("end_ns", maintain_order=True).drop(_UNREAD).to_dicts()
    return [{k: v for k, v in row.items() if v is not None and v is not False} for row in rows]


@pytest.mark.parametrize("name", TRACES)
def test_a_recorded_trace_decodes_as_it_did(name: str) -> None:
    assert _spans(name) == json.loads((HERE / f"{name}.spans.json").read_text())


@pytest.mark.parametrize("name", TRACES)
def test_both_encodings_of_a_trace_decode_alike(name: str) -> None:
    message = json.loads(_value(name))
    for resource_spans in message["resourceSpans"]:
        for scope in resource_spans["scopeSpans"]:
            for span in scope["spans"]:
                for field in ("traceId", "spanId", "parentSpanId"):  # JSON has hex, protobuf bytes
                    span[field] = base64.b64encode(bytes.fromhex(span[field])).decode()
    protobuf = ParseDict(message, TracesData()).SerializeToString()
    assert decode_values(protobuf).spans.equals(decode_values(_value(name)).spans)


def _texts(value: Any) -> Iterator[str]:
    """All text in a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


@pytest.mark.parametrize("name", TRACES)
def test_no_content_of_a_recorded_trace_is_left(name: str) -> None:
    named: set[str] = set()  # what may stay: names of agents, tools, models
    contents: set[str] = set()
    for resource_spans in json.loads(_value(name))["resourceSpans"]:
        for scope in resource_spans["scopeSpans"]:
            for attribute in (a for span in scope["spans"] for a in span["attributes"]):
                targets = SPAN_TABLE.get(attribute["key"], ())
                is_name = any(target.convert is not convert.content for target in targets)
                (named if is_name else contents).update(_texts(attribute["value"]))
    contents = {text for text in contents - named if len(text) > 20}
    frame = decode_values(_value(name)).spans
    cells = {
        str(cell) for column in frame.get_columns() if column.dtype == pl.String for cell in column
    }
    assert contents
    assert not [text for text in contents for cell in cells if text in cell]


if __name__ == "__main__":
    for trace in TRACES:
        (HERE / f"{trace}.spans.json").write_text(json.dumps(_spans(trace), indent=1) + "\n")
