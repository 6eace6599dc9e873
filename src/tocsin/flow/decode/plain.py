"""What the JSON formats with plain attributes share: parts, ids, times, allow-listed values."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from tocsin.flow.decode.instant import FIRST_NS, LAST_NS, UNREADABLE, instant_ns
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED, refusal
from tocsin.flow.decode.semantics import Offer, Table, offers
from tocsin.types import NANO, Reason

#: Attributes as they came: a value stays undecoded until its key is known to be wanted.
Attributes = Mapping[str, Raw]
ABSENT = Raw(b"null")
#: Better than any attribute of a table, and worse than any.
BEST, WORST = -1, 1_000

_decode_parts = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_decode_attributes = msgspec.json.Decoder(dict[str, Raw]).decode
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16
_HEX = re.compile("[0-9a-f]+")
_MICRO = 1_000
_MAX_SECONDS = 1e10


def refused(error: Exception) -> RefusedError:
    """Why JSON was refused. Field paths are the format's own, so only the reason is kept."""
    return RefusedError(refusal(error).reason)


#: Between two objects that follow each other on lines of their own, as in no one JSON value.
BETWEEN = re.compile(rb"(?<=\})[ \t\r]*\n\s*(?=\{)")


def parts(data: bytes, limits: Limits) -> list[Raw]:
    """The items of a JSON array, undecoded; or the objects, one after another.

    Raises RefusedError.
    """
    if data[:1] != b"[":
        objects = [Raw(part) for part in BETWEEN.split(data)]
        check_count(len(objects), limits)
        return objects
    try:
        found = _decode_parts(data)
    except MALFORMED as error:
        raise refused(error) from None
    check_count(len(found), limits)
    return found


def check_count(spans: int, limits: Limits) -> None:
    """Raises RefusedError if a message holds more spans than it may."""
    if spans > limits.max_spans:
        raise RefusedError(Reason.TOO_MANY_SPANS)


def value(raw: Raw) -> Any:
    """The JSON value. Raises RefusedError."""
    try:
        return _decode_any(raw)
    except MALFORMED as error:
        raise refused(error) from None


def attributes(raw: Raw) -> Attributes:
    """The attributes of a JSON object, or none if it is none. Raises RefusedError."""
    try:
        return _decode_attributes(raw)
    except msgspec.ValidationError:
        return {}
    except MALFORMED as error:
        raise refused(error) from None


def offered(found: Attributes | None, *tables: Table) -> list[Offer]:
    """What the attributes that the tables name have to say. Raises RefusedError."""
    made: list[Offer] = []
    for key, raw in (found or {}).items():
        for table in tables:
            if key in table:
                made += offers(key, value(raw), table)
    return made


def trace_id(text: str | None) -> str:
    """32 lower-case hex digits; shorter ids of older tracers are padded, as OTel does."""
    return _hex_id(text, _TRACE_DIGITS, "trace_id")


def span_id(text: str | None, field: str = "span_id") -> str:
    """16 lower-case hex digits. Raises RefusedError if it is no id; empty if there is none."""
    return _hex_id(text, _SPAN_DIGITS, field)


def parent_id(text: str | None) -> str | None:
    """As `span_id`. Zeros and nothing are the parent of a root."""
    plain = (text or "").strip("0")
    return span_id(text, "parent_id") if plain else None


def _hex_id(text: str | None, digits: int, field: str) -> str:
    text = (text or "").lower()
    if text and (len(text) > digits or not _HEX.fullmatch(text) or not text.strip("0")):
        raise RefusedError(Reason.BAD_VALUE, field)
    return text.zfill(digits) if text else ""


def iso_ns(text: str | int | None, field: str) -> int:
    """Nanoseconds from ISO 8601 text or integer nanoseconds. Raises RefusedError if absent."""
    if text is None or text == "":
        raise RefusedError(Reason.MISSING_FIELD, field)
    return instant_ns(text)


def seconds_ns(seconds: float | None, field: str) -> int:
    """Nanoseconds from seconds as a double, which is good to a microsecond."""
    if seconds is None:
        raise RefusedError(Reason.MISSING_FIELD, field)
    if not 0 <= seconds <= _MAX_SECONDS:
        return UNREADABLE
    return round(seconds * (NANO // _MICRO)) * _MICRO


def micros_ns(micros: int | None, field: str) -> int:
    """Nanoseconds from microseconds."""
    if micros is None:
        raise RefusedError(Reason.MISSING_FIELD, field)
    return micros * _MICRO if 0 <= micros <= _MAX_SECONDS * (NANO // _MICRO) else UNREADABLE


def duration_ns(micros: float) -> int:
    """Nanoseconds from microseconds. Raises RefusedError for a duration that cannot be."""
    if not 0 <= micros <= _MAX_SECONDS * (NANO // _MICRO):  # nor if it is NaN
        raise RefusedError(Reason.BAD_VALUE, "duration")
    return round(micros * _MICRO)


def span_of(start_ns: int, duration_ns: int) -> tuple[int, int]:
    """Start and end. Raises RefusedError for a start that cannot be, since the end hangs on it."""
    if not FIRST_NS <= start_ns <= LAST_NS:
        raise RefusedError(Reason.BAD_VALUE, "start_time")
    return start_ns, start_ns + duration_ns
