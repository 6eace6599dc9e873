"""Read the dead-letter topic, and send what it holds through the pipeline again.

Reads without a group and commits nothing, so looking changes nothing. Two passes: the first
keeps only what the headers say, the second takes the bytes of the records selected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tocsin.bus.base import BrokerUnavailable, Bus, Consumer, Producer, require_topic, started
from tocsin.config import Config, UserError
from tocsin.flow.decode import Limits
from tocsin.run.dlq.records import (
    PARTIAL,
    DlqRecord,
    ResendPlan,
    Selection,
    original_headers,
    parse_dlq_record,
    plan_resend,
)
from tocsin.run.from_config import ingest_settings
from tocsin.types import Record

_POLL_RECORDS, _POLL_MS = 2_000, 500
_SILENT_POLLS = 60  # half a minute without a record that the log is known to hold
_IN_FLIGHT = 100  # records sent before their acknowledgements are awaited
#: On a record that was sent again: where it was first. No decoder reads it.
REPLAYED = "dlq.replayed.from"


@dataclass(slots=True)
class ResendResult:
    """What `resend` did, or would do. Counted in records."""

    chosen: list[DlqRecord]
    sent: int = 0
    size: int = 0  # their bytes
    left_out: dict[str, int] = field(default_factory=dict)  # why -> records


async def find(bus: Bus, config: Config, selection: Selection) -> tuple[list[DlqRecord], int]:
    """The DLQ records selected, oldest first, and how many records Tocsin did not write.

    Raises BrokerUnavailable, TopicMissing.
    """
    found, foreign = [], 0
    async with started(bus.consumer(config.topics.dlq, None)) as consumer:
        async for record in _read(consumer, await _starts(consumer, selection.since_ms)):
            dlq_record = parse_dlq_record(record)
            if dlq_record is None:
                foreign += 1
            elif selection.matches(dlq_record):
                found.append(dlq_record)
    return selection.of(found), foreign


async def bytes_of(bus: Bus, config: Config, wanted: Iterable[DlqRecord]) -> AsyncIterator[Record]:
    """The whole records of the dead-letter topic, partition by partition."""
    places = {(dlq_record.partition, dlq_record.offset) for dlq_record in wanted}
    starts: dict[int, int] = {}
    for partition, offset in places:
        starts[partition] = min(offset, starts.get(partition, offset))
    if not starts:
        return
    async with started(bus.consumer(config.topics.dlq, None)) as consumer:
        async for record in _read(consumer, starts):
            if (record.partition, record.offset) in places:
                places.remove((record.partition, record.offset))
                yield record
            if not places:
                return


async def resend(
    bus: Bus, config: Config, selection: Selection, *, send: bool, partial: bool = False
) -> ResendResult:
    """Publish the refused records, each once, to the spans (or changes) topic.

    Key, bytes and headers are the original ones; the timestamp is that of sending. Redacted
    DLQ records hold none of them and are left out. Without `send` nothing is published and the
    result is what would be. Raises UserError if the broker refuses.
    """
    chosen, _ = await find(bus, config, selection)
    plan = plan_resend(chosen)
    result = ResendResult(chosen, left_out=dict(plan.left_out))
    if not plan.sent:
        return result
    async with AsyncExitStack() as stack:
        producer = None
        if send:
            await require_topic(bus.admin(), config.topics.spans)
            producer = await stack.enter_async_context(started(bus.producer()))
        batch: list[tuple[DlqRecord, Record]] = []
        async for sendable in _sendable(bus, config, plan, result, partial=partial):
            batch.append(sendable)
            if len(batch) == _IN_FLIGHT:
                await _publish(bus, producer, config, batch, result)
                batch.clear()
        await _publish(bus, producer, config, batch, result)
    return result


async def _sendable(
    bus: Bus, config: Config, plan: ResendPlan, result: ResendResult, *, partial: bool
) -> AsyncIterator[tuple[DlqRecord, Record]]:
    limits: Limits = ingest_settings(config).limits
    by_place = {(dlq_record.partition, dlq_record.offset): dlq_record for dlq_record in plan.sent}
    async for record in bytes_of(bus, config, plan.sent):
        dlq_record = by_place[record.partition, record.offset]
        if not partial and plan.is_partial(dlq_record, record, limits):
            result.left_out[PARTIAL] = result.left_out.get(PARTIAL, 0) + 1
        else:
            yield dlq_record, record


async def _publish(
    bus: Bus,
    producer: Producer | None,
    config: Config,
    batch: list[tuple[DlqRecord, Record]],
    result: ResendResult,
) -> None:
    """Send a batch and wait for its acknowledgements. Raises UserError with the count so far."""

    async def one(dlq_record: DlqRecord, record: Record, to: Producer) -> None:
        origin = "/".join(map(str, dlq_record.origin)).encode()
        changes = config.topics.changes
        topic = changes if dlq_record.origin[0] == changes else config.topics.spans
        kept = [(name, data) for name, data in original_headers(record) if name != REPLAYED]
        headers = [*kept, (REPLAYED, origin)]
        ack = await to.send(topic, key=record.key, value=record.value, headers=headers)
        await ack

    failures: list[BaseException] = []
    if producer is not None:
        done = await asyncio.gather(
            *(one(dlq_record, record, producer) for dlq_record, record in batch),
            return_exceptions=True,
        )
        failures = [result for result in done if result is not None]
    result.sent += len(batch) - len(failures)
    result.size += sum(dlq_record.size for dlq_record, _ in batch)
    if failures:
        said = bus.explain(failures[0])
        if not isinstance(said, UserError):
            raise said
        records = f"{result.sent} record{'' if result.sent == 1 else 's'}"
        raise BrokerUnavailable(f"Stopped after {records} were acknowledged: {said}")


async def _starts(consumer: Consumer, since_ms: int | None) -> dict[int, int]:
    """Where to begin in each partition; those without anything recent enough are left out."""
    begins = await consumer.begin_offsets(consumer.assignment())
    if since_ms is None:
        return begins
    found = {p: await consumer.offset_for_time(p, since_ms) for p in begins}
    return {p: offset for p, offset in found.items() if offset is not None}


async def _read(consumer: Consumer, starts: dict[int, int]) -> AsyncIterator[Record]:
    """Records from `starts` to the end of each partition as it is when we get there."""
    at = dict(starts)
    ends = await consumer.end_offsets(consumer.assignment())
    for partition in consumer.assignment():
        consumer.seek(partition, at.get(partition, ends[partition]))
    silent = 0
    while at:
        polled = await consumer.poll(_POLL_RECORDS, _POLL_MS)
        for partition, records in polled.items():
            for record in records if partition in at else ():
                yield record
        silent = 0 if polled else silent + 1
        if silent > _SILENT_POLLS:
            raise BrokerUnavailable("The broker stopped answering; try again when it is back.")
        # Read again after every poll: before the first, the end that is known can be too low.
        ends = await consumer.end_offsets(at)
        at = {p: next_ for p in at if (next_ := await consumer.position(p)) < ends[p]}
