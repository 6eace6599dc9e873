"""`tocsin decode`: what Tocsin understands of a file. Its body is in `decode_report.py`."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One canonical span a line.")
@click.pass_context
def decode(ctx: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Show what Tocsin understands of each FILE: a message, or one message a line.

    In any format it reads from Kafka. Spans go to stdout; what was refused and why, and a
    summary, to stderr. Exits with 1 when anything was refused.

    \b
    Examples:
      tocsin decode trace.json
      tocsin decode --json otlp-*.bin > spans.ndjson
    """
    from tocsin.cli.decode_report import print_decoded
    from tocsin.config import load

    sys.exit(0 if print_decoded(files, load(ctx.obj), as_json=as_json) else 1)
