"""Native JSON spans -> columns. The hot path: most spans come this way.

msgspec decodes each message into a struct in C, with types and bounds taken from the
contract; columns are read off the structs. Polars' own JSON reader is not used: it turns
objects into strings without an error (content would pass) and one bad line fails the batch.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import polars as pl
from pydantic.fields import FieldInfo

from tocsin.flow.decode.canonical import RAW_SCHEMA
from tocsin.flow.decode.fingerprint import fingerprint
from tocsin.flow.decode.instant import instant_ns
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.span_v1 import SpanV1
from tocsin.types import NANO, Reason, Reject

_NO_CONTENT = msgspec.Raw(b"")
_MS = NANO // 1_000
#: Content field -> the column its fingerprint goes to.
_HASH_OF = {"tool_arguments": "args_hash", "tool_result": "result_hash"}
_HASH = r"^[0-9a-f]{16}$"


def _bounded(annotation: Any) -> Any:
    """A pydantic annotation as msgspec reads it: numeric bounds kept, text bounds not.

    Names are cut rather than refused, and ids are checked on the column.
    """
    origin = get_origin(annotation)
    if annotation is Any:
        return msgspec.Raw
    if origin is Annotated:
        kind, *metadata = get_args(annotation)
        if kind is str:
            return str
        constraints = [c for m in metadata if isinstance(m, FieldInfo) for c in m.metadata]
        bounds = {
            side: getattr(c, side) for c in constraints for side in ("ge", "le") if hasattr(c, side)
        }
        return Annotated[kind, msgspec.Meta(**bounds)]
    if origin in {Union, UnionType}:
        return Union[tuple(_bounded(arg) for arg in get_args(annotation))]  # noqa: UP007 - made at run time
    return annotation


def _derive_struct() -> type[msgspec.Struct]:
    fields: list[Any] = []
    for name, info in SpanV1.model_fields.items():
        kind = _bounded(info.annotation)
        default = _NO_CONTENT if kind is msgspec.Raw else info.default
        fields.append((name, kind) if info.is_required() else (name, kind, default))
    # gc=False: a span holds no cycles, and the collector would walk every one of a batch.
    return msgspec.defstruct("Span", fields, gc=False)


Span: Any = _derive_struct()
decode_span = msgspec.json.Decoder(Span).decode
_decode_spans = msgspec.json.Decoder(list[Span])
#: Second chance for producers that send numbers as text.
_decode_lenient = msgspec.json.Decoder(Span, strict=False).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw])

_AT = re.compile(r"`\$[^`.]*\.([a-z_]+)[^`]*`$")
_MISSING = re.compile(r"missing required field `([a-z_]+)`")
#: What decoding one untrusted message may raise.
MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)


def refusal(error: Exception) -> RefusedError:
    """Why msgspec refused, without its message: that quotes values."""
    text = str(error)
    if isinstance(error, RecursionError):
        return RefusedError(Reason.TOO_DEEP)
    if isinstance(error, UnicodeError):
        return RefusedError(Reason.BAD_UTF8)
    if not isinstance(error, msgspec.ValidationError):
        return RefusedError(Reason.BAD_JSON)
    if missing := _MISSING.search(text):
        return RefusedError(Reason.MISSING_FIELD, missing[1])
    at = _AT.search(text)
    field = at[1] if at and at[1] in SpanV1.model_fields else ""
    if "got `null`" in text:
        return RefusedError(Reason.MISSING_FIELD if field else Reason.WRONG_TYPE, field)
    if text.startswith("Expected") and ", got `" in text:
        return RefusedError(Reason.WRONG_TYPE, field)
    return RefusedError(Reason.BAD_VALUE, field)


def read_many(text: bytes, limits: Limits) -> Iterator[tuple[int | None, Any]]:
    """The spans of a message that is not simply one: (item, Span or RefusedError).

    `text` begins with { or [. An item that cannot be read spoils no other; a message that
    is no JSON at all raises RefusedError.
    """
    try:
        spans = _decode_spans.decode(text) if text[:1] == b"[" else _decode_spans.decode_lines(text)
    except MALFORMED:
        yield from _read_parts(text, limits)
        return
    _count(len(spans), limits)
    yield from enumerate(spans) if text[:1] == b"[" or len(spans) > 1 else [(None, spans[0])]


def _read_parts(text: bytes, limits: Limits) -> Iterator[tuple[int | None, Any]]:
    parts: list[Any]
    if text[:1] == b"[":
        try:
            parts = _decode_parts.decode(text)
        except MALFORMED as error:
            raise refusal(error) from None
    else:
        parts = [line for line in text.splitlines() if line.strip()]
        if not all(line.lstrip()[:1] == b"{" for line in parts):
            parts = [text]  # one object over several lines
    _count(len(parts), limits)
    alone = len(parts) == 1 and text[:1] == b"{"
    for item, part in enumerate(parts):
        try:
            yield None if alone else item, _decode_lenient(part)
        except MALFORMED as error:
            yield None if alone else item, refusal(error)


def _count(spans: int, limits: Limits) -> None:
    if spans > limits.max_spans:
        raise RefusedError(Reason.TOO_MANY_SPANS)
    if spans == 0:
        raise RefusedError(Reason.EMPTY)


@dataclass(slots=True)
class Spans:
    """Spans as decoded, and where each came from: the record's index, and the span's in it."""

    spans: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # parallel to `spans`
    items: dict[int, int] = field(default_factory=dict)  # by index in `spans`; few have one

    def add(self, row: int, item: int | None, span: Any) -> None:
        if item is not None:
            self.items[len(self.spans)] = item
        self.spans.append(span)
        self.rows.append(row)


def columns(batch: Spans, limits: Limits, key: bytes) -> tuple[pl.DataFrame, list[Reject]]:
    """The spans in RAW_SCHEMA, and a reject for each whose tool content cannot be read."""
    batch, rejects = _digest_contents(batch, limits, key)
    spans = batch.spans
    values = _transpose(spans)
    data = {
        name: _series(name, values[name], dtype)
        for name, dtype in RAW_SCHEMA.items()
        if name in values
    }
    for name in _HASH_OF.values():
        data[name] = _own_hashes(data[name], limits, key)
    data["row"] = pl.Series("row", batch.rows, pl.UInt32())
    items = [batch.items.get(i) for i in range(len(spans))] if batch.items else []
    data["item"] = _series("item", items or [None] * len(spans), pl.UInt32())
    data |= _computed(values)
    return pl.DataFrame([data[name] for name in RAW_SCHEMA]), rejects


def _digest_contents(batch: Spans, limits: Limits, key: bytes) -> tuple[Spans, list[Reject]]:
    """Puts the fingerprint of a tool's content in the place of its hash, unless it has one."""
    refused: dict[int, RefusedError] = {}
    for content, column in _HASH_OF.items():
        for i, raw in enumerate(map(attrgetter(content), batch.spans)):
            if raw is _NO_CONTENT or bytes(raw) == b"null":
                continue
            span = batch.spans[i]
            try:
                if getattr(span, column) is None:
                    setattr(span, column, fingerprint(bytes(raw), key, limits.max_depth))
            except RefusedError as error:
                refused.setdefault(i, RefusedError(error.reason, content))
    if not refused:
        return batch, []
    kept = Spans()
    for i, (row, span) in enumerate(zip(batch.rows, batch.spans, strict=True)):
        if i not in refused:
            kept.add(row, batch.items.get(i), span)
    rejects = [
        Reject(batch.rows[i], error.reason, error.detail, batch.items.get(i))
        for i, error in sorted(refused.items())
    ]
    return kept, rejects


def _own_hashes(hashes: pl.Series, limits: Limits, key: bytes) -> pl.Series:
    """A producer's own hashes, in our form: whatever it put there, only a digest goes on."""
    if hashes.str.contains(_HASH).all():  # nulls do not count
        return hashes
    made = [
        h if h is None or re.fullmatch(_HASH, h) else fingerprint([h], key, limits.max_depth)
        for h in hashes
    ]
    return pl.Series(hashes.name, made, pl.String())


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    if values.count(None) == len(values):  # most columns of most batches; far cheaper
        return pl.Series(name, [None], dtype).new_from_index(0, len(values))
    return pl.Series(name, values, dtype)


def _transpose(spans: list[Any]) -> dict[str, list[Any]]:
    """Each field's values. One pass over the spans: half the time of a pass a field."""
    names = Span.__struct_fields__
    flat = list(chain.from_iterable(map(msgspec.structs.astuple, spans)))
    return {name: flat[i :: len(names)] for i, name in enumerate(names)}


def _computed(values: Mapping[str, list[Any]]) -> dict[str, pl.Series]:
    """The columns that need arithmetic: times, money, status."""
    numbers = ("duration_ms", "cost_usd", "ttft_ms")
    raw = pl.DataFrame(
        [
            _times("end", values["end_time"]),
            _times("start", values["start_time"]),
            *(_series(name, values[name], pl.Float64()) for name in numbers),
            _series("status", values["status"], pl.String()),
        ]
    )
    before = pl.col("end") - (pl.col("duration_ms") * _MS).round().cast(pl.Int64)
    status = pl.col("status").fill_null("ok")
    computed = raw.select(
        end_ns="end",
        start_ns=pl.coalesce("start", before),
        cost_nano=(pl.col("cost_usd") * NANO).round().cast(pl.Int64),
        ttft_ns=(pl.col("ttft_ms") * _MS).round().cast(pl.Int64),
        error=status != "ok",
        timeout=status == "timeout",
    )
    return {series.name: series for series in computed}


def _times(name: str, values: list[Any]) -> pl.Series:
    try:
        return _series(name, values, pl.Int64())
    except (TypeError, OverflowError):  # ISO 8601 among them
        return pl.Series(name, [v if v is None else instant_ns(v) for v in values], pl.Int64())
