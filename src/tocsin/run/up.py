"""up: run one or more stages in this process, and stop all when one fails or `stop` is set."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from tocsin import log
from tocsin import metrics as m
from tocsin.bus.faust import FlushNotices
from tocsin.clock import Clock, SystemClock
from tocsin.config import Config
from tocsin.flow.detect.load_rules import load_rules
from tocsin.notify.bridge import Bridge
from tocsin.notify.sinks.base import Sink
from tocsin.run.backends import open_bus, open_store
from tocsin.run.change_feed import ChangeFeed
from tocsin.run.ingest import Ingest
from tocsin.run.topics import require
from tocsin.run.watch import Watch

Stage = Literal["ingest", "watch", "bridge"]
STAGES: tuple[Stage, ...] = ("ingest", "watch", "bridge")


async def up(
    config: Config,
    clock: Clock | None = None,
    metrics: m.Metrics | None = None,
    stop: asyncio.Event | None = None,
    *,
    stages: Sequence[Stage] = STAGES,
    sinks: Sequence[Sink] = (),
) -> None:
    """Run stages until `stop` is set; the first that fails stops the others and is raised.

    Raises BrokerUnavailable, TopicMissing, StoreUnavailable, RuleError and UserError for
    what the user can mend.
    """
    clock = clock or SystemClock()
    metrics = metrics or m.Metrics()
    stop = stop or asyncio.Event()
    rules = load_rules(config.rules_dir)
    bus, store = open_bus(config), open_store(config)
    try:
        await store.ping()
        admin = bus.admin()
        try:
            await require(config, admin)
        finally:
            await admin.close()
        log.get_logger("up").info("starting", stages=list(stages), store=await store.describe())
        async with asyncio.TaskGroup() as group:
            if "ingest" in stages:
                group.create_task(Ingest(config, bus, store, clock, metrics).run(stop))
            if "watch" in stages:
                changes = ChangeFeed(config, bus, clock, metrics)
                watch = Watch(config, bus, store, clock, metrics, rules, changes)
                group.create_task(changes.run(stop))
                group.create_task(watch.run(stop))
                group.create_task(FlushNotices(config, watch).run(stop))
            if "bridge" in stages:
                group.create_task(Bridge(config, bus, sinks, metrics).run(stop))
    except BaseExceptionGroup as failures:
        raise bus.explain(_first(failures)) from None
    finally:
        await store.close()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of the failures; the others are its consequences."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
