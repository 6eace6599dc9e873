"""What must hold of decode for every input whatever. Used by the fuzzer and by its replay.

An input is a batch: records between separators. The first byte of each picks its headers.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from tocsin.flow.decode import Limits, decode
from tocsin.flow.decode.changes import decode_changes
from tocsin.flow.decode.instant import FIRST_NS, LAST_NS
from tocsin.flow.decode.span_v1 import MAX_SCORE, MAX_TOKENS, MAX_USD
from tocsin.types import NANO, SPAN_SCHEMA, ChangeKind, Decoded, Kind, Reason
from unit.decode_samples import Message

KEY: Final = b"a key for fuzzing"
LIMITS: Final = Limits()
#: No UTF-8, so text never holds it; a protobuf message that does is cut in two, and no worse.
SEPARATOR: Final = b"\xf5\xf6\xf7\xf8"
_MOST_RECORDS: Final = 4
_Headers = list[tuple[str, bytes]]
HEADERS: Final[list[_Headers]] = [
    [],
    [("content-type", b"application/json")],
    [("Content-Type", b"application/x-protobuf; charset=x")],
    [("content-type", b"application/cloudevents+json"), ("__value_schema_id", b"\x01")],
    [("ce_type", b"dev.cdevents.service.deployed.0.2.0"), ("ce_time", b"2025-10-09T08:53:20Z")],
]
#: CPU time that one input may take: far above what any took, far below what a queue bears.
SLOW_S: Final = 2.0
_NAMES = [name for name, dtype in SPAN_SCHEMA.items() if dtype == pl.String()]
_REQUIRED = ("row", "trace_id", "span_id", "env", "service", "error", "timeout")
_KINDS = {kind.value for kind in Kind}
_HASH, _CONTROL = re.compile("[0-9a-f]{16}"), re.compile(r"[\x00-\x1f\x7f-\x9f]")


def pack(*values: bytes, headers: int = 0) -> bytes:
    """The input that is a batch of these values."""
    return SEPARATOR.join(bytes((headers,)) + value for value in values)


def unpack(data: bytes) -> list[Message]:
    """The records of an input."""
    parts = data.split(SEPARATOR, _MOST_RECORDS - 1)
    return [Message(part[1:], HEADERS[part[0] % len(HEADERS)]) for part in parts if part]


def check(data: bytes) -> None:
    """Raises AssertionError, or whatever decode raised, if a law is broken."""
    records = unpack(data)
    began = time.process_time()
    decoded = decode(records, LIMITS, KEY)
    changes = decode_changes(records, LIMITS)
    took = time.process_time() - began
    assert took < SLOW_S, f"slow: {took:.1f} s of CPU for {len(data)} bytes"
    _whole(records, decoded)
    _in_range(decoded.spans)
    assert {change.kind for change in changes.changes} <= set(ChangeKind)
    if len(records) > 1 or len(data) % 8 == 0:  # decode remembers what it read before
        _same_apart(records, decoded)


def _whole(records: list[Message], decoded: Decoded) -> None:
    """Each record gives a span or a reject with its reason; no more rows than there are."""
    told = set(decoded.spans["row"].to_list()) | {reject.row for reject in decoded.rejects}
    assert told == set(range(len(records))), "a record has no outcome"
    assert dict(decoded.spans.schema) == dict(SPAN_SCHEMA)
    for reject in decoded.rejects:
        assert reject.reason in Reason
        assert len(reject.detail) <= LIMITS.max_string, "a detail without end"


def _same_apart(records: list[Message], decoded: Decoded) -> None:
    """A record gives the same in any company."""
    for row, record in enumerate(records):
        alone = decode([record], LIMITS, KEY)
        assert alone.spans.drop("row").equals(
            decoded.spans.filter(pl.col("row") == row).drop("row")
        ), "spans depend on the batch"
        here = [(r.reason, r.detail, r.item) for r in decoded.rejects if r.row == row]
        assert here == [(r.reason, r.detail, r.item) for r in alone.rejects], "rejects do"


def _in_range(spans: pl.DataFrame) -> None:
    """What SPAN_SCHEMA and the contract say of every column. In Python: the frames are tiny."""
    for span in spans.iter_rows(named=True):
        wrong = [law for law, holds in _LAWS.items() if not holds(span)]
        for name in _NAMES:
            text = span[name]
            if text is not None and not (0 < len(text) <= LIMITS.max_string):
                wrong.append(f"{name} is empty or long")
            elif text is not None and _CONTROL.search(text):
                wrong.append(f"{name} has control characters")
        assert not wrong, f"out of range: {wrong}"


def _between(name: str, low: float, high: float) -> Callable[[Mapping[str, Any]], bool]:
    """Null, or within bounds; NaN is not."""
    return lambda span: span[name] is None or low <= span[name] <= high


_LAWS: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "what every span has": lambda span: None not in [span[name] for name in _REQUIRED],
    "kind": lambda span: span["kind"] in _KINDS,
    "end": _between("end_ns", FIRST_NS, LAST_NS),
    "start": lambda span: FIRST_NS <= span["start_ns"] <= span["end_ns"],
    # Input may hold two cached counts on top, each of which is bounded.
    **{name: _between(name, 0, 3 * MAX_TOKENS) for name in SPAN_SCHEMA if "_tokens" in name},
    "cost": _between("cost_nano", 0, round(MAX_USD * NANO)),
    "ttft": _between("ttft_ns", 0, 2**63),
    "score": _between("score", -MAX_SCORE, MAX_SCORE),
    "fingerprints": lambda span: all(
        span[name] is None or _HASH.fullmatch(span[name]) for name in ("args_hash", "result_hash")
    ),
    "an error has a class": lambda span: span["error"] == (span["error_class"] is not None),
    "a timeout is an error": lambda span: span["error"] or not span["timeout"],
    "only handoffs hand over": lambda span: span["kind"] == "handoff" or not span["handoff_to"],
}


def signature(error: BaseException) -> str:
    """Findings of one cause have one name: the type, and where in our code it arose."""
    at, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "tocsin" in code.co_filename or "fuzz" in code.co_filename:
            at = f"{code.co_qualname}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = str(error) if isinstance(error, AssertionError) else ""
    return hashlib.sha256(f"{type(error).__name__} {at} {text[:60]}".encode()).hexdigest()[:12]
