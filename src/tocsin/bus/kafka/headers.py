"""Header names that are not UTF-8.

Kafka takes any bytes for the name of a header. aiokafka decodes it strictly while it unpacks a
fetch, and what that raises ends the poll: at the same offset on every restart, so one record
would stop a pipeline for good, and what the poll had already drained of other partitions would
be skipped. Here such a batch, and no other, is read once more by aiokafka's own parser in
Python, with U+FFFD in place of what is not UTF-8. All its records come, under their offsets.

It replaces two names in aiokafka's fetcher. These are private parts of aiokafka 0.14.0; the
version is pinned, and `test_bus_headers.py` tests it on a broker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Self, SupportsIndex, overload

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

#: The head of a record batch: its first offset, the bytes that follow these two fields, the
#: format's version (2 is the first with headers), and the last offset less the first.
_HEAD = struct.Struct(">qi4xb6xi")
_BEFORE_LENGTH_COUNTS = struct.calcsize(">qi")
_WITH_HEADERS = 2


def install() -> None:
    """Make every consumer of aiokafka in this process read any header name, Faust's too."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = _Fetched, _Records


class _Lenient(bytearray):
    """Bytes of which every slice decodes."""

    @overload
    def __getitem__(self, at: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> _Lenient: ...
    def __getitem__(self, at: SupportsIndex | slice) -> int | _Lenient:
        got = super().__getitem__(at)
        return got if isinstance(got, int) else _Lenient(got)

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        del errors  # the parser leaves it at strict
        return super().decode(encoding, "replace")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch whose header names always decode; its parser decodes nothing else as text."""

    _buffer: bytearray

    def __iter__(self) -> Self:
        super().__iter__()  # decompresses
        self._buffer = _Lenient(self._buffer)
        return self


class _Fetched(MemoryRecords):  # type: ignore[misc]
    """The batches that one fetch brought of a partition, and the bytes they are in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data, self._at = memoryview(data), 0

    def again(self, offset: int) -> _LenientBatch:
        """Return the batch that holds `offset`, or the next. `offset` must not go back."""
        while True:
            first, length, version, delta = _HEAD.unpack_from(self._data, self._at)
            end = self._at + _BEFORE_LENGTH_COUNTS + length
            if version >= _WITH_HEADERS and first + delta >= offset:
                return _LenientBatch(self._data[self._at : end])
            self._at = end


class _Only:
    """One batch, in the place of all that were fetched."""

    def __init__(self, batch: _LenientBatch) -> None:
        self._left = [batch]

    def has_next(self) -> bool:
        return bool(self._left)

    def next_batch(self) -> _LenientBatch:
        return self._left.pop()


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of a partition."""

    _records: Any  # _Fetched; _Only while a batch is read again
    _records_iterator: Iterator[ConsumerRecord]

    def __next__(self) -> ConsumerRecord:
        # Called for every record: no more than aiokafka's own does until something is wrong.
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = iter(())  # the generator refers back to us
            raise
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # The parser in C lets the first one out, the one in Python wraps it.
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
        self._records_iterator = self._from_the_batch_that_failed()
        return next(self)

    def _from_the_batch_that_failed(self) -> Iterator[ConsumerRecord]:
        """Go on at `next_fetch_offset`: what came before it in the batch is passed over."""
        fetched: _Fetched = self._records
        self._records = _Only(fetched.again(self.next_fetch_offset))
        yield from self._unpack_records()
        self._records = fetched  # stands behind that batch
        yield from self._unpack_records()
