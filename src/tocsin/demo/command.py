"""The body of `tocsin demo`: servers, a scenario, a player, a view, and a verdict."""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from tocsin import log
from tocsin.bus.kafka import KafkaBus
from tocsin.config import Config, load
from tocsin.demo.incidents import LIVE_MINUTES, MINUTE_MS, scenario
from tocsin.demo.play import Player
from tocsin.demo.profiles import FLEET
from tocsin.demo.scene import Scene
from tocsin.demo.view import PlainView, live_view, others, summary, verdict
from tocsin.embedded import Embedded
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.topics import create_topics
from tocsin.run.up import up

#: Statistical rules are silent for their first 288 windows of a minute.
HISTORY_MINUTES = 300
#: Incidents begin with a minute of the fleet. It is off the clock's, so that none of them begins
#: where a window does.
_OFF_MS = 20_000
#: `--check` ends within 120 s of wall time. At the cap it is stopped, which takes some seconds;
#: its live phase is planned to end well before.
_CAP_S, _PLAN_S = 112.0, 92.0


def run(*, check: bool, seed: int, speed: float, live: bool, as_json: bool, started: float) -> int:
    """Play the scenario; the exit code is 0, or 1 when `check` found something wrong.

    `live` draws a picture where there is a terminal; otherwise, and under `check`, it prints
    lines. `as_json` prints one JSON document to stdout at the end and all else to stderr.
    `started` is the monotonic time at which the user asked. Raises UserError when a server is
    missing.
    """
    log.configure("error")
    console = Console(stderr=as_json)
    scene = plan(seed, speed)
    drawn = live and not check and console.is_terminal
    plain = PlainView(console, scene)
    view = live_view(console, scene) if drawn else plain
    with Embedded() as servers:
        scene.servers = servers.describe()
        console.print(f"running on {scene.servers}", highlight=False, soft_wrap=True)
        config = configure(servers.bootstrap, servers.redis_url)
        with view:
            player = Player(
                config=config,
                bus=KafkaBus(config.kafka),
                pipeline=up,
                rules={rule.id: rule for rule in load_rules()},
                scene=scene,
                redraw=(lambda: None) if drawn else plain.update,
                started=started,
                wall_plan_s=_PLAN_S if check else None,
            )
            in_time = asyncio.run(_within(player, _CAP_S if check else None))
    return _report(console, scene, check=check, in_time=in_time, as_json=as_json)


def plan(seed: int, speed: float) -> Scene:
    """The scenario: history from 07:00 UTC of yesterday, incidents after noon.

    The hour is fixed so that the daily shape, and with it every draw, is the same every day.
    """
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    live_ms = int((midnight - timedelta(hours=12)).timestamp()) * 1_000 + _OFF_MS
    services = [profile.service for profile in FLEET]
    return Scene(
        seed=seed,
        speed=speed,
        from_ms=live_ms - HISTORY_MINUTES * MINUTE_MS,
        live_ms=live_ms,
        to_ms=live_ms + LIVE_MINUTES * MINUTE_MS,
        incidents=scenario(seed, services, live_ms),
        now_ms=live_ms - HISTORY_MINUTES * MINUTE_MS,
    )


def configure(bootstrap: str, redis_url: str) -> Config:
    """Tocsin as shipped, but for what accelerated event time asks for."""
    return load(
        kafka={"bootstrap": bootstrap, "session_timeout_s": 6},
        redis={"url": redis_url},
        topics={"spans_partitions": 4},
        shards=2,
        # The clock leaps with the publisher, so a partition that is idle for a moment must not
        # be taken for complete.
        idle_timeout_s=3_600,
        rebuild_horizon_s=86_400,
        ingest={"flush_interval_s": 0.25},
        # Event time runs ninety times as fast as the clock: minutes of lag are a second.
        watch={"tick_s": 0.5, "stalled_after_s": 7_200},
    )


async def _within(player: Player, cap_s: float | None) -> bool:
    """Play; False when the cap was reached first."""
    await create_topics(player.config)
    left_s = None if cap_s is None else cap_s - (time.monotonic() - player.started)
    try:
        async with asyncio.timeout(left_s):
            await player.play()
    except TimeoutError:
        return False
    return True


def _report(console: Console, scene: Scene, *, check: bool, in_time: bool, as_json: bool) -> int:
    """What came of it, and the exit code."""
    result = scene.score()
    lines = verdict(scene, result)
    console.print()
    if not check:
        console.print(summary(scene))
        lines = [*others(scene, result), lines[-1]]
    if not in_time:
        lines.append(
            f"FAILED: not over within {_CAP_S:.0f} s, stopped in phase {scene.phase} with "
            f"{scene.published:,} spans published and {scene.aggregated:,} aggregated"
        )
    passed = in_time and result.passed
    rate = scene.published / max(scene.wall_s, 1e-3)
    lines.append(
        f"{scene.published:,} spans in {scene.wall_s:.0f} s ({rate:,.0f}/s), {scene.late} late; "
        f"seed {scene.seed}" + (f"; {'passed' if passed else 'FAILED'}" if check else "")
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        json.dump(_document(scene, passed=passed), sys.stdout, indent=1)
        sys.stdout.write("\n")
    return 0 if passed or not check else 1


def _document(scene: Scene, *, passed: bool) -> dict[str, Any]:
    """The report for machines; times in epoch ms, delays in seconds."""
    result = scene.score()
    incidents = []
    for outcome in result.outcomes:
        caught = outcome.caught
        event_s, wall_s = scene.delay_s(outcome.incident, caught) if caught else (None, None)
        incidents.append({
            **asdict(outcome.incident),
            "caught_by": asdict(caught) if caught else None,
            "missed": outcome.missed,
            "delay_event_s": event_s,
            "delay_wall_s": wall_s,
            "also": [asdict(alarm) for alarm in outcome.alarms if alarm is not caught],
        })  # fmt: skip
    return {
        "passed": passed,
        "seed": scene.seed,
        "servers": scene.servers,
        "spans": scene.published,
        "late": scene.late,
        "wall_s": round(scene.wall_s, 1),
        "incidents": incidents,
        "false": [asdict(alarm) for alarm in result.false],
    }
