"""However a stage is asked to end, it ends soon, in order, and says how by its exit code."""

from __future__ import annotations

import signal
import time

import pytest

from world import World

_DRAINED_S = 10.0


@pytest.mark.parametrize(
    ("asked", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
async def test_up_drains_and_ends(world: World, asked: signal.Signals, code: int) -> None:
    process = world.start("up")
    log = world.folder / "0-up.log"

    async def owns_all() -> bool:
        return log.read_text().count('"event": "owns"') == world.config().shards

    await world.until(owns_all, 60, "watch owns every shard")
    began = time.monotonic()
    process.send_signal(asked)
    assert process.wait(30) == code, log.read_text()
    assert time.monotonic() - began < _DRAINED_S
    assert "Traceback" not in log.read_text()
    assert "Exception" not in log.read_text()
