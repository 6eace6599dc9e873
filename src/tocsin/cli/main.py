"""The command line. Each command is one call; what a user can mend is one sentence, exit 2."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

import tocsin
from tocsin.cli.change import change
from tocsin.cli.dlq import dlq
from tocsin.cli.explain import explain
from tocsin.cli.replay import replay
from tocsin.cli.score import score
from tocsin.cli.send import send
from tocsin.cli.up_embedded import create_topics, up_embedded
from tocsin.errors import UserError

#: A mistake the user can mend; an ordinary "no" (a check that failed) is 1.
EXIT_USER, EXIT_INTERRUPTED = 2, 130


class _Commands(click.Group):
    """Turns the errors a user can mend into a sentence; the rest are ours and crash loudly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _keep_lines(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        _keep_lines(cmd)
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)
        except _conditions() as error:
            _fail(str(error))


def _keep_lines(command: click.Command) -> None:
    """Click's mark of lines to be left as they are is a control character, not two letters."""
    command.help = command.help and command.help.replace(r"\b", "\b")
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _keep_lines(below)


def _conditions() -> tuple[type[Exception], ...]:
    """Name what is wrong outside of us, besides UserError. Imported late: `--help` is quick."""
    from tocsin.flow.rules.spec import RuleError
    from tocsin.store.base import StoreUnavailable

    return RuleError, StoreUnavailable


def _fail(sentence: str) -> None:
    click.echo(f"tocsin: {sentence}", err=True)
    sys.exit(EXIT_USER)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tocsin.__version__, prog_name="tocsin")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings as YAML.")
@click.pass_context
def main(ctx: click.Context, config_file: Path | None) -> None:
    r"""Tocsin, the alarm bell for LLM agents.

    Settings come from TOCSIN_* variables and --config; `tocsin config show` lists them.

    \b
    Examples:
      tocsin demo                       see it work, nothing needed
      tocsin up --embedded              point an agent at it, nothing needed
      tocsin topics && tocsin up        against kafka.bootstrap and redis.url
      TOCSIN_KAFKA__BOOTSTRAP=kafka:9092 tocsin ingest
    """
    ctx.obj = config_file


def _load(ctx: click.Context, **flags: Any) -> Any:
    from tocsin import log
    from tocsin.config import load

    config = load(ctx.obj, **flags)
    log.configure(config.log.level, config.log.format)
    if config.has_dev_key:
        log.get_logger("config").warning("development_fingerprint_key", set="fingerprint_key")
    return config


