"""Messages of every format but the native one -> columns, with what related spans add.

Every format but the native one comes this way, since all of them carry OTLP's attributes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol

import polars as pl

from tocsin.flow.decode.canonical import RAW_SCHEMA
from tocsin.flow.decode.instant import UNREADABLE
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.otlp_span import Row, WireSpan, read_span
from tocsin.flow.decode.related import relate
from tocsin.flow.decode.semantics import RESOURCE_TABLE, Offer, offers, resolve
from tocsin.types import Reason, Reject

#: OTel's own default for a service that has no name.
_UNNAMED = "unknown_service"
_INT64_MAX = 2**63 - 1
_ABSENT: Row = dict.fromkeys(RAW_SCHEMA)
_cells = itemgetter(*RAW_SCHEMA)
_NULLS = {name: pl.Series(name, [None], dtype) for name, dtype in RAW_SCHEMA.items()}


class Wire(Protocol):
    """What the module of a wire format gives; both raise RefusedError."""

    def messages(self, data: bytes, limits: Limits, /) -> Sequence[tuple[Row, Any]]:
        """The spans of a message as the format has them, each with its resource's fields."""

    def wire_span(self, span: Any, limits: Limits, /) -> WireSpan:
        """One of these, read."""


@dataclass(slots=True)
class Rows:
    """Spans of foreign messages, collected record by record."""

    limits: Limits
    key: bytes
    rows: list[Row] = field(default_factory=list)

    def read(
        self, row: int, data: bytes, wire: Wire, headers: Sequence[tuple[str, bytes]] = ()
    ) -> list[Reject]:
        """Adds the spans of one message; gives a reject for each that cannot be used.

        Headers named like attributes of a resource (`service.name`) say what the message
        leaves out. Raises RefusedError if it cannot be read as a whole, or holds no span.
        """
        messages = wire.messages(data, self.limits)
        if not messages:
            raise RefusedError(Reason.EMPTY)
        named = _named(headers) if headers else {}
        read: list[Row] = []
        rejects = []
        for item, (resource, message) in enumerate(messages):
            try:
                span = read_span(
                    wire.wire_span(message, self.limits), resource, self.limits, self.key
                )
            except RefusedError as error:
                rejects.append(Reject(row, error.reason, error.detail, item))
                continue
            span["row"], span["item"] = row, item
            if named:
                span |= {field: value for field, value in named.items() if field not in span}
            if "service" not in span and "service_else" in span:
                span["service"] = span["service_else"]
            read.append(span)
        relate(read)
        self.rows += read
        return rejects

    def columns(self) -> pl.DataFrame:
        """The spans in RAW_SCHEMA."""
        cells = zip(*(_cells(_ABSENT | row) for row in self.rows), strict=True)
        data = [
            _series(name, values, dtype)
            for (name, dtype), values in zip(RAW_SCHEMA.items(), cells, strict=True)
        ]
        return pl.DataFrame(data).with_columns(pl.col("service").fill_null(_UNNAMED))


def _series(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    if values.count(None) == len(values):
        return _NULLS[name].new_from_index(0, len(values))
    try:
        return pl.Series(name, values, dtype)
    except (TypeError, OverflowError):  # times are unsigned in protobuf, and of any size in JSON
        inside = [UNREADABLE if v and abs(v) > _INT64_MAX else v for v in values]
        return pl.Series(name, inside, dtype)


def _named(headers: Sequence[tuple[str, bytes]]) -> Row:
    """What a record's headers say of the resource its spans are from."""
    found: list[Offer] = []
    for name, value in headers:
        if name in RESOURCE_TABLE and value:
            found += offers(name, value.decode(errors="replace"), RESOURCE_TABLE)
    return resolve(found)
