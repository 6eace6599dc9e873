"""The value of a redacted DLQ record: the shape of the refused record and never its content.

A record that cannot be read may hold a prompt in any of its fields, and the dead-letter topic
is kept for two weeks. So a DLQ record holds a *redacted envelope*: enough to know which
producer is wrong and how, and to recognise the original elsewhere. It carries closed sets
(formats, reasons, names of our own schemas), numbers and keyed digests; no other byte of the
record. `dlq.keep_original` keeps key, bytes and headers instead.

Pure: published by `run/dlq/write.py`.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin.flow.decode.limits import RefusedError
from tocsin.flow.decode.semantics import RESOURCE_TABLE, SPAN_TABLE
from tocsin.flow.decode.sniff import sniff
from tocsin.flow.decode.span_v1 import SpanV1
from tocsin.types import Record, Reject

#: The envelope's own name and version: the first member of each.
KIND, VERSION = "tocsin.redacted", 1
#: The header of a DLQ record that holds an envelope.
REDACTED = "dlq.redacted"
#: Prefix of the producer's own headers on a DLQ record that keeps them.
ORIGINAL_HEADER = "dlq.header."
#: How much of a record is looked at, bytes. Names stand at the beginning, if anywhere.
_LOOKED_AT = 32 << 10
#: Names that may be listed: those of our schemas and of the formats we read. Never a value.
_KNOWN = frozenset(
    {*SpanV1.model_fields, *SPAN_TABLE, *RESOURCE_TABLE}
    | set(
        "attributes context data duration duration_ms endTime endTimeUnixNano end_timestamp "  # noqa: SIM905
        "ended_at events flags id is_segment kind links localEndpoint logs metadata name object "
        "observations operationName parentId parentObservationId parentSpanId parent_span_id "
        "process processes references resource resourceSpans scopeSpans spanID spanId span_data "
        "spans specversion startTime startTimeUnixNano start_timestamp started_at status tags "
        "timestamp trace traceID traceId usageDetails".split()
    )
)
#: Text that could be a name, and the colon that makes it one.
_NAME = re.compile(rb'"([A-Za-z_][0-9A-Za-z_.]{0,63})"\s*(?:(:)\s*)?')
#: What a trace id looks like: 16 or 32 hex digits, a UUID, OpenAI's `trace_...`. At least one
#: letter: 16 digits may be a credit card's.
_TRACE_ID = re.compile(
    rb"(?=.*[a-f])(?:[0-9a-f]{16}|(?:trace_)?[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)


def digest(data: bytes, secret: bytes) -> str:
    """HMAC-SHA256 in hex, as `openssl dgst -sha256 -hmac` makes it.

    Keyed, because a short value could be found by hashing guesses with a plain hash.
    """
    return hmac.digest(secret, data, "sha256").hex()


def key_of(key: bytes | None, secret: bytes) -> bytes | None:
    """The key of a redacted DLQ record: the record's own if it is a trace id, else its digest.

    Equal keys stay equal, so the DLQ records of one run still share a partition.
    """
    if key is None or _TRACE_ID.fullmatch(key):
        return key
    return b"hmac:" + digest(key, secret)[:32].encode()


def envelope(record: Record, rejects: Sequence[Reject], secret: bytes, max_bytes: int) -> bytes:
    """The value of a redacted DLQ record: a JSON document, at most a few KB.

    Args:
        record: what was refused.
        rejects: why; all for one reason.
        secret: the key of the digests (`fingerprint_key`).
        max_bytes: beyond this a record is not looked into.
    """
    value = record.value
    fields: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION,
        "redacted": "The original is not kept; set dlq.keep_original to keep it from then on.",
        "reason": rejects[0].reason.value,
        "detail": rejects[0].detail,
        "spans": len(rejects),
        "original": {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "time_ms": record.timestamp,
        },
        "format": _format(value, record.headers, max_bytes),
        "size": len(value or b""),
        "headers": len(record.headers),
        "names": _names(value or b""),
    }
    if value is not None:
        fields["hmac_sha256"] = digest(value, secret)
    return msgspec.json.encode(fields)


def _format(value: bytes | None, headers: Sequence[tuple[str, bytes]], max_bytes: int) -> str:
    """The format it is in; or, of what is none, whether it is JSON, protobuf, text or binary."""
    if not value:
        return "nothing"
    if len(value) <= max_bytes:
        try:
            return sniff(value, headers)[0].name.lower()
        except RefusedError:
            pass
    first = value.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if first in {b"{", b"["}:
        return "json"
    if value[:1] == b"\n":
        return "protobuf"
    try:
        value[:_LOOKED_AT].decode()
    except UnicodeDecodeError:
        return "binary"
    return "text"


def _names(value: bytes) -> list[str]:
    """The names of `_KNOWN` that are found in it, sorted; other names are left out.

    Searched for in the bytes, since what is broken does not parse.
    """
    found, value_at = set(), -1  # where the value of a member called `key` begins
    for match in _NAME.finditer(value, 0, _LOOKED_AT):
        name, colon = match.groups()
        if colon or match.start() == value_at:  # OTLP writes {"key": name, "value": ...}
            found.add(name.decode())
        value_at = match.end() if colon and name == b"key" else -1
    return sorted(found & _KNOWN)
