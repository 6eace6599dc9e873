"""`tocsin dlq`: the commands for DLQ records (dead letters). Printing is in `dlq_report.py`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tocsin.cli.running import load_config, with_bus_errors
from tocsin.cli.text import moment
from tocsin.errors import UserError

if TYPE_CHECKING:
    from tocsin.run.dlq.records import Selection


class _ReasonName(click.ParamType):
    """One of types.Reason, which is looked up late: `--help` must not load polars for it."""

    name = "reason"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from tocsin.types import Reason

        known = [reason.value for reason in Reason]
        if value not in known:
            self.fail(f"{value!r} is none of: {', '.join(known)}", param, ctx)
        return value


_FILTERS = (
    click.option("--reason", "reasons", multiple=True,
                 type=_ReasonName(),
                 help="Refused for this; may be given more than once."),
    click.option("--since", metavar="TIME", help="Refused then or later: ISO 8601, or an age: 2h."),
    click.option("--until", metavar="TIME", help="Refused before then."),
    click.option("--topic", help="Topic of the refused record."),
    click.option("--partition", type=click.IntRange(0), help="Partition of the refused record."),
    click.option("--offset", type=click.IntRange(0), help="Its offset; needs --partition."),
    click.option("--limit", type=click.IntRange(1), help="Only the newest so many."),
)  # fmt: skip


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def dlq() -> None:
    """Look at dead letters (records that could not be read), and send them again."""


@dlq.command()
@_filters
@click.option("--json", "as_json", is_flag=True, help="One DLQ record a line.")
@click.option(
    "--payload",
    is_flag=True,
    help="Key and bytes too; they may hold content. Of a redacted one, its envelope.",
)
@click.pass_context
def show(ctx: click.Context, /, *, as_json: bool, payload: bool, **filters: Any) -> None:
    """List dead letters, and how many of each reason; never their content unless asked.

    Unless ingest ran with dlq.keep_original, a DLQ record is redacted: it holds the shape of the
    record and a keyed hash of it, and no content to show.

    \b
    Examples:
      tocsin dlq show --since 2h
      tocsin dlq show --json --reason bad_value --partition 3
    """
    from tocsin.cli.dlq_report import print_dlq_records
    from tocsin.run.backends import open_bus

    config = load_config(ctx)
    chosen, bus = _selection(**filters), open_bus(config)
    work = print_dlq_records(bus, config, chosen, as_json=as_json, payload=payload)
    asyncio.run(with_bus_errors(bus, work))


@dlq.command()
@_filters
@click.option("--yes", "send", is_flag=True, help="Send. Without it, only say what would be sent.")
@click.option("--partial", is_flag=True, help="Also records of which other spans were counted.")
@click.pass_context
def replay(ctx: click.Context, /, *, send: bool, partial: bool, **filters: Any) -> None:
    """Publish refused records again, once each, with their own key, bytes and headers.

    Dry unless --yes. Once each in one call: the next call sends them again. Truncated and
    redacted ones (dlq.keep_original was off when they were refused) cannot be sent; they are
    counted. Exits with 1 when any record that was meant is left out.

    \b
    Examples:
      tocsin dlq replay --reason too_old --since 1h
      tocsin dlq replay --reason too_old --since 1h --yes
    """
    from tocsin.cli.dlq_report import resend_and_print
    from tocsin.run.backends import open_bus

    config = load_config(ctx)
    chosen, bus = _selection(**filters), open_bus(config)
    work = resend_and_print(bus, config, chosen, send=send, partial=partial)
    sys.exit(0 if asyncio.run(with_bus_errors(bus, work)) else 1)


def _selection(
    *, reasons: tuple[str, ...], since: str | None, until: str | None, **more: Any
) -> Selection:
    """The filters as given. Raises UserError for times that are none, and for half a place."""
    from tocsin.clock import SystemClock
    from tocsin.run.dlq.records import Selection

    now_ms = SystemClock().now_ms()
    since_ms = None if since is None else moment(since, now_ms, "--since")
    until_ms = None if until is None else moment(until, now_ms, "--until")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise UserError("--since is not before --until, so nothing lies between; swap them.")
    if more["offset"] is not None and more["partition"] is None:
        raise UserError("An --offset names a record only within a partition; add --partition.")
    return Selection(frozenset(reasons), since_ms, until_ms, **more)
