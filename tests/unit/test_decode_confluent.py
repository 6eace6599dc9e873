"""Values behind the id of a schema, as Confluent's serializers write them, are read as without."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.decode import decode
from tocsin.types import Decoded, Reason
from unit.decode_samples import (
    KEY,
    LIMITS,
    Message,
    Otlp,
    decode_values,
    encode,
    native,
    otlp,
)
from unit.wire_samples import jaeger_protobuf, zipkin_protobuf

SPANS = [Otlp({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}), Otlp()]


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def path(*indexes: int) -> bytes:
    """Which message of the schema's file: zigzag varints, the count first; [0] is one byte."""
    if indexes == (0,):
        return b"\x00"
    return b"".join(varint(2 * number) for number in (len(indexes), *indexes))


def framed(value: bytes, schema: int = 100_001) -> bytes:
    return b"\x00" + struct.pack(">I", schema) + value


def same(one: Decoded, other: Decoded) -> bool:
    return one.spans.equals(other.spans) and one.rejects == other.rejects


@pytest.mark.parametrize(
    "value",
    [
        encode(native()),
        encode([native(), native(input_tokens=-1)]),
        b"\n" + encode(native()),
        encode(native()) + b"\n" + encode(native(span_id="b")),
        encode(native())[:-1],
        otlp("json", *SPANS),
    ],
)
def test_json_is_read_as_without_its_frame(value: bytes) -> None:
    assert same(decode_values(framed(value)), decode_values(value))


@pytest.mark.parametrize("indexes", [(0,), (1,), (0, 0), (3, 200, 1)])
@pytest.mark.parametrize(
    "value", [otlp("protobuf", *SPANS), zipkin_protobuf(*SPANS), jaeger_protobuf(SPANS[0])]
)
def test_protobuf_is_read_whichever_message_of_its_file_it_is(
    value: bytes, indexes: tuple[int, ...]
) -> None:
    bare = decode_values(value)
    assert bare.spans.height
    assert same(decode_values(framed(path(*indexes) + value)), bare)
    headers = [("content-type", b"application/x-protobuf")]
    with_type = decode([Message(framed(path(*indexes) + value), headers)], LIMITS, KEY)
    assert same(with_type, bare)


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\x0ahello\x02\x80\x01",  # Avro: a union's branch, a text, numbers
        b"\x1eabcdefghijklmno\x00\x02",
        path(0) + otlp("protobuf", *SPANS)[:-1],
        path(0),
        varint(3) + otlp("protobuf", *SPANS),  # a path of negative length
        varint(200) + b"\x00" * 200,
        b"\xff" * 20,
    ],
)
def test_what_is_neither_is_refused_with_the_id_of_its_schema(value: bytes) -> None:
    (reject,) = decode_values(framed(value, 4_294_967_295)).rejects
    assert (reject.reason, reject.detail) == (
        Reason.UNKNOWN_FORMAT,
        "Confluent framing, schema id 4294967295, not JSON/protobuf",
    )


@pytest.mark.parametrize("value", [encode(native()), otlp("protobuf", *SPANS)])
def test_a_schema_id_in_a_header_leaves_the_value_alone(value: bytes) -> None:
    guid = b"\x01" + bytes(range(16))
    record = Message(value, [("__value_schema_id", guid), ("__key_schema_id", guid)])
    assert same(decode([record], LIMITS, KEY), decode_values(value))


@given(st.binary(max_size=40))
def test_whatever_stands_in_a_frame_has_an_outcome(value: bytes) -> None:
    decoded = decode_values(framed(value))
    assert decoded.spans.height + len(decoded.rejects) > 0
