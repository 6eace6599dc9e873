"""A real agent on a real framework loops, and the alert is on the topic while it still runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tocsin.flow.alerts.contract import AlertEvent
from world import World

SERVICE = Path(__file__).parents[2] / "deploy" / "examples" / "agent_service" / "service.py"
HEALTHY, STUCK, LOOKUP_S = 4, 120, 0.5  # the loop goes on until the alert is seen


def serve(world: World, *options: str) -> subprocess.Popen[str]:
    """The example, as its README starts it."""
    return subprocess.Popen(
        [sys.executable, str(SERVICE), "--bootstrap", world.bootstrap,
         "--topic", world.config().topics.spans, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


async def test_a_looping_agent_is_told_of_while_its_run_is_open(world: World) -> None:
    """Twice: the second loop begins once the first is told, so that a tick of 10 s is too late.

    The first alert may come just before such a tick. The second has then most of 10 s to wait.
    """
    world.start("up")

    async def resumed() -> bool:
        return "resumed" in (world.folder / "0-up.log").read_text()

    await world.until(resumed, 60, "the pipeline to begin")  # its start-up is no delay of alerts
    for service, healthy in (("support-desk", HEALTHY), ("back-office", 0)):
        event, told_ms = await looping(world, service, healthy)
        assert (event.rule, event.status, event.series) == ("runaway_loop", "firing", "run")
        assert (event.env, event.service) == ("prod", service)
        assert event.dims["agent"] == "support"
        assert event.dims["tool"] == "lookup_order"
        assert event.observed is not None
        assert event.observed >= 3
        assert len(event.traces) == 1
        delay_s = (told_ms - event.at) / 1_000
        print(f"third call to alert on the topic: {delay_s:.2f} s")
        # On two idle cores it is half a second. A window's close would take a minute.
        assert delay_s < 3


async def looping(world: World, service: str, healthy: int) -> tuple[AlertEvent, int]:
    """Serve one stuck run until its alert is on the topic; the event, and when it was written."""
    agent = serve(
        world, "--service", service, "--questions", str(healthy), "--every", "0.1",
        "--stuck", str(STUCK), "--delay", str(LOOKUP_S),
    )  # fmt: skip

    async def alerts() -> list[tuple[AlertEvent, int]]:
        assert agent.poll() in (None, 0), agent.communicate()[1]
        records = await world.read(world.config().topics.alerts)
        events = [(AlertEvent.decode(record.value or b""), record.timestamp) for record in records]
        return [pair for pair in events if pair[0].service == service]

    try:
        found: list[tuple[AlertEvent, int]] = await world.until(alerts, 60, "the loop alert")
        assert agent.poll() is None, "the run was over before anybody knew of it"
    finally:
        agent.kill()
        agent.communicate()
    return found[0]


async def test_an_agent_that_behaves_raises_nothing(world: World) -> None:
    world.start("up")
    agent = serve(world, "--questions", "12", "--every", "0.05", "--delay", "0.05")
    said, complaints = agent.communicate(timeout=60)
    assert agent.returncode == 0, complaints
    assert said.count("left the warehouse") == 12

    async def counted() -> bool:
        # A run is an agent's span, two model calls and a tool call.
        return (await world.account())["aggregated"] >= 12 * 4

    await world.until(counted, 60, "all spans on the books")
    assert (await world.account()).total() == 12 * 4, "no span was refused, late or doubled"
    assert await world.read(world.config().topics.alerts) == []


def test_without_a_broker_the_example_says_so_in_one_line() -> None:
    agent = subprocess.run(
        [sys.executable, str(SERVICE), "--bootstrap", "127.0.0.1:1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert agent.returncode == 2
    assert "no broker at 127.0.0.1:1" in agent.stderr
    assert "Traceback" not in agent.stderr
