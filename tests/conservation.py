"""The law of conservation, to the span: consumed = aggregated + late + filtered + dead-lettered.

The left side is counted here from the log alone: every record below the offset that a shard
says it expects next, decoded anew. The right side is the shard's books, kept in the same step
as its counters. Deliveries of offsets that were counted before (`duplicate`) are on no book;
`tests/unit/test_ingest.py` holds their metric to the law.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tocsin.config import Config
from tocsin.flow.decode import decode
from tocsin.run.batch import AGGREGATED, DEAD_LETTERED, FILTERED, LATE
from tocsin.run.dlq.records import DlqRecord, parse_dlq_record
from tocsin.run.from_config import ingest_settings
from tocsin.types import Reason, Record

OUTCOMES = {AGGREGATED, LATE, FILTERED, DEAD_LETTERED}
_BY_TIME = {Reason.FUTURE, Reason.TOO_OLD}  # refused after decode

_AT_ONCE = 20_000

#: Spans by (partition, outcome).
Books = Mapping[tuple[int, str], int]


def check_books(
    config: Config,
    spans: Sequence[Record],
    dead: Sequence[Record],
    books: Books,
    nexts: Mapping[int, int],
) -> None:
    """Assert the law for each partition of the spans topic.

    Args:
        config: what ingest ran with; a record that was refused whole may have been so under
            tighter limits.
        spans: all records of the spans topic; records beyond `nexts` are left out.
        dead: all records of the dead-letter topic.
        books: what the shards say became of each partition's spans.
        nexts: partition -> the next offset that the shard which keeps its books expects.
    """
    assert {outcome for _, outcome in books} <= OUTCOMES
    dlq_records = _dlq_records_of(config, dead, nexts)
    consumed: Counter[int] = Counter()
    refused: Counter[int] = Counter()
    below = [record for record in spans if record.offset < nexts.get(record.partition, 0)]
    for record, accepted, rejected in _decoded(below, config):
        mine = dlq_records.get((record.partition, record.offset), [])
        consumed[record.partition] += _spans_in(record, accepted, rejected, mine)
        refused[record.partition] += sum(dlq_record.spans for dlq_record in mine)
    for partition in nexts:
        booked = {o: books.get((partition, o), 0) for o in sorted(OUTCOMES)}
        told = f"partition {partition}: {consumed[partition]} spans, books {booked}"
        assert sum(booked.values()) == consumed[partition], told
        assert booked[DEAD_LETTERED] == refused[partition], f"{told}, DLQ records of {refused}"


def _dlq_records_of(
    config: Config, dead: Sequence[Record], nexts: Mapping[int, int]
) -> dict[tuple[int, int], list[DlqRecord]]:
    """The DLQ records of each record, each refusal once: a crash may repeat one."""
    found: dict[tuple[int, int], dict[str, DlqRecord]] = {}
    for record in dead:
        dlq_record = parse_dlq_record(record)
        assert dlq_record is not None, "every DLQ record can be read"
        topic, partition, offset = dlq_record.origin
        if topic == config.topics.spans and offset < nexts.get(partition, 0):
            found.setdefault((partition, offset), {})[dlq_record.reason] = dlq_record
    return {place: list(by_reason.values()) for place, by_reason in found.items()}


def _decoded(records: Sequence[Record], config: Config) -> Iterator[tuple[Record, int, int]]:
    """Each record, how many spans it gives, and how many rejects."""
    settings = ingest_settings(config)
    for first in range(0, len(records), _AT_ONCE):
        some = records[first : first + _AT_ONCE]
        decoded = decode(some, settings.limits, settings.fingerprint_key)
        accepted = Counter(decoded.spans["row"].to_list())
        rejected = Counter(reject.row for reject in decoded.rejects)
        for row, record in enumerate(some):
            yield record, accepted[row], rejected[row]


def _spans_in(
    record: Record, accepted: int, rejected: int, dlq_records: Sequence[DlqRecord]
) -> int:
    """How many spans a record counts for; one that was refused whole counts as one."""
    if any(
        not dlq_record.items and dlq_record.reason not in _BY_TIME for dlq_record in dlq_records
    ):
        return sum(dlq_record.spans for dlq_record in dlq_records)
    refused = sum(
        dlq_record.spans for dlq_record in dlq_records if dlq_record.reason not in _BY_TIME
    )
    assert rejected == refused, f"{rejected} rejects, {refused} in DLQ records: {record}"
    return accepted + refused
