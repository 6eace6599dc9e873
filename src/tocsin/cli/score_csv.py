"""Score a file of `timestamp,value` rows: how surprising is each, given the rows before it?

Rows are laid on a grid of the interval that the first HEAD rows show, so that a missing row is
a gap and the time of day is known. Nothing is said of the first rows (more than HEAD), so the
scores of a prefix are the prefix of the scores.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from tocsin.errors import UserError
from tocsin.flow.baseline.residual import ResidualBank

#: Rows from which the interval is taken; fewer than the bank is silent for.
HEAD = 64
_BLOCK = 4096  # ticks scored at once
_DAY_S = 86_400
#: A number of at least this, as an epoch, is in thousandths of the unit before: s, ms, µs, ns.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
_MISSING = {"", "nan", "null", "none", "na", "n/a"}

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class CsvRows:
    """A file: its cells as they were, and what they mean."""

    cells: Sequence[tuple[str, str]]  # timestamp, value
    times: np.ndarray  # float64 [n], epoch seconds
    values: np.ndarray  # float64 [n], NaN = missing


@dataclass(frozen=True, slots=True)
class Scored:
    """A score in 0..1 and whether to alert, for each row."""

    scores: np.ndarray
    alerts: np.ndarray

    def lines(self, rows: CsvRows) -> Iterator[str]:
        """The output, line by line, header first."""
        yield "timestamp,value,score,alert\n"
        columns = (rows.cells, self.scores.tolist(), self.alerts.tolist())
        for (stamp, value), score, alert in zip(*columns, strict=True):
            yield f"{stamp},{value},{score:.6f},{alert:d}\n"


def read(source: TextIO, name: str) -> CsvRows:
    """Rows of a CSV with the columns `timestamp` and `value`, in any order, among others.

    Raises UserError that names the line for what cannot be read.
    """
    reader = csv.reader(source)
    header = [cell.strip().lower() for cell in next(reader, [])]
    if header:
        header[0] = header[0].removeprefix("\ufeff")
    at = []
    for column in ("timestamp", "value"):
        if column not in header:
            found = ", ".join(header) or "nothing"
            raise UserError(
                f"{name} has no column `{column}` (its first line has: {found}); "
                "make its first line `timestamp,value`."
            )
        at.append(header.index(column))
    cells: list[tuple[str, str]] = []
    times: list[float] = []
    values: list[float] = []
    try:
        for row in filter(None, reader):
            where = f"{name}, line {reader.line_num}"
            if len(row) <= max(at):
                raise UserError(f"{where} has {len(row)} of the header's {len(header)} cells.")
            stamp, value = row[at[0]].strip(), row[at[1]].strip()
            times.append(_time(stamp, where))
            values.append(_value(value, where))
            cells.append((stamp, value))
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num} is not CSV: {error}.") from None
    return CsvRows(cells, np.array(times, np.float64), np.array(values, np.float64))


def _time(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("/", "-"))
        except ValueError:
            raise UserError(
                f"{where}: cannot read the timestamp {text[:40]!r}; write seconds or "
                "milliseconds since 1970, or 2026-11-23 14:05:00 (UTC unless it says otherwise)."
            ) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(number):
        raise UserError(f"{where}: {text!r} is no time; leave the row out.")
    return number / next((unit for least, unit in _UNITS if abs(number) >= least), 1.0)


def _value(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        if text.lower() in _MISSING:
            return math.nan
        raise UserError(
            f"{where}: the value {text[:40]!r} is no number; leave it empty if unknown."
        ) from None


def interval_of(times: np.ndarray) -> float:
    """Seconds between rows, by the median step of the first HEAD; a minute where none shows."""
    steps = np.diff(times[:HEAD])
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 60.0


def grid(times: np.ndarray, interval_s: float) -> np.ndarray:
    """The tick of each row, ascending by at least 1: where its time says, if that is free.

    A gap of more than two days loses whole days: nothing is learnt in it, the hour is kept.
    """
    day = max(round(_DAY_S / interval_s), 1)
    due = np.rint((times - times[:1]) / interval_s)
    ticks = np.empty(len(times), np.int64)
    last, skipped = -1, 0
    for row, tick in enumerate(due.tolist()):
        ahead = int(tick) - skipped - last
        if ahead > 2 * day:
            lost = (ahead - day) // day * day
            skipped, ahead = skipped + lost, ahead - lost
        last += max(ahead, 1)
        ticks[row] = last
    return ticks


def score(rows: CsvRows, progress: Progress = lambda _: None) -> Scored:
    """Score all rows; `progress` is told how many more rows are done, now and then."""
    scores, alerts = np.zeros(len(rows.values)), np.zeros(len(rows.values), bool)
    if not len(rows.values):
        return Scored(scores, alerts)
    interval_s = interval_of(rows.times)
    ticks = grid(rows.times, interval_s)
    bank, done = ResidualBank(interval_s, 1), 0
    for begin in range(0, int(ticks[-1]) + 1, _BLOCK):
        end = int(np.searchsorted(ticks, begin + _BLOCK))
        block = np.full((1, min(_BLOCK, int(ticks[-1]) + 1 - begin)), np.nan)
        inside = ticks[done:end] - begin
        block[0, inside] = rows.values[done:end]
        out = bank.score(block)
        scores[done:end], alerts[done:end] = out.score[0, inside], out.alert[0, inside]
        progress(end - done)
        done = end
    return Scored(scores, alerts)


def targets(sources: Sequence[str], output: str) -> list[str]:
    """Where each source's scores go: `output` itself, or files of the same names in that folder.

    Raises UserError where a file would be overwritten by another, or by its own scores.
    """
    folder = len(sources) > 1 or Path(output).is_dir()
    if not folder:
        found = [output]
    elif output == "-":
        raise UserError("several files need a folder for their scores: -o scores/")
    elif "-" in sources:
        raise UserError("standard input has no name to give a file in a folder: -o scores.csv")
    else:
        found = [str(Path(output) / Path(source).name) for source in sources]
    for target in found:
        if found.count(target) > 1:
            raise UserError(f"two of the files are named {Path(target).name}; score them apart.")
        inputs = {Path(source).resolve() for source in sources if source != "-"}
        if target != "-" and Path(target).resolve() in inputs:
            raise UserError(f"{target} is one of the inputs; give -o another name.")
    return found
