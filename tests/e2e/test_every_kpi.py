"""One alert of every KPI over the real thing, each of the service that it went wrong with."""

from __future__ import annotations

import time

from kpis import FAULTS, MINUTE_NS, rows
from tocsin.flow.alerts.contract import AlertEvent
from world import World

HEALTHY_MIN, BAD_MIN = 330, 75
SETTINGS = {
    "TOCSIN_WATCH__WARMUP_WINDOWS": "120",
    "TOCSIN_REBUILD_HORIZON_S": "43200",
    "TOCSIN_REDIS__WINDOW_TTL_S": "86400",
    "TOCSIN_SHARDS": "4",
}


async def test_every_kpi_rings_for_the_service_it_went_wrong_with(world: World) -> None:
    world.settings = SETTINGS
    world.start("ingest")
    world.start("watch")
    seed, now_ns = 11, time.time_ns()
    onset_ms = (now_ns // MINUTE_NS - BAD_MIN) * 60_000
    print(f"seed {seed}, now {now_ns}")
    await world.publish(rows(seed, now_ns, HEALTHY_MIN, BAD_MIN))

    async def told() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {kpi: set() for kpi in FAULTS}
        for record in await world.read(world.config().topics.alerts):
            event = AlertEvent.decode(record.value or b"")
            if event.status in {"firing", "suppressed"}:
                assert event.onset >= onset_ms - 120_000, event.summary
                found[event.service.removeprefix("svc-")].add(event.kpi)
        return found

    async def all_told() -> bool:
        missing[:] = [kpi for kpi, found in (await told()).items() if kpi not in found]
        return not missing

    missing: list[str] = []
    try:
        await world.until(all_told, 240, "an alert of every KPI")
    finally:
        print(f"without an alert of their own: {missing}")
