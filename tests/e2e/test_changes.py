"""A deploy told on the changes topic stands in the alert of the spike that followed it."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

from spans import span
from tocsin.bus.kafka import KafkaBus
from tocsin.flow.alerts.contract import AlertEvent
from world import World

NANO, MINUTE_NS = 1_000_000_000, 60_000_000_000
QUIET = 45  # minutes of five runs, then one of a hundred


def runs(first_ns: int, count: int, over_ns: int = MINUTE_NS) -> list[dict[str, Any]]:
    ends = [first_ns + i * over_ns // count for i in range(count)]
    return [
        span(trace_id=f"{end:x}", span_id=f"{end:x}", parent_id=None, kind="agent", service="shop",
             env="prod", agent="planner", start_ns=end - 1_000_000, end_ns=end)
        for end in ends
    ]  # fmt: skip


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


async def test_an_alert_names_the_deploy_and_the_flag_before_it(world: World) -> None:
    world.settings = {"TOCSIN_WATCH__WARMUP_WINDOWS": "30"}
    config = world.config()
    # The spike is in this very minute, after the telling: an alert tells what was told before.
    while time.time_ns() % MINUTE_NS > 35 * NANO:
        await asyncio.sleep(0.5)
    spike = time.time_ns() // MINUTE_NS * MINUTE_NS
    first = spike - QUIET * MINUTE_NS
    deployed = world.run("change", "deploy", "--service", "shop", "--env", "prod",
                         "--version", "1.4.2", "--at", iso(spike - MINUTE_NS))  # fmt: skip
    assert deployed.returncode == 0, deployed.stderr
    assert deployed.stdout.startswith("deploy 1.4.2 of shop in prod: ")
    other = world.run("change", "deploy", "--service", "crm", "--env", "prod", "--version", "9")
    assert other.returncode == 0
    flag = {
        "context": {"type": "dev.cdeventsx.flagd-featureflag.modified.0.1.0",
                    "timestamp": iso(spike - 5 * MINUTE_NS), "source": "/flags"},
        "subject": {"id": "new-planner", "content": {"environment": {"id": "prod"},
                                                     "variant": "on"}},
    }  # fmt: skip
    producer = KafkaBus(config.kafka).producer()
    await producer.start()
    headers = [("ce_type", b"dev.cdeventsx.flagd-featureflag.modified.0.1.0"), ("ce_id", b"1")]
    await (await producer.send(
        config.topics.changes, value=json.dumps(flag).encode(), headers=headers
    ))  # fmt: skip
    await (await producer.send(config.topics.changes, value=b"not json"))
    await producer.stop()
    world.start("ingest")
    world.start("watch")
    quiet = [row for i in range(QUIET) for row in runs(first + i * MINUTE_NS, 5)]
    told_ns = time.time_ns()
    await asyncio.sleep(3)
    await world.publish([*quiet, *runs(told_ns + 3 * NANO // 2, 100, NANO)])

    async def spiked() -> list[AlertEvent]:
        records = await world.read(config.topics.alerts)
        events = [AlertEvent.decode(record.value or b"") for record in records]
        return [event for event in events if event.rule == "spike_runs"]

    alert, *_ = await world.until(spiked, 90, "a spike")
    assert (alert.env, alert.service) == ("prod", "shop")
    told = [(change.kind, change.name, change.version) for change in alert.changes]
    assert told == [("deploy", "shop", "1.4.2"), ("flag", "new-planner", "on")]
    assert [change.at for change in alert.changes] == [
        (spike - MINUTE_NS) // 1_000_000, (spike - 5 * MINUTE_NS) // 1_000_000,
    ]  # fmt: skip

    async def put_away() -> list[Any]:
        return await world.read(config.topics.dlq)

    (dlq_record,) = await world.until(put_away, 30, "a dead letter")
    said = dict(dlq_record.headers)
    assert said["dlq.reason"] == b"bad_json"
    assert said["dlq.original.topic"].decode() == config.topics.changes


def test_a_change_that_is_none_is_one_sentence(world: World) -> None:
    wrong = world.run("change", "deploy", "--service", "shop", "--at", "yesterday")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("tocsin: --at 'yesterday' is no time;")
    assert wrong.stderr.count("\n") == 1
