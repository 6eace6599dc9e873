"""What commands share: the settings and log in force, and how asynchronous work is run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tocsin.bus.base import Bus
    from tocsin.config import Config

_T = TypeVar("_T")


def load_config(ctx: click.Context, **overrides: Any) -> Config:
    """The settings in force, after the log was set up by them. Raises UserError."""
    from tocsin import log
    from tocsin.config import load

    config = load(ctx.find_root().obj, **overrides)
    log.configure(config.log.level, config.log.format)
    return config


def load_stage_config(ctx: click.Context, **overrides: Any) -> Config:
    """As `load_config`, and a warning where the fingerprint key is the development one."""
    from tocsin import log

    config = load_config(ctx, **overrides)
    if config.has_dev_key:
        log.get_logger("config").warning("development_fingerprint_key", set="fingerprint_key")
    return config


def run_until_signal(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run `work` to its end; SIGTERM and the first Ctrl-C set `stop`, so that it drains.

    A second Ctrl-C does not wait. Raises KeyboardInterrupt after a Ctrl-C.
    """
    interrupted = False

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            loop.remove_signal_handler(signal.SIGINT)
            stop.set()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        await work

    asyncio.run(run())
    if interrupted:
        raise KeyboardInterrupt


async def with_bus_errors(bus: Bus, work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work`; an error of the broker's client is raised as what `bus.explain` makes of it."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
    except BaseExceptionGroup as failures:
        raise bus.explain(failures.exceptions[0]) from None
    return task.result()