def _run(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run to the end. SIGTERM drains; so does Ctrl-C, but a second one does not wait.

    Raises KeyboardInterrupt after a Ctrl-C.
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


_SINKS = click.option(
    "--sink", "outlets", multiple=True, metavar="OUTLET", default=("stdout",), show_default=True,
    help="stdout, json (NDJSON on stdout) or file:PATH; may be given more than once.",
)  # fmt: skip
_METRICS = click.option(
    "--metrics-port", type=click.IntRange(1, 65_535), help="Serve /metrics on loopback."
)


def _stages(config: Any, port: int | None, outlets: tuple[str, ...], *stages: Any) -> None:
    from tocsin.metrics import Metrics
    from tocsin.notify.sinks import open_sink
    from tocsin.run.up import up

    metrics, stop = Metrics(), asyncio.Event()
    if port is not None:
        try:
            metrics.serve(port)
        except OSError as error:
            raise UserError(
                f"Port {port} is not free ({error.strerror}); choose another --metrics-port."
            ) from None
    sinks = [open_sink(outlet) for outlet in outlets] if "bridge" in stages else []
    _run(up(config, metrics=metrics, stop=stop, stages=stages, sinks=sinks), stop)


@main.command()
@_SINKS
@_METRICS
@click.option("--embedded", is_flag=True, help="Start a broker and a Redis too (memory only).")
@click.pass_context
def up(
    ctx: click.Context, outlets: tuple[str, ...], metrics_port: int | None, *, embedded: bool
) -> None:
    r"""Run ingest, watch and bridge in one process.

    \b
    Examples:
      tocsin up
      tocsin up --embedded --sink file:alerts.ndjson
    """
    stages = ("ingest", "watch", "bridge")
    if not embedded:
        _stages(_load(ctx), metrics_port, outlets, *stages)
        return
    up_embedded(ctx.obj, outlets, lambda config: _stages(config, metrics_port, outlets, *stages))


@main.command()
@_METRICS
@click.pass_context
def ingest(ctx: click.Context, metrics_port: int | None) -> None:
    """Read spans and keep their counters in Redis. Scale by partitions of the spans topic."""
    _stages(_load(ctx), metrics_port, (), "ingest")


@main.command()
@_METRICS
@click.pass_context
def watch(ctx: click.Context, metrics_port: int | None) -> None:
    """Close windows, judge them, write alerts. Scale by shards."""
    _stages(_load(ctx), metrics_port, (), "watch")


@main.command()
@_SINKS
@_METRICS
@click.pass_context
def bridge(ctx: click.Context, outlets: tuple[str, ...], metrics_port: int | None) -> None:
    r"""Hand alerts on.

    \b
    Examples:
      tocsin bridge
      tocsin bridge --sink json --sink file:/var/lib/tocsin/alerts.ndjson
    """
    _stages(_load(ctx), metrics_port, outlets, "bridge")


@main.command()
@click.pass_context
def topics(ctx: click.Context) -> None:
    """Create the topics that are missing and say how they stand. Changes none that exists."""
    config = _load(ctx)
    for state in asyncio.run(create_topics(config)):
        note = "created" if state.created else "there"
        differs = f"; configured for {state.wanted}" if state.differs else ""
        click.echo(f"{state.name:<32} {state.partitions:>4} partitions  {note}{differs}")


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One canonical span a line.")
@click.pass_context
def decode(ctx: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    r"""Show what Tocsin understands of each FILE: a message, or one message a line.

    In any format it reads from Kafka. Spans go to stdout; what was refused and why, and a
    summary, to stderr. Exits with 1 when anything was refused.

    \b
    Examples:
      tocsin decode trace.json
      tocsin decode --json otlp-*.bin > spans.ndjson
    """
    from tocsin.cli.decode_report import explain as understood
    from tocsin.config import load

    sys.exit(0 if understood(files, load(ctx.obj), as_json=as_json) else 1)


@main.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One result a line.")
def check(folder: Path | None, *, as_json: bool) -> None:
    """Validate the rules in FOLDER (the shipped ones without it) and run their tests.

    Exits with 1 when a test fails or a rule lacks a firing or a silent one.
    """
    from tocsin.flow.detect.load_rules import SHIPPED
    from tocsin.flow.rule_tests.series import check_rules

    results = check_rules(folder or SHIPPED)
    for result in results:
        if as_json:
            click.echo(json.dumps({"rule": result.rule, "test": result.test,
                                   "ok": result.passed, "why": result.why}))  # fmt: skip
        else:
            verdict = (
                click.style("ok  ", fg="green") if result.passed else click.style("FAIL", fg="red")
            )
            click.echo(f"{verdict} {result.rule}: {result.test} {result.why}".rstrip())
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results)} tests, {failed} failed", err=True)
    sys.exit(1 if failed else 0)


@main.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if any is stale.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Default: schemas/")
def schemas(folder: Path | None, *, only_check: bool) -> None:
    """Write the JSON Schemas of span, change, alert and rule."""
    from tocsin import schemas as contracts

    folder = folder or contracts.FOLDER
    if only_check:
        stale = contracts.check(folder)
        for name in stale:
            click.echo(f"{name} is stale; run `tocsin schemas`", err=True)
        sys.exit(1 if stale else 0)
    for path in contracts.write(folder):
        click.echo(path)


@main.command()
@click.option("--check", is_flag=True, help="Exit 1 unless all five kinds and nothing else fire.")
@click.option("--seed", default=7, show_default=True)
@click.option("--speed", default=90.0, show_default=True, help="Event time a second, once live.")
@click.option("--live/--no-live", default=True, help="Draw a picture where there is a terminal.")
@click.option("--json", "as_json", is_flag=True, help="One document at the end.")
def demo(*, check: bool, seed: int, speed: float, live: bool, as_json: bool) -> None:
    r"""A fleet of agents with five incidents, through a broker, Redis and all of Tocsin.

    \b
    Examples:
      tocsin demo
      tocsin demo --check --seed 11
    """
    from tocsin.demo import main as play

    sys.exit(play(check=check, seed=seed, speed=speed, live=live, as_json=as_json))


main.add_command(dlq)
main.add_command(score)
main.add_command(change)
main.add_command(explain)
main.add_command(replay)
main.add_command(send)


@main.group()
def config() -> None:
    """Look at the settings."""


@config.command("show")
@click.pass_context
def show(ctx: click.Context) -> None:
    """Print every setting in force, as YAML; secrets are redacted."""
    import yaml

    from tocsin.config import load

    click.echo(yaml.safe_dump(load(ctx.obj).redacted(), sort_keys=False).rstrip())


@config.command("check")
@click.pass_context
def check_config(ctx: click.Context) -> None:
    """Exit 0 if the settings, the rules and the prices are sound, else say what to mend."""
    from tocsin.config import load
    from tocsin.flow.detect.load_rules import load_rules
    from tocsin.run.prices import load_prices

    settings = load(ctx.obj)
    rules = load_rules(settings.rules_dir)
    load_prices(settings.prices_file)
    click.echo(f"ok: {len(rules)} rules")
