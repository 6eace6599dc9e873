"""Which wire format a message is in: by content type, first byte, then top-level keys."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import msgspec
from msgspec import Raw

from tocsin.flow.decode.contract import SpanV1
from tocsin.flow.decode.limits import RefusedError
from tocsin.flow.decode.native import MALFORMED, refusal
from tocsin.types import Reason


class Format(Enum):
    """What `decode` can read."""

    NATIVE = auto()
    OTLP_JSON = auto()
    OTLP_PROTOBUF = auto()


_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_PROTOBUF_TYPES = frozenset({b"application/x-protobuf", b"application/protobuf"})
#: Formats that are known and not read (yet), by a key that only they have.
_FOREIGN = {
    "specversion": "cloudevents",
    "object": "openai_agents",
    "data": "openai_agents",
    "start_timestamp": "sentry",
    "operationName": "jaeger",
    "localEndpoint": "zipkin",
    "context": "sdk_dump",
}
_OWN = tuple(name for name, info in SpanV1.model_fields.items() if info.is_required())

_ABSENT = Raw(b"")
# Every key's value is skipped, not read: a look at the keys costs one scan of the message.
_Keys: Any = msgspec.defstruct(
    "_Keys",
    [(name, Raw, _ABSENT) for name in ("resourceSpans", *_FOREIGN, *_OWN)],
)
_decode_keys = msgspec.json.Decoder(_Keys).decode


def sniff(value: bytes, headers: Sequence[tuple[str, bytes]]) -> tuple[Format, bytes]:
    """The format, and the message without byte order mark and blanks around JSON.

    Raises RefusedError if it is none we read.
    """
    content_type = _content_type(headers)
    if content_type in _PROTOBUF_TYPES:
        return Format.OTLP_PROTOBUF, value
    text = value.removeprefix(_BOM).strip(_BLANK)
    if not text:
        raise RefusedError(Reason.EMPTY)
    is_json = text[:1] in {b"{", b"["}
    # 0x0A is protobuf's field 1, and also a newline before JSON.
    if value[:1] == b"\n" and not (is_json and _is_json(text)):
        return Format.OTLP_PROTOBUF, value
    if is_json:
        return _sniff_json(text), text
    if content_type.endswith(b"json"):
        raise RefusedError(Reason.BAD_JSON)
    raise RefusedError(Reason.UNKNOWN_FORMAT)


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


def _sniff_json(text: bytes) -> Format:
    if text[:1] == b"[":
        return Format.NATIVE
    try:
        keys = _decode_keys(text)
    except MALFORMED as error:
        first_line = text.split(b"\n", 1)[0]
        if first_line == text:
            raise refusal(error) from None
        return Format.NATIVE  # one object a line, or broken: told apart when it is read
    if keys.resourceSpans is not _ABSENT:
        return Format.OTLP_JSON
    if all(getattr(keys, name) is not _ABSENT for name in _OWN):
        return Format.NATIVE
    for name, foreign in _FOREIGN.items():
        if getattr(keys, name) is not _ABSENT:
            raise RefusedError(Reason.UNKNOWN_FORMAT, foreign)
    if all(getattr(keys, name) is _ABSENT for name in _OWN):
        raise RefusedError(Reason.UNKNOWN_FORMAT)
    return Format.NATIVE
