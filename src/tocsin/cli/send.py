"""`tocsin send`: example spans onto the topic, to see that they arrive and that an alert comes."""

import asyncio
from typing import Any
from uuid import uuid4

import click

from tocsin.cli.running import with_bus_errors


@click.command()
@click.argument("example", type=click.Choice(["loop"]))
@click.option("--bootstrap", metavar="HOST:PORT", help="The broker. Default: kafka.bootstrap.")
@click.option("--topic", help="Default: the spans topic.")
@click.pass_context
def send(ctx: click.Context, *, example: str, bootstrap: str | None, topic: str | None) -> None:
    """Send the spans of an EXAMPLE run, as a service would.

    loop: an agent calls one tool five times with the same arguments and the same result. Where
    Tocsin runs, runaway_loop rings within seconds, for service "example", environment "dev".

    \b
    Examples:
      tocsin send loop
      tocsin send loop --bootstrap 127.0.0.1:9092
    """
    from tocsin import log
    from tocsin.clock import SystemClock
    from tocsin.config import load
    from tocsin.run import example as examples
    from tocsin.run.backends import open_bus

    flags: dict[str, Any] = {"kafka": {"bootstrap": bootstrap}} if bootstrap else {}
    config = load(ctx.obj, **flags)
    log.configure("error")
    topic = topic or config.topics.spans
    spans = examples.loop(uuid4().hex, SystemClock().now_ms())
    bus = open_bus(config)
    asyncio.run(with_bus_errors(bus, examples.send(bus, topic, spans)))
    click.echo(
        f"{len(spans)} spans of one {example} sent to {topic} at {config.kafka.bootstrap}; "
        "runaway_loop for dev/example should ring within seconds where Tocsin runs"
    )
