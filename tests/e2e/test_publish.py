"""What a service says with `tocsin_client` is counted; a dead broker costs the service nothing.

The service is a process of its own. TOCSIN_TEST_CLIENT_PYTHON names an interpreter that has the
client's wheel and some release of aiokafka; without it, it is this one with the client's source.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from servers import Kafka
from tocsin.flow.decode import Limits
from tocsin.flow.decode.changes import decode_changes
from world import World

SERVICE = Path(__file__).with_name("client_service.py")
SOURCE = Path(__file__).parents[2] / "clients" / "python" / "src"


def begin(world: World, what: str) -> subprocess.Popen[str]:
    python = os.environ.get("TOCSIN_TEST_CLIENT_PYTHON")
    path = {} if python else {"PYTHONPATH": str(SOURCE)}
    env = {name: value for name, value in world.env().items() if name != "PYTHONPATH"} | path
    return subprocess.Popen(
        [python or sys.executable, str(SERVICE), what],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


async def test_a_run_published_by_hand_is_on_the_books(world: World) -> None:
    output, _ = begin(world, "runs").communicate(timeout=60)
    said = json.loads(output)
    print(f"the service had aiokafka {said['aiokafka']}")
    assert said["counts"] == {"published": 61, "dropped": 0, "invalid": 0}
    assert not said["tocsin"]
    world.start("ingest")

    async def counted() -> bool:
        return (await world.account())["aggregated"] == 60

    await world.until(counted, 60, "60 spans on the books")
    config = world.config()
    assert len(await world.read(config.topics.spans)) == 60
    read = decode_changes(await world.read(config.topics.changes), Limits())
    assert [(c.kind, c.service, c.value) for c in read.changes] == [("deploy", "shop", "1.4.2")]


async def test_a_broker_that_dies_holds_nobody_up(world: World, kafka: Kafka) -> None:
    service = begin(world, "outage")
    assert service.stdout is not None
    assert json.loads(service.stdout.readline()) == {"published": 1}
    kafka.kill()
    output, _ = service.communicate("it is dead\n", timeout=60)
    said = json.loads(output)
    assert said["took_s"] < 1
    assert said["closed_s"] < 3
    assert said["counts"] == {"published": 1, "dropped": 200, "invalid": 0}
