"""`tocsin topics`: create the topics that are missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tocsin.cli.running import load_stage_config

if TYPE_CHECKING:
    from tocsin.config import Config
    from tocsin.run.topics import TopicState


@click.command()
@click.pass_context
def topics(ctx: click.Context) -> None:
    """Create the topics that are missing and say how they stand. Changes none that exists."""
    config = load_stage_config(ctx)
    for state in asyncio.run(create_topics(config)):
        note = "created" if state.created else "there"
        differs = f"; configured for {state.wanted}" if state.differs else ""
        click.echo(f"{state.name:<32} {state.partitions:>4} partitions  {note}{differs}")


async def create_topics(config: Config) -> list[TopicState]:
    """Create what is missing on the broker of `config`. Raises BrokerUnavailable."""
    from tocsin.run.backends import open_bus
    from tocsin.run.topics import ensure

    admin = open_bus(config).admin()
    try:
        return await ensure(config, admin)
    finally:
        await admin.close()
