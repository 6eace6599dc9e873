"""`tocsin topics`: create the topics that are missing."""

import asyncio

import click

from tocsin.cli.running import load_stage_config


@click.command()
@click.pass_context
def topics(ctx: click.Context) -> None:
    """Create the topics that are missing and say how they stand. Changes none that exists."""
    from tocsin.run.topics import create_topics

    for state in asyncio.run(create_topics(load_stage_config(ctx))):
        note = "created" if state.created else "there"
        differs = f"; configured for {state.wanted}" if state.differs else ""
        click.echo(f"{state.name:<32} {state.partitions:>4} partitions  {note}{differs}")
