"""`tocsin up`, `ingest`, `watch` and `bridge`: the stages, together or each in a process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tocsin.cli.running import load_stage_config, run_until_signal
from tocsin.cli.up_embedded import up_embedded
from tocsin.errors import UserError

if TYPE_CHECKING:
    from tocsin.config import Config
    from tocsin.run.up import Stage

_SINKS = click.option(
    "--sink", "outlets", multiple=True, metavar="OUTLET", default=("stdout",), show_default=True,
    help="stdout, json (NDJSON on stdout) or file:PATH; may be given more than once.",
)  # fmt: skip
_METRICS = click.option(
    "--metrics-port", type=click.IntRange(1, 65_535), help="Serve /metrics on loopback."
)


def _run_stages(
    config: Config, metrics_port: int | None, outlets: tuple[str, ...], *stages: Stage
) -> None:
    from tocsin.metrics import Metrics
    from tocsin.notify.sinks import open_sink
    from tocsin.run.up import up

    metrics, stop = Metrics(), asyncio.Event()
    if metrics_port is not None:
        try:
            metrics.serve(metrics_port)
        except OSError as error:
            raise UserError(
                f"Port {metrics_port} is not free ({error.strerror}); "
                "choose another --metrics-port."
            ) from None
    sinks = [open_sink(outlet) for outlet in outlets] if "bridge" in stages else []
    run_until_signal(up(config, metrics=metrics, stop=stop, stages=stages, sinks=sinks), stop)


@click.command()
@_SINKS
@_METRICS
@click.option("--embedded", is_flag=True, help="Start a broker and a Redis too (memory only).")
@click.pass_context
def up(
    ctx: click.Context, outlets: tuple[str, ...], metrics_port: int | None, *, embedded: bool
) -> None:
    """Run ingest, watch and bridge in one process.

    \b
    Examples:
      tocsin up
      tocsin up --embedded --sink file:alerts.ndjson
    """

    def run(config: Config) -> None:
        _run_stages(config, metrics_port, outlets, "ingest", "watch", "bridge")

    if embedded:
        up_embedded(ctx.obj, outlets, run)
    else:
        run(load_stage_config(ctx))


@click.command()
@_METRICS
@click.pass_context
def ingest(ctx: click.Context, metrics_port: int | None) -> None:
    """Read spans and keep their counters in Redis. Scale by partitions of the spans topic."""
    _run_stages(load_stage_config(ctx), metrics_port, (), "ingest")


@click.command()
@_METRICS
@click.pass_context
def watch(ctx: click.Context, metrics_port: int | None) -> None:
    """Close windows, judge them, write alerts. Scale by shards."""
    _run_stages(load_stage_config(ctx), metrics_port, (), "watch")


@click.command()
@_SINKS
@_METRICS
@click.pass_context
def bridge(ctx: click.Context, outlets: tuple[str, ...], metrics_port: int | None) -> None:
    """Hand alerts on.

    \b
    Examples:
      tocsin bridge
      tocsin bridge --sink json --sink file:/var/lib/tocsin/alerts.ndjson
    """
    _run_stages(load_stage_config(ctx), metrics_port, outlets, "bridge")
