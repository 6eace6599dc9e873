"""DLQ records as values: what their headers say, which are selected, which can be sent again.

Pure: the topic is read and written in `run/dlq/resend.py`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tocsin.flow.decode import Limits, decode
from tocsin.run.dlq.envelope import ORIGINAL_HEADER, REDACTED
from tocsin.run.replay.sources import RecordedMessage
from tocsin.types import Reason, Record

#: Judged on each span's time after decoding, so their DLQ records name no item of the message.
_BY_TIME = frozenset({Reason.FUTURE.value, Reason.TOO_OLD.value})

#: A record's coordinates: topic, partition, offset.
Origin = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class DlqRecord:
    """One record of the dead-letter topic without its bytes. Times in ms since the epoch."""

    partition: int  # of the dead-letter topic
    offset: int
    at_ms: int  # when it was refused
    reason: str
    detail: str  # a field path or class name, or nothing
    origin: Origin
    origin_ms: int  # the timestamp of the refused record
    spans: int  # refused for this reason; a record that is no message at all counts as one
    items: str  # which of its spans, from 0, comma-separated; empty: the record itself
    size: int  # bytes of the refused record
    kept: int | None  # bytes of it that were kept; None: it was a tombstone or none were
    redacted: bool = False  # an envelope stands in the place of key, bytes and headers
    cut: str = ""  # what else is not whole: key, headers

    @property
    def truncated(self) -> bool:
        return bool(self.cut) or (self.kept is not None and self.kept < self.size)


def parse_dlq_record(record: Record) -> DlqRecord | None:
    """A record of the dead-letter topic as a value; None where Tocsin did not write it."""
    try:
        # The producer's own headers may be anything, or null.
        headers = {
            name: value.decode()
            for name, value in record.headers
            if name.startswith("dlq.") and not name.startswith(ORIGINAL_HEADER)
        }
        redacted = REDACTED in headers
        kept = None if record.value is None or redacted else len(record.value)
        return DlqRecord(
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
    """The producer's own headers, where the DLQ record keeps them, in their order."""
    return [
        (name.removeprefix(ORIGINAL_HEADER), value)
        for name, value in record.headers
        if name.startswith(ORIGINAL_HEADER)
    ]


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters over DLQ records; one that is not given does not narrow. Times are of the refusal."""

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None  # exclusive
    topic: str | None = None  # of the refused record, like the next two
    partition: int | None = None
    offset: int | None = None
    limit: int | None = None  # the newest so many

    def matches(self, dlq_record: DlqRecord) -> bool:
        topic, partition, offset = dlq_record.origin
        return (
            (not self.reasons or dlq_record.reason in self.reasons)
            and (self.since_ms is None or dlq_record.at_ms >= self.since_ms)
            and (self.until_ms is None or dlq_record.at_ms < self.until_ms)
            and self.topic in (None, topic)
            and self.partition in (None, partition)
            and self.offset in (None, offset)
        )

    def of(self, dlq_records: Iterable[DlqRecord]) -> list[DlqRecord]:
        """Those that match, each refusal once, oldest first.

        A crash repeats a DLQ record: of those with one origin and reason the first is taken.
        """
        chosen: dict[tuple[Origin, str], DlqRecord] = {}
        for dlq_record in sorted(dlq_records, key=lambda x: (x.at_ms, x.partition, x.offset)):
            if self.matches(dlq_record):
                chosen.setdefault((dlq_record.origin, dlq_record.reason), dlq_record)
        found = list(chosen.values())
        return found if self.limit is None else found[max(0, len(found) - self.limit) :]


# ---- what would be sent again ---------------------------------------------------------


@dataclass(slots=True)
class ResendPlan:
    """Which records are sent again, each once, and why the others are left out."""

    sent: list[DlqRecord] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # why -> records
    refused: Counter[Origin] = field(default_factory=Counter)  # spans refused of each record

    def is_partial(self, dlq_record: DlqRecord, record: Record, limits: Limits) -> bool:
        """Whether other spans of the record were accepted: they would be counted twice."""
        if not dlq_record.items and dlq_record.reason not in _BY_TIME:
            return False
        kept = RecordedMessage(value=record.value, headers=original_headers(record))
        decoded = decode([kept], limits, b"")
        in_all = decoded.spans.height + sum(r.item is not None for r in decoded.rejects)
        return in_all > self.refused[dlq_record.origin]


NO_BYTES = "empty: there is nothing to send"
NO_ORIGINAL = (
    "redacted: it holds no original. Send the records again from where they were made, or "
    "from the spans topic at the coordinates that `tocsin dlq show` gives; to keep what is refused "
    "from now on, set dlq.keep_original (TOCSIN_DLQ__KEEP_ORIGINAL=true) for ingest"
)
TRUNCATED = "truncated: it holds only the beginning"
PARTIAL = (
    "partial: other spans of the record were counted already (--partial sends it all the same)"
)


def plan_resend(dlq_records: Sequence[DlqRecord]) -> ResendPlan:
    """What to send of these: a refused record once, however many reasons it was refused for."""
    plan, seen = ResendPlan(), set()
    for dlq_record in dlq_records:
        plan.refused[dlq_record.origin] += dlq_record.spans
        if dlq_record.origin in seen:
            continue
        seen.add(dlq_record.origin)
        if dlq_record.redacted:
            plan.left_out[NO_ORIGINAL if dlq_record.size else NO_BYTES] += 1
        elif not dlq_record.kept:
            plan.left_out[NO_BYTES] += 1
        elif dlq_record.truncated:
            plan.left_out[TRUNCATED] += 1
        else:
            plan.sent.append(dlq_record)
    return plan
