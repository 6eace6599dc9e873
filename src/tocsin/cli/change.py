"""`tocsin change`: publish a deploy, a flag or another change to the changes topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.running import with_bus_errors
from tocsin.cli.text import moment
from tocsin.errors import UserError

if TYPE_CHECKING:
    from tocsin.flow.decode.changes import ChangeV1

#: types.ChangeKind, held to it by a test: `--help` must not load polars for it.
KINDS = ("deploy", "rollback", "flag", "prompt", "config", "routing")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--service", default="*", show_default=True, help="* is every service.")
@click.option("--env", default="default", show_default=True, help="* is every environment.")
@click.option("--name", help="The flag, prompt, setting or route. Default: the service.")
@click.option("--version", help="What it is from now on.")
@click.option("--variant", help="The same, as flags call it.")
@click.option("--at", metavar="TIME", help="When it took effect: ISO 8601, or an age: 5m.")
@click.option("--source", default="tocsin change", show_default=True, help="Who says so.")
@click.pass_context
def change(ctx: click.Context, /, *, kind: str, at: str | None, **fields: Any) -> None:
    """Tell of a change to a running service, so that alerts near it name it.

    Call it where a deploy takes effect: at the end of its pipeline step.

    \b
    Examples:
      tocsin change deploy --service shop --env prod --version 1.4.2
      tocsin change flag --env prod --name new-planner --variant on
      tocsin change prompt --service shop --env prod --name refund --version 7 --at 10m
    """
    from tocsin.config import load
    from tocsin.run.backends import open_bus
    from tocsin.run.change_feed import publish_change

    config = load(ctx.obj)
    change = _change(kind, at, fields)
    bus = open_bus(config)

    async def send() -> None:
        topic, partition, offset = await publish_change(bus, config, change)
        click.echo(f"{_text(change)}: {topic}, partition {partition}, offset {offset}")

    asyncio.run(with_bus_errors(bus, send()))


def _change(kind: str, at: str | None, fields: dict[str, Any]) -> ChangeV1:
    """Raises UserError for a time that is none."""
    from pydantic import ValidationError

    from tocsin.clock import SystemClock
    from tocsin.flow.decode.changes import ChangeV1

    now_ms = SystemClock().now_ms()
    at_ms = now_ms if at is None else moment(at, now_ms, "--at")
    given = {name: value for name, value in fields.items() if value}
    try:
        return ChangeV1.model_validate(given | {"kind": kind, "at": at_ms * 1_000_000})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise UserError(f"--{first['loc'][0]}: {first['msg'].lower()}; mend it.") from None


def _text(change: ChangeV1) -> str:
    what = " ".join(filter(None, (change.name, change.version or change.variant)))
    return f"{change.kind.value} {what}".rstrip() + f" of {change.service} in {change.env}"
