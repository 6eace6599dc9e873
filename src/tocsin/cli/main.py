"""The command line: the group, its commands, and how an error the user can mend is printed."""

import sys
from pathlib import Path
from typing import Any

import click

import tocsin
from tocsin.cli.change import change
from tocsin.cli.check import check
from tocsin.cli.config import config
from tocsin.cli.decode import decode
from tocsin.cli.demo import demo
from tocsin.cli.dlq import dlq
from tocsin.cli.explain import explain
from tocsin.cli.replay import replay
from tocsin.cli.rules import rules
from tocsin.cli.schemas import schemas
from tocsin.cli.score import score
from tocsin.cli.send import send
from tocsin.cli.stages import bridge, ingest, up, watch
from tocsin.cli.topics import topics
from tocsin.errors import UserError

#: A mistake the user can mend; an ordinary "no" (a check that failed) is 1.
EXIT_USER, EXIT_INTERRUPTED = 2, 130


class _Commands(click.Group):
    """Prints an error that the user can mend as one sentence, exit 2; any other is a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)
        except _conditions() as error:
            click.echo(f"tocsin: {error}", err=True)
            sys.exit(EXIT_USER)


def _conditions() -> tuple[type[Exception], ...]:
    """The errors that the user can mend. Imported late: `--help` is quick."""
    from tocsin.flow.rules.spec import RuleError

    return UserError, RuleError


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tocsin.__version__, prog_name="tocsin")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings as YAML.")
@click.pass_context
def main(ctx: click.Context, config_file: Path | None) -> None:
    """Tocsin, the alarm bell for LLM agents.

    Settings come from TOCSIN_* variables and --config; `tocsin config show` lists them.

    \b
    Examples:
      tocsin demo                       see it work, nothing needed
      tocsin up --embedded              point an agent at it, nothing needed
      tocsin topics && tocsin up        against kafka.bootstrap and redis.url
      TOCSIN_KAFKA__BOOTSTRAP=kafka:9092 tocsin ingest
    """
    ctx.obj = config_file


for _command in (
    up, ingest, watch, bridge, topics, decode, check, schemas, demo, dlq, score, change, explain,
    replay, rules, send, config,
):  # fmt: skip
    main.add_command(_command)
