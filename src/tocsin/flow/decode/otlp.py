"""Foreign messages -> columns: all spans of a message, and what they say of each other.

Every format but the native one comes this way, since all of them carry OTLP's attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol

import polars as pl

from tocsin.flow.decode.canonical import RAW_SCHEMA
from tocsin.flow.decode.instant import UNREADABLE
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.otlp_span import Row, WireSpan, read_span
from tocsin.flow.extract import CALLS
from tocsin.types import Kind, Reason, Reject

_CALLS = frozenset(kind.value for kind in CALLS)
#: Between these and a model call inside them lies another piece of work: not the same call.
_BOUNDARIES = frozenset(kind.value for kind in (Kind.TOOL, Kind.AGENT, Kind.HANDOFF))
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

    def read(self, row: int, data: bytes, wire: Wire) -> list[Reject]:
        """Adds the spans of one message; gives a reject for each that cannot be used.

        Raises RefusedError if the message as a whole cannot be read, or holds no span.
        """
        messages = wire.messages(data, self.limits)
        if not messages:
            raise RefusedError(Reason.EMPTY)
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
            read.append(span)
        _count_once(read)
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
    except (TypeError, OverflowError):  # times are unsigned on the wire
        return pl.Series(name, [UNREADABLE if v and v > _INT64_MAX else v for v in values], dtype)


def _count_once(spans: Sequence[Row]) -> None:
    """Where one call was traced twice (two instrumentations, one around the other), keep one.

    Of model calls the innermost with usage counts, and the outer ones become steps. Of tool
    calls the outer one counts, since only it has the arguments; the MCP client's span inside
    becomes `other`. Only spans of one message are compared: whatever arrives apart stays.
    """
    if len(spans) < 2:
        return
    by_id = {(span["trace_id"], span["span_id"]): span for span in spans}
    seen: set[int] = set()
    for span in spans:
        parent = by_id.get((span["trace_id"], span["parent_id"]))
        if span["kind"] in _CALLS and ("input_tokens" in span or "output_tokens" in span):
            while (
                parent
                and parent is not span
                and parent["kind"] not in _BOUNDARIES
                and id(parent) not in seen
            ):
                seen.add(id(parent))
                if parent["kind"] in _CALLS:
                    parent["kind"] = Kind.STEP.value
                parent = by_id.get((parent["trace_id"], parent["parent_id"]))
        elif (
            parent
            and parent is not span
            and span["kind"] == Kind.TOOL == parent["kind"]
            and "mcp" in span
            and span.get("tool") == parent.get("tool")
        ):
            span["kind"] = Kind.OTHER.value
