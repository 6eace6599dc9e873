"""`tocsin replay`: recorded spans under the rules. Its body is in `replay_report.py`."""

from pathlib import Path
from typing import Any

import click

from tocsin.cli.running import load_config
from tocsin.cli.text import moment
from tocsin.errors import UserError


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--topic", is_flag=True, help="Read the spans topic, without joining a group.")
@click.option("--redis", "stored", is_flag=True,
              help="Judge the windows that Redis still holds; runs are not kept.")  # fmt: skip
@click.option("--from", "from_", metavar="TIME",
              help="Of the topic: 2026-11-22T06:00, epoch seconds, or 6h ago as 6h.")  # fmt: skip
@click.option("--to", metavar="TIME", help="As --from; default: the end.")
@click.option("--against", type=click.Path(path_type=Path), metavar="RULES_DIR",
              help="Ask a second folder of rules too, and show where they differ.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One event a line, as on the topic.")
@click.option("--report", type=click.Path(path_type=Path), metavar="OUT.json",
              help="Alerts a day, noisiest series, time in alert, differences.")  # fmt: skip
@click.option("--picture", type=click.Path(path_type=Path), metavar="OUT.html",
              help="A chart a series: value, expected band, alerts.")  # fmt: skip
@click.option("--series", multiple=True, default=("*_by_service *",), show_default=True,
              help="Series in the picture: shell pattern over `view env service ...`.")  # fmt: skip
@click.option("--signal", default="n", show_default=True,
              help="What the picture shows: n, err, tokens, cost, ...")  # fmt: skip
@click.pass_context
def replay(
    ctx: click.Context, /, *, from_: str | None, to: str | None, topic: bool, **asked: Any
) -> None:
    """What would recorded spans have raised? Through the live code, alert for alert.

    From FILEs with one record a line (.gz too; no server is needed), from a range of the
    spans topic, or from the windows in Redis. Events go to stdout, the summary to stderr.

    \b
    Examples:
      tocsin replay spans.ndjson
      tocsin replay --topic --from 24h --report yesterday.json
      tocsin replay --topic --from 6h --against my-rules/
      tocsin replay --redis --picture now.html --series 'calls_by_model prod shop *'
    """
    from tocsin.cli.replay_report import ReplayOptions, replay_and_print
    from tocsin.clock import SystemClock

    if bool(asked["files"]) + topic + asked["stored"] != 1:
        raise UserError("Name one source: files, --topic or --redis; see tocsin replay --help.")
    if (from_ or to) and not topic:
        raise UserError("--from and --to choose a part of the topic; give them with --topic.")
    config, now_ms = load_config(ctx), SystemClock().now_ms()
    from_ms = None if from_ is None else moment(from_, now_ms, "--from")
    to_ms = None if to is None else moment(to, now_ms, "--to")
    replay_and_print(ReplayOptions(from_ms=from_ms, to_ms=to_ms, **asked), config)
