"""Refused records are looked at, and sent again once what refused them is mended."""

from __future__ import annotations

import json
import time

import msgspec

from native import encode, fleet
from tocsin.bus.kafka import KafkaBus
from world import World


async def test_refused_records_are_listed_and_count_after_they_are_sent_again(
    world: World,
) -> None:
    kept = {"TOCSIN_DLQ__KEEP_ORIGINAL": "true"}
    world.settings = kept | {"TOCSIN_LIMITS__MAX_SPANS": "3"}  # the mistake: too tight a cap
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000
    rows = list(fleet(5, now - 120_000_000_000, 60, 2))
    spans = [msgspec.json.decode(encode(row)) for row in rows]
    bundles = [msgspec.json.encode(spans[i : i + 10]) for i in range(0, 100, 10)]
    good = [msgspec.json.encode(span) for span in spans[100:]]
    producer = KafkaBus(world.config().kafka).producer()
    await producer.start()
    for value in [*bundles, *good, b"hello"]:
        await producer.send(
            world.config().topics.spans, value=value, key=b"k", headers=[("traceparent", b"00-0a")]
        )
    await producer.stop()
    ingest = world.start("ingest")

    async def refused() -> bool:
        books = await world.account()
        return books["aggregated"] == len(good) and books["dead_lettered"] == len(bundles) + 1

    await world.until(refused, 60, "the bundles refused")
    listed = world.run("dlq", "show", "--json")
    assert listed.returncode == 0, listed.stderr
    dlq_records = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(dlq_records) == len(bundles) + 1
    assert {x["reason"] for x in dlq_records} == {"too_many_spans", "unknown_format"}
    assert "too_many_spans 10, unknown_format 1" in listed.stderr
    assert all("payload" not in x and "key" not in x for x in dlq_records)

    ingest.terminate()
    assert ingest.wait(20) == 0
    world.settings = kept
    world.start("ingest")
    chosen = ("dlq", "replay", "--reason", "too_many_spans", "--since", "1h")
    dry = world.run(*chosen)
    assert dry.returncode == 0, dry.stderr
    assert "10 records" in dry.stdout
    assert "dry run" in dry.stdout
    assert (await world.account())["aggregated"] == len(good)
    sent = world.run(*chosen, "--yes")
    assert sent.returncode == 0, sent.stderr
    assert "10 records" in sent.stdout

    async def counted() -> bool:
        return (await world.account())["aggregated"] >= len(rows)

    await world.until(counted, 60, "the bundles counted")
    assert (await world.account())["aggregated"] == len(rows)
    again = [r for r in await world.read(world.config().topics.spans) if len(r.headers) > 1]
    assert len(again) == len(bundles)
    assert {r.headers[0] for r in again} == {("traceparent", b"00-0a")}, "headers come back, too"
    first = min(dlq_records, key=lambda x: x["original"]["offset"])["original"]
    at = ("--partition", str(first["partition"]), "--offset", str(first["offset"]))
    one = world.run("dlq", "show", "--payload", "--json", *at)
    [dlq_record] = [json.loads(line) for line in one.stdout.splitlines()]
    assert dlq_record["key"] == "k"
    assert dlq_record["payload"].encode() == bundles[0]


async def test_by_default_letters_are_redacted_counted_and_not_sent_again(world: World) -> None:
    producer = KafkaBus(world.config().kafka).producer()
    await producer.start()
    for value in (b"hello", b"{"):
        await producer.send(world.config().topics.spans, value=value, key=b"jane@example.com")
    await producer.stop()
    world.start("ingest")

    async def refused() -> bool:
        return (await world.account())["dead_lettered"] == 2

    await world.until(refused, 60, "both refused")
    shown = world.run("dlq", "show", "--json", "--payload")
    assert shown.returncode == 0, shown.stderr
    assert "2 redacted" in shown.stderr
    dlq_records = [json.loads(line) for line in shown.stdout.splitlines()]
    assert all(x["redacted"] and x["key"].startswith("hmac:") for x in dlq_records)
    assert {json.loads(x["payload"])["format"] for x in dlq_records} == {"text", "json"}
    for options in ((), ("--yes",)):
        sent = world.run("dlq", "replay", *options)
        assert sent.returncode == 1
        assert "0 records (0 bytes)" in sent.stdout
        assert "2 records left out, redacted" in sent.stdout
        assert "dlq.keep_original" in sent.stdout
    assert len(await world.read(world.config().topics.spans)) == 2


def test_a_broker_that_is_not_there_is_one_sentence(world: World) -> None:
    world.settings = {
        "TOCSIN_KAFKA__BOOTSTRAP": "localhost:1",
        "TOCSIN_KAFKA__CONNECT_TIMEOUT_S": "0.5",
    }
    for command in ("show", "replay"):
        result = world.run("dlq", command)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert "localhost:1" in result.stderr
