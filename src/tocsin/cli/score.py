"""`tocsin score`: score the rows of CSV files. Its body is in `cli/score_csv.py`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from tocsin.errors import UserError

if TYPE_CHECKING:
    from tocsin.cli.score_csv import Progress

_LONG = 50_000  # rows from which on it is shown how far a file is


@click.command()
@click.argument("sources", metavar="IN.csv...", nargs=-1, required=True)
@click.option("-o", "--output", default="-", metavar="OUT",
              help="A file, a folder (for several inputs), or - for standard output (default).",
              )  # fmt: skip
def score(sources: tuple[str, ...], output: str) -> None:
    """Score each row of a series: how surprising is it, given the rows before it?

    IN.csv has the columns timestamp (seconds or milliseconds since 1970, or like
    2026-11-23 14:05:00) and value; - is standard input. Rows may be missing. The output has
    timestamp,value,score,alert: a row for each, in the same order. The score is in 0..1; alert
    is 1 where it first reaches 0.5 in an episode. No row depends on a later one, and nothing
    is said of the first 144 values.

    \b
    Examples:
      tocsin score latency.csv -o latency.scores.csv
      tocsin score kpis/*.csv -o scores/
      cat latency.csv | tocsin score - | grep ',1$'
    """
    from tocsin.cli import score_csv as scoring

    for source, target in zip(sources, scoring.targets(sources, output), strict=True):
        with ExitStack() as stack:
            rows = scoring.read(_open(stack, source), "standard input" if source == "-" else source)
            sink = _create(stack, target)
            bar = _progress(stack, len(rows.values), source)
            sink.writelines(scoring.score(rows, bar).lines(rows))


def _open(stack: ExitStack, source: str) -> TextIO:
    if source == "-":
        return sys.stdin
    try:
        return stack.enter_context(Path(source).open("r", -1, "utf-8", "replace", ""))
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}.") from None


def _create(stack: ExitStack, target: str) -> TextIO:
    if target == "-":
        return sys.stdout
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        return stack.enter_context(Path(target).open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}.") from None


def _progress(stack: ExitStack, rows: int, name: str) -> Progress:
    """A bar on the terminal for a file that takes long; elsewhere, nothing."""
    if rows < _LONG or not sys.stderr.isatty():
        return lambda _: None
    bar = stack.enter_context(click.progressbar(length=rows, label=name, file=sys.stderr))
    return bar.update
