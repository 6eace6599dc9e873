"""Whatever dies at whatever instant: the oracle's counts, and every alert said once."""

from __future__ import annotations

import asyncio
import random
import time

from aiokafka.admin import AIOKafkaAdminClient

from native import fleet
from oracle import count
from world import World

SEED = 20_261
SPANS_S, SECONDS = 3_000, 20


def recent(seed: int, seconds: int, rate: int) -> list[dict]:
    """A load whose event times are the last minutes, ending now; not on the broker's future."""
    start = (time.time_ns() // 60_000_000_000 - 6) * 60_000_000_000
    rows = list(fleet(seed, start, 300, seconds * rate // 300))
    looping = [r for r in rows if r["kind"] == "tool"][:40]
    for row in looping:  # one run that repeats itself, so that there is an alert to say once
        row |= {"trace_id": "loop", "tool": "search", "service": "svc1", "agent": "agent1",
                "args_hash": "a" * 16, "result_hash": "b" * 16, "error": False,
                "error_class": None}  # fmt: skip
    return rows


def windows_of(rows: list[dict]) -> set[int]:
    return {row["end_ns"] // 60_000_000_000 * 60 for row in rows}


def said_once(records: list) -> int:
    """No event id with two contents; gives how many ids there are."""
    contents: dict[str, set[bytes]] = {}
    for record in records:
        contents.setdefault(dict(record.headers)["ce_id"].decode(), set()).add(record.value)
    assert all(len(values) == 1 for values in contents.values())
    return len(contents)


async def settle(world: World, expected: int) -> None:
    async def counted() -> bool:
        return (await world.account()).total() >= expected

    await world.until(counted, 90, f"{expected} spans on the books")


async def resumed(world: World, number: int) -> None:
    """Wait until an ingest worker has been given partitions."""

    async def said() -> bool:
        return "resumed" in (world.folder / f"{number}-ingest.log").read_text()

    await world.until(said, 60, f"worker {number} to begin")


async def check(world: World, rows: list[dict]) -> None:
    """The law of conservation, the oracle, and the alerts."""
    await settle(world, len(rows))
    assert await world.account() == {"aggregated": len(rows)}
    await world.check_conservation()
    assert await world.windows(windows_of(rows)) == count(rows)

    async def alerts() -> list:
        return await world.read(world.config().topics.alerts)

    await world.until(alerts, 30, "an alert")
    assert said_once(await alerts()) > 0


async def test_kill_9_of_ingest_and_watch_at_random_instants_changes_no_count(
    world: World,
) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    rows = recent(SEED, SECONDS, SPANS_S)
    stages = ["ingest", "ingest", "watch", "watch"]
    running = [world.start(stage) for stage in stages]
    load = asyncio.create_task(world.publish(rows, SPANS_S))
    kills = 0
    while not load.done():
        await asyncio.sleep(rng.uniform(0.3, 2.0))
        victim = rng.randrange(len(stages))
        running[victim].kill()
        running[victim].wait()
        running[victim] = world.start(stages[victim])
        kills += 1
    await load
    print(f"{kills} kills while {len(rows)} spans arrived")
    assert kills >= 8
    await check(world, rows)


async def test_workers_joining_and_leaving_change_no_count(world: World) -> None:
    print(f"seed {SEED}")
    rows = recent(SEED + 1, 15, SPANS_S)
    third = len(rows) // 3
    first = [world.start("ingest"), world.start("ingest"), world.start("watch")]
    load = asyncio.create_task(world.publish(rows[:third], SPANS_S))
    await settle(world, 1)
    world.start("ingest")
    world.start("watch")
    await resumed(world, 3)  # they have handed partitions over, whenever that was
    await load
    await settle(world, third)
    load = asyncio.create_task(world.publish(rows[third:], SPANS_S))
    await settle(world, third + 1)
    for process in first[:2]:
        process.terminate()
    assert not load.done(), "they left while spans arrived"
    await load
    await check(world, rows)


async def test_a_spans_topic_made_anew_is_read_from_its_beginning(world: World) -> None:
    rows = recent(SEED + 2, 2, 500)
    half = len(rows) // 2
    first = world.start("ingest")
    await world.publish(rows[half:])
    await settle(world, len(rows) - half)
    first.terminate()
    first.wait()
    await world.forget_spans()
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    await admin.delete_topics([world.config().topics.spans])
    await admin.close()

    async def made_anew() -> bool:
        return world.run("topics").returncode == 0

    await world.until(made_anew, 30, "the topic to be made anew")
    world.start("ingest")
    await resumed(world, 1)
    await world.publish(rows[:half])
    await settle(world, len(rows))
    assert await world.account() == {"aggregated": len(rows)}
