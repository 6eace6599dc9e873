"""Dead letters as values: what their headers say, which ones are meant, how they are shown.

Pure: the topic is read and written in `run/dlq/resend.py`.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from tocsin.errors import UserError
from tocsin.flow.decode import Limits, decode
from tocsin.run.dlq.envelope import ORIGINAL_HEADER, REDACTED
from tocsin.types import Reason, Record

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(\d{1,9})([smhd])")
_SHOWN_BYTES = 2_000  # of a payload in the table; --json has all that was kept
#: Judged on each span's time after decoding, so their letters name no item of the message.
_BY_TIME = frozenset({Reason.FUTURE.value, Reason.TOO_OLD.value})

#: A record's coordinates: topic, partition, offset.
Origin = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter without its bytes. Times in ms since the epoch."""

    partition: int  # where the letter lies in the dead-letter topic
    offset: int
    at_ms: int  # when it was refused
    reason: str
    detail: str  # a field path or class name, or nothing
    origin: Origin
    origin_ms: int  # the timestamp of the refused record
    spans: int  # refused for this reason; a record that is no message at all counts as one
    items: str  # which of its spans, from 0, comma-separated; empty: the record itself
    size: int  # bytes of the refused record
    kept: int | None  # bytes of it the letter holds; None: it was a tombstone or none were kept
    redacted: bool = False  # an envelope stands in the place of key, bytes and headers
    cut: str = ""  # what else is not whole: key, headers

    @property
    def truncated(self) -> bool:
        return bool(self.cut) or (self.kept is not None and self.kept < self.size)

    def fields(self) -> dict[str, Any]:
        """The letter as `--json` shows it."""
        topic, partition, offset = self.origin
        return {
            "reason": self.reason, "detail": self.detail, "refused_at": iso(self.at_ms),
            "original": {"topic": topic, "partition": partition, "offset": offset,
                         "time": iso(self.origin_ms)},
            "spans": self.spans, "items": [int(item) for item in self.items.split(",") if item],
            "size": self.size, "truncated": self.truncated, "redacted": self.redacted,
            "letter": {"partition": self.partition, "offset": self.offset},
        }  # fmt: skip


def letter_of(record: Record) -> Letter | None:
    """The letter a record of the dead-letter topic is; None when it is not one of ours."""
    try:
        # The producer's own headers may be anything, or null.
        headers = {
            name: value.decode()
            for name, value in record.headers
            if name.startswith("dlq.") and not name.startswith(ORIGINAL_HEADER)
        }
        redacted = REDACTED in headers
        kept = None if record.value is None or redacted else len(record.value)
        return Letter(
            partition=record.partition,
            offset=record.offset,
            at_ms=record.timestamp,
            reason=headers["dlq.reason"],
            detail=headers.get("dlq.detail", ""),
            origin=(
                headers["dlq.original.topic"],
                int(headers["dlq.original.partition"]),
                int(headers["dlq.original.offset"]),
            ),
            origin_ms=int(headers["dlq.original.timestamp"]),
            spans=int(headers["dlq.spans"]),
            items=headers.get("dlq.items", ""),
            size=int(headers.get("dlq.size") or headers.get("dlq.truncated_from") or kept or 0),
            kept=kept,
            redacted=redacted,
            cut=headers.get("dlq.cut", ""),
        )
    except (KeyError, ValueError, AttributeError):  # a null header has no decode
        return None


