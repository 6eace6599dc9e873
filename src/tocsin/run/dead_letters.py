"""What could not be read goes to the dead-letter topic, with its reason and coordinates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import groupby

import tocsin
from tocsin import metrics as m
from tocsin.bus.base import Headers, Producer
from tocsin.config import Config, UserError
from tocsin.run.batch import Batch
from tocsin.types import Reason, Record, Reject

#: Bytes of a refused record that are kept; the rest is cut and its header says so. A record
#: can be larger than what the dead-letter topic takes.
KEPT_BYTES = 256 << 10
_ITEMS = 100  # how many refused items of one record its header lists


class RejectedTooMany(UserError):  # noqa: N818 - it names what happened
    """Most of what arrives is unreadable: stop, before the topic drains into dead letters."""

    def __init__(self, share: float, read: int, reason: Reason) -> None:
        super().__init__(
            f"{share:.0%} of the last {read} records were refused (latest reason: {reason}), so "
            "ingest stops rather than drain the topic into the dead-letter topic; mend the "
            "producer, or raise ingest.max_rejected_share, then start it again."
        )


async def dead_letters(
    batch: Batch, producer: Producer, config: Config, metrics: m.Metrics
) -> None:
    """Publish a batch's rejects and wait until the broker has them.

    Comes before the merge: a crash in between repeats a letter, with the same coordinates,
    and never loses one.
    """
    acks = []
    for record, rejects in _by_record(batch):
        track = batch.tracks.get(record.partition)
        if track is None or record.offset < track.dead_letter_from:
            continue
        value = record.value
        acks.append(
            await producer.send(
                config.topics.dlq,
                key=record.key,
                value=value if value is None else value[:KEPT_BYTES],
                headers=_headers(record, rejects, config.group("ingest")),
            )
        )
        metrics.add(m.DEAD_LETTERED, len(rejects), reason=rejects[0].reason)
    await asyncio.gather(*acks)


def _by_record(batch: Batch) -> Iterator[tuple[Record, list[Reject]]]:
    """One letter a record and reason, however many of its items were refused for it."""
    ordered = sorted(batch.rejects, key=lambda r: (r.row, r.reason, r.item or 0))
    for (row, _), rejects in groupby(ordered, key=lambda r: (r.row, r.reason)):
        yield batch.records[row], list(rejects)


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
        "dlq.spans": str(len(rejects)),
        "dlq.items": _items(reject.item for reject in rejects),
    }
    if record.value is not None and len(record.value) > KEPT_BYTES:
        fields["dlq.truncated_from"] = str(len(record.value))
    return [(name, text.encode()) for name, text in fields.items() if text]


def _items(items: Iterable[int | None]) -> str:
    return ",".join(str(item) for item in list(items)[:_ITEMS] if item is not None)
