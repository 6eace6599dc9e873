"""Publish what could not be read to the dead-letter topic, with its reason and coordinates."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby

import tocsin
from tocsin import metrics as m
from tocsin.bus.base import Headers, Producer
from tocsin.config import Config, UserError
from tocsin.run.batch import Batch
from tocsin.run.dlq.envelope import ORIGINAL_HEADER, REDACTED, envelope, key_of
from tocsin.types import Reason, Record, Reject

#: Bytes of a refused record that are kept where originals are; the rest is cut and its header
#: says so. A record can be larger than what the dead-letter topic takes.
KEPT_BYTES = 256 << 10
#: Likewise of its key, and of its headers together. Headers beyond are left out; `dlq.cut` says so.
KEPT_KEY_BYTES, KEPT_HEADER_BYTES = 16 << 10, 64 << 10
_ITEMS = 100  # how many refused items of one record its header lists


class RejectedTooMany(UserError):  # noqa: N818 - it names what happened
    """Most of what arrives is unreadable: stop, before the topic drains into dead letters."""

    def __init__(self, share: float, read: int, reason: Reason) -> None:
        super().__init__(
            f"{share:.0%} of the last {read} records were refused (latest reason: {reason}), so "
            "ingest stops rather than drain the topic into the dead-letter topic; mend the "
            "producer, or raise ingest.max_rejected_share, then start it again."
        )


async def publish_rejects(
    batch: Batch, producer: Producer, config: Config, metrics: m.Metrics
) -> None:
    """Publish a batch's rejects and wait until the broker has them.

    Comes before the merge: a crash in between repeats a DLQ record, with the same coordinates,
    and never loses one.
    """
    due = [
        reject
        for reject in batch.rejects
        if (state := batch.progress.get(batch.records[reject.row].partition)) is not None
        and batch.records[reject.row].offset >= state.dead_letter_from
    ]
    await publish_dlq_records(batch.records, due, producer, config, config.group("ingest"), metrics)


async def publish_dlq_records(
    records: Sequence[Record],
    rejects: Iterable[Reject],
    producer: Producer,
    config: Config,
    group: str,
    metrics: m.Metrics,
) -> None:
    """Publish what `group` refused of these records, and wait until the broker has it."""
    content_of = _original if config.dlq.keep_original else _redacted
    acks = []
    # One DLQ record a record and reason, however many of its items were refused for it.
    ordered = sorted(rejects, key=lambda r: (r.row, r.reason, r.item or 0))
    for (row, _), group_of in groupby(ordered, key=lambda r: (r.row, r.reason)):
        record, refused = records[row], list(group_of)
        key, value, headers = content_of(record, refused, config)
        headers = [*_headers(record, refused, group), *headers]
        acks.append(await producer.send(config.topics.dlq, key=key, value=value, headers=headers))
        metrics.add(m.DEAD_LETTERED, len(refused), reason=refused[0].reason)
    await asyncio.gather(*acks)


#: Key, value and the headers beyond those that every DLQ record has.
_Content = tuple[bytes | None, bytes | None, Headers]


def _redacted(record: Record, rejects: list[Reject], config: Config) -> _Content:
    """No content of the record: the envelope of `envelope.py`."""
    secret = config.fingerprint_bytes
    value = envelope(record, rejects, secret, config.limits.max_record_bytes)
    return key_of(record.key, secret), value, [(REDACTED, b"true")]


def _original(record: Record, _rejects: list[Reject], _config: Config) -> _Content:
    """The record as it was, up to the caps."""
    key, value = record.key, record.value
    headers, kept, size = list[tuple[str, bytes]](), list[tuple[str, bytes]](), 0
    for name, data in record.headers:
        size += len(ORIGINAL_HEADER) + len(name.encode()) + len(data or b"")
        if size <= KEPT_HEADER_BYTES:
            kept.append((ORIGINAL_HEADER + name, data))
    if value is not None and len(value) > KEPT_BYTES:
        headers.append(("dlq.truncated_from", str(len(value)).encode()))
        value = value[:KEPT_BYTES]
    cut = ["key"] if key is not None and len(key) > KEPT_KEY_BYTES else []
    cut += ["headers"] if len(kept) < len(record.headers) else []
    if cut:
        headers.append(("dlq.cut", ",".join(cut).encode()))
    return None if key is None else key[:KEPT_KEY_BYTES], value, headers + kept


def _headers(record: Record, rejects: list[Reject], group: str) -> Headers:
    fields = {
        "dlq.reason": rejects[0].reason.value,
        "dlq.detail": rejects[0].detail,
        "dlq.stage": "decode",
        "dlq.original.topic": record.topic,
        "dlq.original.partition": str(record.partition),
        "dlq.original.offset": str(record.offset),
        "dlq.original.timestamp": str(record.timestamp),
        "dlq.consumer.group": group,
        "dlq.app.version": tocsin.__version__,
        "dlq.size": str(len(record.value or b"")),
        "dlq.spans": str(len(rejects)),
        "dlq.items": ",".join(str(r.item) for r in rejects[:_ITEMS] if r.item is not None),
    }
    return [(name, text.encode()) for name, text in fields.items() if text]
