"""Kafka to Redis, one process, next to a bare `getmany` loop on the same log in the same run.

    python tests/bench/bench_ingest.py [--spans 600000] [--json]

Broker, Redis and ingest share the machine, as they would on a small one. The load is written
first, so both readers are limited by themselves and not by the producer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from native import encode, fleet
from servers import kafka_source, redis_source
from tocsin.bus.kafka import KafkaBus
from tocsin.clock import SystemClock
from tocsin.config import Config
from tocsin.metrics import SPANS_AGGREGATED, Metrics
from tocsin.run.backends import open_store
from tocsin.run.ingest import Ingest
from tocsin.run.topics import ensure

_DISTINCT = 50_000  # spans that are generated; the load repeats them


async def _load(config: Config, spans: int) -> None:
    start = (time.time_ns() // 60_000_000_000 - 2) * 60_000_000_000
    distinct = min(_DISTINCT, spans)
    messages = [(r["trace_id"].encode(), encode(r)) for r in fleet(1, start, 60, distinct // 60)]
    producer = KafkaBus(config.kafka).producer()
    await producer.start()
    for i in range(spans):
        key, value = messages[i % len(messages)]
        await producer.send(config.topics.spans, key=key, value=value)
    await producer.flush()
    await producer.stop()


async def _bare(config: Config, spans: int) -> float:
    """Spans a second of a loop that only polls."""
    consumer = KafkaBus(config.kafka).consumer(config.topics.spans, None)
    await consumer.start()
    read, started = 0, time.perf_counter()
    while read < spans:
        read += sum(map(len, (await consumer.poll(20_000, 500)).values()))
    rate = read / (time.perf_counter() - started)
    await consumer.stop()
    return rate


async def _ingest(config: Config, spans: int) -> float:
    """Spans a second of ingest, from its first poll to the last merge."""
    metrics, store, stop = Metrics(), open_store(config), asyncio.Event()
    ingest = Ingest(config, KafkaBus(config.kafka), store, SystemClock(), metrics)
    task = asyncio.create_task(ingest.run(stop))
    while not metrics.read(SPANS_AGGREGATED) and not task.done():
        await asyncio.sleep(0.001)
    first, started = metrics.read(SPANS_AGGREGATED), time.perf_counter()
    while metrics.read(SPANS_AGGREGATED) < spans and not task.done():
        await asyncio.sleep(0.005)
    rate = (metrics.read(SPANS_AGGREGATED) - first) / (time.perf_counter() - started)
    stop.set()
    await task
    await store.close()
    return rate


async def _run(spans: int, rounds: int, bootstrap: str, redis_url: str) -> dict[str, object]:
    topics: dict[str, object] = {"prefix": f"bench{time.time_ns()}", "spans_partitions": 4}
    base = {
        "kafka": {"bootstrap": bootstrap},
        "redis": {"url": redis_url, "prefix": str(topics["prefix"])},
        "topics": topics,
        "rebuild_horizon_s": 86_400,
    }
    config = Config(**base)  # type: ignore[arg-type]
    admin = KafkaBus(config.kafka).admin()
    await ensure(config, admin)
    await admin.close()
    await _load(config, spans)
    rates: dict[str, list[float]] = {"bare": [], "ingest": []}
    for number in range(rounds):
        fresh = Config(
            **base
            | {  # type: ignore[arg-type]
                "redis": {"url": redis_url, "prefix": f"{topics['prefix']}-{number}"},
                "kafka": {"bootstrap": bootstrap, "group_prefix": f"b{number}"},
            }
        )
        readers: list[tuple[str, Callable[[Config, int], Awaitable[float]]]] = [
            ("bare", _bare),
            ("ingest", _ingest),
        ]
        for name, reader in readers:
            rates[name].append(await reader(fresh, spans))
            print(f"round {number + 1}: {name:6} {rates[name][-1]:>10,.0f} spans/s", flush=True)
    ratios = [i / b for i, b in zip(rates["ingest"], rates["bare"], strict=True)]
    return {
        "spans": spans,
        "bare_spans_s": round(median(rates["bare"])),
        "ingest_spans_s": round(median(rates["ingest"])),
        "ratio": round(median(ratios), 3),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    kafka, redis = kafka_source(), redis_source()
    try:
        broker, state = kafka.start(), redis.start()
        print(f"broker: {broker.name}; state: {state.name}", flush=True)
        result = asyncio.run(_run(given.spans, given.rounds, broker.bootstrap, state.url))
    finally:
        kafka.close()
        redis.close()
    print(
        json.dumps(result)
        if given.json
        else f"ingest {result['ingest_spans_s']:,} spans/s, bare getmany "
        f"{result['bare_spans_s']:,} records/s, ratio {result['ratio']}"
    )


if __name__ == "__main__":
    main()
