"""Which wire format a message is in: by content type, first byte, then top-level keys."""

import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import msgspec
from msgspec import Raw

from tocsin.flow.decode.confluent import is_framed, unframed
from tocsin.flow.decode.limits import RefusedError
from tocsin.flow.decode.native import MALFORMED, refusal
from tocsin.flow.decode.plain import BETWEEN
from tocsin.flow.decode.span_v1 import SpanV1
from tocsin.types import Reason


class Format(Enum):
    """What `decode` can read."""

    NATIVE = auto()
    OTLP_JSON = auto()
    OTLP_PROTOBUF = auto()
    SENTRY = auto()
    OPENAI_AGENTS = auto()
    JAEGER = auto()
    ZIPKIN = auto()
    SDK_DUMP = auto()
    LANGFUSE = auto()


_BOM = b"\xef\xbb\xbf"
#: Values packed inside a record, which no exporter does: named in the DLQ record, never unpacked.
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_BLANK = b" \t\r\n"
_PROTOBUF_TYPES = frozenset({b"application/x-protobuf", b"application/protobuf"})
#: Formats by a key that only they have, the surest first.
_FOREIGN = {
    "start_timestamp": Format.SENTRY,
    "operationName": Format.JAEGER,
    "localEndpoint": Format.ZIPKIN,
    "observations": Format.LANGFUSE,
    "context": Format.SDK_DUMP,
    "spans": Format.SDK_DUMP,
    "object": Format.OPENAI_AGENTS,
    "data": Format.OPENAI_AGENTS,
    "traceId": Format.ZIPKIN,
}
#: Formats that are written to files object after object.
_SEQUENCES = (Format.SENTRY, Format.SDK_DUMP)
#: Something else that users may put on the spans topic: it belongs on the topic of changes.
_CLOUDEVENT = "specversion"
#: Only in arrays that have one of these is looked for a foreign format: native ones stay fast.
_MARKS = (b'"traceId"', b'"start_timestamp"', b'"context"', b'"span_data"')
_HEAD, _NATIVE_MARK = 4_096, b'"end_time"'  # one that begins like a native one is not searched
_TRACES = b'"processes"'  # in `data` of what Jaeger's UI exports, not of OpenAI Agents
_OWN = tuple(name for name, info in SpanV1.model_fields.items() if info.is_required())

_ABSENT = Raw(b"")
# Every key's value is skipped, not read: reading the keys costs one scan of the message.
_Keys: Any = msgspec.defstruct(
    "_Keys", [(name, Raw, _ABSENT) for name in ("resourceSpans", _CLOUDEVENT, *_FOREIGN, *_OWN)]
)
_decode_keys = msgspec.json.Decoder(_Keys).decode
_decode_many_keys = msgspec.json.Decoder(list[_Keys]).decode


def sniff(value: bytes, headers: Sequence[tuple[str, bytes]]) -> tuple[Format, bytes]:
    """The format, and the message without Confluent's frame, byte order mark and blanks.

    Raises RefusedError if it is none we read.
    """
    if is_framed(value):
        value = unframed(value)
    content_type = _content_type(headers)
    if content_type in _PROTOBUF_TYPES:
        return _sniff_protobuf(value), value
    text = value.removeprefix(_BOM).strip(_BLANK)
    if not text:
        raise RefusedError(Reason.EMPTY)
    is_json = text[:1] in {b"{", b"["}
    # 0x0A is protobuf's field 1, and also a newline before JSON.
    if value[:1] == b"\n" and not (is_json and _is_json(text)):
        return _sniff_protobuf(value), value
    if is_json:
        return _sniff_json(text), text
    if content_type.endswith(b"json"):
        raise RefusedError(Reason.BAD_JSON)
    packed = next((name for magic, name in _PACKED.items() if value.startswith(magic)), "")
    raise RefusedError(Reason.UNKNOWN_FORMAT, packed)


def _content_type(headers: Sequence[tuple[str, bytes]]) -> bytes:
    for name, value in headers:
        if name.lower() == "content-type" and value:
            return value.split(b";", 1)[0].strip().lower()
    return b""


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=Raw)
    except msgspec.DecodeError:
        return text.count(b"\n") > 0 and text[-1:] == b"}"  # perhaps one object a line
    except RecursionError:
        return True
    return True


#: How the first span of each begins: Jaeger's ids of 16 and 8 bytes; Zipkin's length, trace id
#: of 16 or 8, perhaps a parent's id, id of 8. OTLP has a resource there, which cannot look so.
_JAEGER_HEAD = re.compile(rb"\n\x10.{16}\x12\x08", re.DOTALL)
_ZIPKIN_HEAD = re.compile(
    rb"\n[\x80-\xff]{0,4}[\x00-\x7f]\n(?:\x10.{16}|\x08.{8})(?:\x12\x08.{8})?\x1a\x08.{8}",
    re.DOTALL,
)


def _sniff_protobuf(value: bytes) -> Format:
    if _JAEGER_HEAD.match(value):
        return Format.JAEGER
    return Format.ZIPKIN if _ZIPKIN_HEAD.match(value) else Format.OTLP_PROTOBUF


def _sniff_json(text: bytes) -> Format:
    if text[:1] == b"[":
        head = text[:_HEAD]
        where = head if _NATIVE_MARK in head else text
        return _sniff_array(text) if any(mark in where for mark in _MARKS) else Format.NATIVE
    try:
        keys = _decode_keys(text)
    except MALFORMED as error:
        if b"\n" not in text:
            raise refusal(error) from None
        return _sniff_objects(text)
    if keys.resourceSpans is not _ABSENT:
        return Format.OTLP_JSON
    if all(getattr(keys, name) is not _ABSENT for name in _OWN):
        return Format.NATIVE
    if found := _foreign(keys):
        return found
    if getattr(keys, _CLOUDEVENT) is not _ABSENT:
        raise RefusedError(Reason.UNKNOWN_FORMAT, "cloudevents")
    if all(getattr(keys, name) is _ABSENT for name in _OWN):
        raise RefusedError(Reason.UNKNOWN_FORMAT)
    return Format.NATIVE


def _sniff_objects(text: bytes) -> Format:
    """One object after another, or a broken one: the reader finds out which."""
    try:
        keys = _decode_keys(BETWEEN.split(text, 1)[0])
    except MALFORMED:
        return Format.NATIVE
    if all(getattr(keys, name) is not _ABSENT for name in _OWN):
        return Format.NATIVE
    found = _foreign(keys)
    return found if found and found in _SEQUENCES else Format.NATIVE


def _sniff_array(text: bytes) -> Format:
    """By the first item that is of a format we know; native items may stand in any array."""
    try:
        items = _decode_many_keys(text)
    except MALFORMED:
        return Format.NATIVE
    for keys in items:
        if all(getattr(keys, name) is not _ABSENT for name in _OWN):
            return Format.NATIVE
        if found := _foreign(keys):
            return found
    return Format.NATIVE


def _foreign(keys: Any) -> Format | None:
    for name, found in _FOREIGN.items():
        raw = getattr(keys, name)
        if raw is not _ABSENT:
            return Format.JAEGER if name == "data" and _TRACES in bytes(raw) else found
    return None
