"""replay: recorded spans through the live code, with the watermark as the clock.

A file goes through the same decode, fold, merge, tick and judge as a topic does, on the
memory store. The same file gives the same events, byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tocsin import metrics as m
from tocsin.bus.base import TopicSpec
from tocsin.bus.memory import MemoryBus, MemoryRecord
from tocsin.config import Config, UserError
from tocsin.flow.alert import AlertEvent
from tocsin.flow.event_time import TimeRules
from tocsin.flow.extract import MONOTONE
from tocsin.flow.judge.rules import RuleSpec, load_rules
from tocsin.flow.shard import ShardDetector
from tocsin.run.batch import LATE, Batch, Track, read_batch
from tocsin.run.ingest import settings_of
from tocsin.run.tick import ShardOwner
from tocsin.run.watch import detect_settings
from tocsin.sinks.stdout import StdoutSink
from tocsin.store.base import Store
from tocsin.store.memory import MemoryStore
from tocsin.types import Position

#: A file has no clock beside it, so no event time is ahead of it or too old for it.
_EVER_MS = 2**53
_RECORDS = 20_000


@dataclass(slots=True)
class Tally:
    """What became of the spans of a replay, and how far it is."""

    records: int = 0
    spans: int = 0
    late: int = 0
    refused: int = 0


def lines_of(path: Path) -> Iterator[bytes]:
    """The non-empty lines of a file, one record each. Raises UserError."""
    try:
        with path.open("rb") as file:
            for line in file:
                if stripped := line.strip():
                    yield stripped
    except OSError as error:
        raise UserError(
            f"Cannot read {path} ({error.strerror}); give a file with one record a line."
        ) from None


async def replay(
    values: Iterable[bytes],
    config: Config,
    rules: tuple[RuleSpec, ...],
    tally: Tally | None = None,
) -> AsyncIterator[AlertEvent]:
    """Yield the events that the records (one span message each) would have raised live."""
    tally = tally if tally is not None else Tally()
    store = MemoryStore(monotone=MONOTONE)
    owners = await _owners(config, rules, store)
    settings = settings_of(config)
    settings = replace(settings, time=_timeless(settings.time))
    track = Track(position=0)
    await _begin(store, settings.shards)
    stream = iter(values)
    while chunk := list(islice(stream, _RECORDS)):
        records = [_record(track.position + i, value) for i, value in enumerate(chunk)]
        batch = read_batch({0: records}, {0: track}, 1, settings, _EVER_MS)
        _count(tally, batch)
        await store.merge(batch.flushes([0]))
        async for event in _tick(owners):
            yield event
    if track.high_ms is not None:
        # Nothing follows: the log is complete, so the last windows close too.
        track.watermark_ms = track.high_ms + settings.time.window_s * 1_000
        last = read_batch({}, {0: track}, 1, settings, _EVER_MS)
        await store.merge(last.flushes([0]))
        async for event in _tick(owners):
            yield event


async def _begin(store: Store, shards: int) -> None:
    for shard in range(shards):
        await store.initialise(shard, {0: Position(0, None, None, 0)})


async def _owners(config: Config, rules: tuple[RuleSpec, ...], store: Store) -> list[ShardOwner]:
    bus = MemoryBus()
    await bus.admin().create([TopicSpec(config.topics.alerts, 1)])
    producer = bus.producer()
    await producer.start()
    return [
        await ShardOwner.claim(
            shard,
            ShardDetector(shard, rules, detect_settings(config)),
            store,
            producer,
            topic=config.topics.alerts,
            window_s=config.window_s,
            retention_s=_EVER_MS,
            metrics=m.Metrics(),
        )
        for shard in range(config.shards)
    ]


async def _tick(owners: list[ShardOwner]) -> AsyncIterator[AlertEvent]:
    """Tick each shard until it has nothing left to close."""
    for owner in owners:
        seen = -1
        while seen != owner.closed:
            seen = owner.closed
            for event in await owner.tick():
                yield event


def _record(offset: int, value: bytes) -> MemoryRecord:
    return MemoryRecord("replay", 0, offset, _EVER_MS, 1, None, value, ())


def _timeless(rules: TimeRules) -> TimeRules:
    return replace(rules, horizon_ms=2 * _EVER_MS, max_future_ms=0)


def _count(tally: Tally, batch: Batch) -> None:
    tally.records += len(batch.records)
    tally.spans += batch.spans.height
    tally.late += int((batch.book["outcome"] == LATE).sum())
    tally.refused += len(batch.rejects)


def replay_file(path: Path, config: Config, *, as_json: bool) -> None:
    """The body of `tocsin replay`: events on stdout, progress and the tally on stderr."""
    size = path.stat().st_size if path.is_file() else 0
    asyncio.run(_show(path, size, config, as_json=as_json))


async def _show(path: Path, size: int, config: Config, *, as_json: bool) -> None:
    tally, events = Tally(), 0
    sink = StdoutSink(as_json=as_json)
    console = Console(stderr=True)
    columns = (TextColumn("replay"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replay", total=size)

        def lines() -> Iterator[bytes]:
            for line in lines_of(path):
                progress.advance(task, len(line) + 1)
                yield line

        async for event in replay(lines(), config, load_rules(config.rules_dir), tally):
            events += 1
            await sink.deliver([event])
    console.print(
        f"{tally.spans} spans of {tally.records} records; {tally.late} late, "
        f"{tally.refused} refused; {events} events"
    )
