"""A replay of the topic says what the live pipeline said, byte for byte; so do stored windows."""

from __future__ import annotations

import json
import time

from kpis import MINUTE_NS, rows
from tocsin.flow.alerts.contract import AlertEvent
from world import World

KPIS, HEALTHY_MIN, BAD_MIN = ("traffic", "errors"), 65, 6
SETTINGS = {
    "TOCSIN_WATCH__WARMUP_WINDOWS": "60",
    "TOCSIN_REBUILD_HORIZON_S": "43200",
    "TOCSIN_REDIS__WINDOW_TTL_S": "86400",
}


async def test_a_replay_of_the_topic_equals_live_byte_for_byte(world: World) -> None:
    world.settings = SETTINGS
    seed, now_ns = 5, time.time_ns() // MINUTE_NS * MINUTE_NS
    print(f"seed {seed}, now {now_ns}")
    world.start("ingest")
    world.start("watch")
    await world.publish(rows(seed, now_ns, HEALTHY_MIN, BAD_MIN, KPIS))

    async def live() -> list[bytes] | None:
        values = [r.value or b"" for r in await world.read(world.config().topics.alerts)]
        told = {AlertEvent.decode(value).service for value in values}
        return values if {"svc-traffic", "svc-errors"} <= told else None

    await world.until(live, 90, "alerts of the spike and the errors")
    replayed = world.run("replay", "--topic", "--json", "--report", str(world.folder / "r.json"))
    assert replayed.returncode == 0, replayed.stderr
    again = {line.encode() for line in replayed.stdout.splitlines()}
    values = [r.value or b"" for r in await world.read(world.config().topics.alerts)]
    missing = [value for value in values if value not in again]
    assert not missing, missing[0]

    report = json.loads((world.folder / "r.json").read_text())
    assert report["late"] == report["refused"] == 0
    assert {row["rule"] for row in report["rules"]} >= {"spike_runs"}
    assert report["spans"] == (await world.account())["aggregated"]

    picture = world.folder / "p.html"
    past = world.run("replay", "--redis", "--json", "--picture", str(picture))
    assert past.returncode == 0, past.stderr
    windows = [json.loads(line) for line in past.stdout.splitlines()]
    assert {(e["rule"], e["service"]) for e in windows} >= {("spike_runs", "svc-traffic")}
    text = picture.read_text()
    assert text.count("<svg") >= len(KPIS)
    assert "spike_runs" in text