def original_headers(record: Record) -> list[tuple[str, bytes]]:
    """The producer's own headers, from the letter that keeps them, in their order."""
    return [
        (name.removeprefix(ORIGINAL_HEADER), value)
        for name, value in record.headers
        if name.startswith(ORIGINAL_HEADER)
    ]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; what is not given does not narrow. Times bound the refusal."""

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None  # exclusive
    topic: str | None = None  # of the refused record, like the next two
    partition: int | None = None
    offset: int | None = None
    limit: int | None = None  # the newest so many

    def matches(self, letter: Letter) -> bool:
        topic, partition, offset = letter.origin
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
            and (self.until_ms is None or letter.at_ms < self.until_ms)
            and self.topic in (None, topic)
            and self.partition in (None, partition)
            and self.offset in (None, offset)
        )

    def of(self, letters: Iterable[Letter]) -> list[Letter]:
        """The letters that match, each refusal once, oldest first.

        A crash repeats a letter: of those with one origin and reason the first is taken.
        """
        chosen: dict[tuple[Origin, str], Letter] = {}
        for letter in sorted(letters, key=lambda x: (x.at_ms, x.partition, x.offset)):
            if self.matches(letter):
                chosen.setdefault((letter.origin, letter.reason), letter)
        found = list(chosen.values())
        return found if self.limit is None else found[max(0, len(found) - self.limit) :]


def moment(text: str, now_ms: int, option: str) -> int:
    """Epoch ms of `text`: ISO 8601 (no zone: UTC), or an age such as 90s, 30m, 2h, 7d.

    Raises UserError naming `option`.
    """
    if age := _AGO.fullmatch(text.strip()):
        return now_ms - int(age[1]) * _UNIT_MS[age[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(
            f"{option} {text!r} is no time; give one such as 2026-11-23T02:14:07Z, or an age: 30m."
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


# ---- what a replay would send ---------------------------------------------------------


@dataclass(slots=True)
class Plan:
    """Which records a replay sends, each once, and why the other letters are left out."""

    sent: list[Letter] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # why -> records
    refused: Counter[Origin] = field(default_factory=Counter)  # spans refused of each record

    def is_partial(self, letter: Letter, record: Record, limits: Limits) -> bool:
        """Whether other spans of the record were accepted: they would be counted twice."""
        if not letter.items and letter.reason not in _BY_TIME:
            return False
        decoded = decode([_Bytes(record.value, headers=original_headers(record))], limits, b"")
        in_all = decoded.spans.height + sum(r.item is not None for r in decoded.rejects)
        return in_all > self.refused[letter.origin]


NO_BYTES = "empty: there is nothing to send"
REDACTED_LETTER = (
    "redacted: the letter holds no original. Send the records again from where they were made, or "
    "from the spans topic at the coordinates that `tocsin dlq show` gives; to keep what is refused "
    "from now on, set dlq.keep_original (TOCSIN_DLQ__KEEP_ORIGINAL=true) for ingest"
)
TRUNCATED = "truncated: the letter holds only the beginning"
PARTIAL = (
    "partial: other spans of the record were counted already (--partial sends it all the same)"
)


def plan(letters: Sequence[Letter]) -> Plan:
    """What to send of these letters: a record once, however many reasons it was refused for."""
    made, seen = Plan(), set()
    for letter in letters:
        made.refused[letter.origin] += letter.spans
        if letter.origin in seen:
            continue
        seen.add(letter.origin)
        if letter.redacted:
            made.left_out[REDACTED_LETTER if letter.size else NO_BYTES] += 1
        elif not letter.kept:
            made.left_out[NO_BYTES] += 1
        elif letter.truncated:
            made.left_out[TRUNCATED] += 1
        else:
            made.sent.append(letter)
    return made


@dataclass(slots=True)
class _Bytes:
    """Kept bytes as a record. Decode reads its value and headers."""

    value: bytes | None
    topic: str = "dlq"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    timestamp_type: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


# ---- how they are shown ---------------------------------------------------------------


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; the bare number if no calendar has it."""
    try:
        at = datetime.fromtimestamp(ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(letter: Letter, payload: tuple[bytes | None, bytes | None] | None) -> str:
    """One letter as a line of JSON; `payload` is (key, value), shown only when asked for."""
    fields = letter.fields()
    if payload is not None:
        for name, data in zip(("key", "payload"), payload, strict=True):
            fields |= _as_text(name, data)
    return msgspec.json.encode(fields).decode()


def _as_text(name: str, data: bytes | None) -> dict[str, str | None]:
    """Bytes as JSON can carry them: as they are where they are text, else in base64."""
    try:
        return {name: data if data is None else data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data or b"").decode()}


def table(letters: Sequence[Letter], payloads: dict[tuple[int, int], bytes | None] | None) -> Table:
    """The letters for a person; payloads (by place in the topic) only when asked for."""
    shown = Table(box=None, pad_edge=False)
    for name in ("refused (UTC)", "reason", "detail", "original record", "its time (UTC)"):
        shown.add_column(name, overflow="fold")
    for name in ("spans", "bytes"):
        shown.add_column(name, justify="right")
    if payloads is not None:
        shown.add_column("payload", overflow="fold")
    for letter in letters:
        topic, partition, offset = letter.origin
        cells = [
            iso(letter.at_ms), letter.reason, letter.detail, f"{topic}/{partition}/{offset}",
            iso(letter.origin_ms), str(letter.spans),
            f"{letter.size}{_whole(letter)}",
        ]  # fmt: skip
        if payloads is not None:
            value = payloads.get((letter.partition, letter.offset)) or b""
            cells.append(
                repr(value[:_SHOWN_BYTES])[2:-1]
            )  # no control character reaches a terminal
        shown.add_row(*map(Text, cells))
    return shown


def _whole(letter: Letter) -> str:
    return " (redacted)" if letter.redacted else " (cut)" if letter.truncated else ""


def summary(letters: Sequence[Letter]) -> str:
    """How many of each reason, most first; and how many can be shown and sent no more."""
    reasons = Counter(letter.reason for letter in letters)
    listed = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
    spans = sum(letter.spans for letter in letters)
    said = f"{count(len(letters), 'dead letter')}, {count(spans, 'span')}: {listed or 'none'}"
    redacted = sum(letter.redacted for letter in letters)
    return f"{said}; {redacted} redacted (dlq.keep_original is off)" if redacted else said


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
