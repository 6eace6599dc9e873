"""What must hold of decode for every input whatever. Used by the fuzzer and by its replay.

An input is a batch: records between separators. The first byte of each picks its headers.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final

import polars as pl

from tocsin.flow.decode import Limits, decode
from tocsin.flow.decode.changes import decode_changes
from tocsin.flow.decode.contract import MAX_SCORE, MAX_TOKENS, MAX_USD
from tocsin.flow.decode.instant import FIRST_NS, LAST_NS
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
_HASH, _CONTROL = r"^[0-9a-f]{16}$", r"[\x00-\x1f\x7f-\x9f]"


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
    if len(records) > 1:
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
    """What SPAN_SCHEMA and the contract say of every column."""
    if spans.is_empty():
        return
    broken = spans.select(**{law: bad.fill_null(value=False).any() for law, bad in _BROKEN.items()})
    wrong = [law for law, found in broken.row(0, named=True).items() if found]
    assert not wrong, f"out of range: {wrong}"


def _laws() -> dict[str, pl.Expr]:
    """Law -> an expression that is true of rows that break it."""
    col = pl.col
    laws = {f"no {name}": col(name).is_null() for name in (
        "row", "trace_id", "span_id", "kind", "start_ns", "end_ns", "env", "service")}  # fmt: skip
    laws |= {f"{n} empty or long": ~col(n).str.len_chars().is_between(1, LIMITS.max_string)
             for n in _NAMES}  # fmt: skip
    laws |= {f"{n} has control characters": col(n).str.contains(_CONTROL) for n in _NAMES}
    laws |= {f"{n} is no fingerprint": ~col(n).str.contains(_HASH)
             for n in ("args_hash", "result_hash")}  # fmt: skip
    tokens = [name for name in SPAN_SCHEMA if name.endswith("_tokens")]
    # Input may hold two cached counts on top, each of which is bounded.
    laws |= {f"{n} range": ~col(n).is_between(0, 3 * MAX_TOKENS) for n in tokens}
    return laws | {
        "kind": ~col("kind").is_in([kind.value for kind in Kind]),
        "end": ~col("end_ns").is_between(FIRST_NS, LAST_NS),
        "start": ~col("start_ns").is_between(FIRST_NS, col("end_ns")),
        "cost": ~col("cost_nano").is_between(0, round(MAX_USD * NANO)),
        "ttft": col("ttft_ns") < 0,
        "score": ~(col("score").is_finite() & (col("score").abs() <= MAX_SCORE)),
        "error without class": col("error") & col("error_class").is_null(),
        "class without error": ~col("error") & col("error_class").is_not_null(),
        "timeout without error": col("timeout") & ~col("error"),
        "handoff to nowhere": (col("kind") != Kind.HANDOFF.value) & col("handoff_to").is_not_null(),
    }


_BROKEN: Final = _laws()


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
