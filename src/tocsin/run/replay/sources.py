"""Where recorded spans come from: files with one record a line, or a range of the topic."""

import gzip
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tocsin.bus.base import Consumer, Headers
from tocsin.errors import UserError
from tocsin.types import Record

_POLL_RECORDS, _POLL_MS = 20_000, 2_000
_BLOCK = 2**20  # bytes of lines that are read at once

Done = Callable[[int], None]  # called with the work done since, in the source's own unit


@dataclass(slots=True)
class RecordedMessage:
    """A `tocsin.types.Record` of a recording, a file or a DLQ record."""

    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp: int = 0  # ms
    timestamp_type: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


def lines_of(path: Path, done: Done | None = None) -> Iterator[bytes]:
    """The non-empty lines of a file (gzip by its suffix), one record each. Raises UserError.

    `done` is called with the bytes of the file that were read.
    """
    try:
        with path.open("rb") as raw:
            file = cast("BinaryIO", gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw)
            at = 0
            while lines := file.readlines(_BLOCK):
                yield from filter(None, map(bytes.strip, lines))
                if done and (now := raw.tell()) != at:
                    done(now - at)
                    at = now
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"Cannot read {path} ({why}); give a file with one record a line."
        ) from None


@dataclass(frozen=True, slots=True)
class Range:
    """Part of a topic: partition -> the offsets [first, end), only where there are any."""

    offsets: Mapping[int, tuple[int, int]]

    @property
    def records(self) -> int:
        """How many offsets there are; compaction and transactions leave holes."""
        return sum(end - first for first, end in self.offsets.values())


async def range_of(consumer: Consumer, from_ms: int | None, to_ms: int | None) -> Range:
    """What a topic holds of records stamped in [from_ms, to_ms); None = all there is."""
    partitions = consumer.assignment()
    begins, ends = await consumer.begin_offsets(partitions), await consumer.end_offsets(partitions)
    found = {}
    for partition in sorted(partitions):
        first, end = begins[partition], ends[partition]
        if from_ms is not None:
            at = await consumer.offset_for_time(partition, from_ms)
            first = end if at is None else max(first, at)
        if to_ms is not None:
            at = await consumer.offset_for_time(partition, to_ms)
            end = end if at is None else at
        if first < end:
            found[partition] = first, end
    return Range(found)


async def read_range(
    consumer: Consumer, wanted: Range, done: Done | None = None
) -> AsyncIterator[Mapping[int, Sequence[Record]]]:
    """The records of a range as they come, partitions renumbered from 0 without holes.

    Every partition stays about as far as the others, so that few windows are open at once.
    """
    number = {partition: i for i, partition in enumerate(sorted(wanted.offsets))}
    left = dict(wanted.offsets)
    for partition in consumer.assignment():
        first, _ = left.get(partition, (None, None))
        ends = await consumer.end_offsets([partition])
        consumer.seek(partition, ends[partition] if first is None else first)
    while left:
        polled = await consumer.poll(_POLL_RECORDS, _POLL_MS)
        batch = {}
        for partition, records in polled.items():
            if partition not in left:
                continue
            first, end = left[partition]
            mine = [_numbered(r, number[partition]) for r in records if first <= r.offset < end]
            at = records[-1].offset + 1
            if done:
                done(min(at, end) - first)
            if at >= end:
                del left[partition]
            else:
                left[partition] = at, end
            if mine:
                batch[number[partition]] = mine
        if batch:
            yield batch
        for partition in list(left):  # what is left may be holes only
            if not polled and await consumer.position(partition) >= left[partition][1]:
                del left[partition]


def _numbered(record: Record, partition: int) -> RecordedMessage:
    return RecordedMessage(
        record.topic, partition, record.offset, record.timestamp, record.timestamp_type,
        record.key, record.value, tuple(record.headers),
    )  # fmt: skip
