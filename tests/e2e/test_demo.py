"""The demo's own machinery: what the publisher sends, and a short scenario played to its end."""

from __future__ import annotations

import time

from tocsin.bus.kafka import KafkaBus
from tocsin.demo.fleet import Fleet
from tocsin.demo.incidents import MINUTE_MS, Incident
from tocsin.demo.play import Player
from tocsin.demo.publisher import PublisherProcess, Task
from tocsin.demo.scene import Scene
from tocsin.run.up import up
from world import World

FROM_MS = (int(time.time()) // 3_600 - 6) * 3_600_000
LOOP = Incident("loop", "translate", FROM_MS + 3 * MINUTE_MS, FROM_MS + 6 * MINUTE_MS, 8.0)


async def test_the_publisher_sends_the_fleet_once_and_in_order_whatever_the_steps(
    world: World,
) -> None:
    topics = world.config().topics
    task = Task(world.bootstrap, topics.spans, topics.spans_partitions, 7, FROM_MS, (LOOP,))
    publisher = await PublisherProcess.start(task)
    steps = (1_000, 61_000, 5 * MINUTE_MS)
    sent = [await publisher.publish(FROM_MS + step) for step in steps]
    assert await publisher.publish(FROM_MS + steps[-1]) == 0, "nothing is sent twice"
    await publisher.stop()

    fleet = Fleet(7, (LOOP,), origin_ms=FROM_MS).spans(FROM_MS, FROM_MS + steps[-1])
    assert sum(sent) == len(fleet.values)
    place = {value: index for index, value in enumerate(fleet.values)}
    records = await world.read(topics.spans)
    assert sorted(place[record.value or b""] for record in records) == list(range(len(place)))
    last = dict.fromkeys(range(topics.spans_partitions), -1)
    homes: dict[bytes | None, int] = {}
    for record in records:
        assert place[record.value or b""] > last[record.partition]
        last[record.partition] = place[record.value or b""]
        assert homes.setdefault(record.key, record.partition) == record.partition


async def test_a_scenario_ends_with_every_span_counted_and_its_loop_told(world: World) -> None:
    config = world.config().model_copy(
        update={"idle_timeout_s": 3_600.0, "rebuild_horizon_s": 86_400}
    )
    live_ms = FROM_MS + 2 * MINUTE_MS
    scene = Scene(7, 60.0, FROM_MS, live_ms, FROM_MS + 7 * MINUTE_MS, (LOOP,), now_ms=FROM_MS)
    phases: list[str] = []
    player = Player(
        config=config, bus=KafkaBus(config.kafka), pipeline=up, rules={}, scene=scene,
        redraw=lambda: phases.append(scene.phase), started=time.monotonic(),
    )  # fmt: skip
    await player.play()

    assert list(dict.fromkeys(phases))[-4:] == ["back-fill", "live", "settling", "done"]
    spans = Fleet(7, (LOOP,), origin_ms=FROM_MS).spans(FROM_MS, scene.to_ms)
    assert scene.published == len(spans.values) == scene.aggregated
    assert (scene.late, scene.lag) == (0, 0)
    assert [(a.rule, a.service) for a in scene.alarms] == [("runaway_loop", "translate")]
    assert LOOP.from_ms < scene.alarms[0].at_ms < LOOP.from_ms + MINUTE_MS
