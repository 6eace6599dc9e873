"""Replay a source under one or two sets of rules; print the events, the report and the diff."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tocsin.bus.base import started
from tocsin.cli.replay_chart import Recorder, page
from tocsin.config import Config
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import load_rules
from tocsin.notify.sinks.stdout import StdoutSink
from tocsin.run.backends import open_bus, open_store
from tocsin.run.change_feed import changes_since
from tocsin.run.replay.engine import Replay, Tally, chunks
from tocsin.run.replay.report import Report, difference
from tocsin.run.replay.sources import Done, lines_of, range_of, read_range
from tocsin.run.replay.stored_windows import judge_stored

#: (index of the set of rules, event), in the order emitted.
NumberedEvents = AsyncIterator[tuple[int, AlertEvent]]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the user asked for. No files and not `stored`: the spans topic."""

    files: tuple[Path, ...]
    stored: bool
    from_ms: int | None
    to_ms: int | None
    against: Path | None
    as_json: bool
    report: Path | None
    picture: Path | None
    series: tuple[str, ...]
    signal: str


@dataclass(slots=True)
class _Backtest:
    """One replay: what was asked for, and what it has given so far."""

    options: ReplayOptions
    rule_sets: list[tuple[Rule, ...]]
    tally: Tally = field(default_factory=Tally)
    reports: list[Report] = field(default_factory=list)
    recorder: Recorder | None = None


def replay_and_print(options: ReplayOptions, config: Config) -> None:
    """Run it: events on stdout; progress, the report and the diff on stderr or in files.

    Raises:
        UserError: a file, a topic or a rule that the user must mend.
    """
    rule_sets = [load_rules(config.rules_dir)]
    if options.against is not None:
        rule_sets.append(load_rules(options.against))
    backtest = _Backtest(options, rule_sets, reports=[Report() for _ in rule_sets])
    if options.picture is not None:
        backtest.recorder = Recorder(options.series, options.signal)
    console = Console(stderr=True)
    asyncio.run(_run(backtest, config, console))
    _finish(backtest, console)


async def _run(backtest: _Backtest, config: Config, console: Console) -> None:
    sink = StdoutSink(as_json=backtest.options.as_json)
    columns = (TextColumn("replay"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replay", total=None)
        done = partial(progress.advance, task)
        if backtest.options.stored:
            source = _stored
        else:
            source = _files if backtest.options.files else _topic
        events = source(backtest, config, lambda all_: progress.update(task, total=all_), done)
        async for number, event in events:
            backtest.reports[number].add(event)
            if number == 0:
                await sink.deliver([event])


async def _files(backtest: _Backtest, config: Config, total: Done, done: Done) -> NumberedEvents:
    files = backtest.options.files
    total(sum(file.stat().st_size for file in files if file.is_file()))
    run = await Replay.open(config, backtest.rule_sets, observer=backtest.recorder)
    run.tally = backtest.tally
    lines = (line for file in files for line in lines_of(file, done))
    for chunk in chunks(lines):
        async for numbered in run.feed({0: chunk}):
            yield numbered
    async for numbered in run.finish():
        yield numbered


async def _topic(backtest: _Backtest, config: Config, total: Done, done: Done) -> NumberedEvents:
    bus = open_bus(config)
    async with started(bus.consumer(config.topics.spans, None)) as consumer:
        wanted = await range_of(consumer, backtest.options.from_ms, backtest.options.to_ms)
        total(wanted.records)
        run = await Replay.open(
            config, backtest.rule_sets,
            partitions=max(1, len(wanted.offsets)), observer=backtest.recorder,
            changes=await changes_since(bus, config, backtest.options.from_ms),
        )  # fmt: skip
        run.tally = backtest.tally
        async for polled in read_range(consumer, wanted, done):
            async for numbered in run.feed(polled):
                yield numbered
        async for numbered in run.finish():
            yield numbered


async def _stored(backtest: _Backtest, config: Config, total: Done, done: Done) -> NumberedEvents:
    store = open_store(config)
    total(config.shards)
    try:
        async for numbered in judge_stored(
            store, config, backtest.rule_sets, backtest.tally, observer=backtest.recorder, done=done
        ):
            yield numbered
    finally:
        await store.close()


def _finish(backtest: _Backtest, console: Console) -> None:
    """The report, the diff and the picture."""
    document = backtest.reports[0].document(backtest.tally)
    if len(backtest.reports) > 1:
        document["against"] = {
            "rules": str(backtest.options.against),
            "alerts": len(backtest.reports[1].notified()),
            **difference(*backtest.reports),
        }
    if backtest.options.report is not None:
        backtest.options.report.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if backtest.options.picture is not None and backtest.recorder is not None:
        title = f"Replay: {document['alerts']} alerts in {document['days']:g} days"
        text = page(backtest.recorder, backtest.reports[0].notified(), title)
        backtest.options.picture.write_text(text, encoding="utf-8")
    _print(document, console, stored=backtest.options.stored)


def _print(document: dict[str, Any], console: Console, *, stored: bool) -> None:
    what = "windows" if stored else "records"
    console.print(
        f"{document['spans']} spans of {document['records']} {what} over {document['days']:g} "
        f"days; {document['late']} late, {document['refused']} refused; "
        f"{document['alerts']} alerts, {document['alerts_a_day']:g} a day"
    )
    if document["rules"]:
        table = Table("rule", "alerts", "a day", "in alert", box=None, header_style="bold")
        for row in document["rules"]:
            minutes = f"{row['seconds_in_alert'] / 60:,.0f} min"
            table.add_row(row["rule"], str(row["alerts"]), f"{row['alerts_a_day']:g}", minutes)
        console.print(table)
    if len(document["noisiest"]) > 1:
        table = Table("noisiest", "service", "", "alerts", box=None, header_style="bold")
        for row in document["noisiest"][:5]:
            table.add_row(row["rule"], row["service"], row["dims"], str(row["alerts"]))
        console.print(table)
    if "against" in document:
        _print_diff(document["against"], console)


def _print_diff(against: dict[str, Any], console: Console) -> None:
    here, there = against["only_here"], against["only_there"]
    console.print(
        f"Against {against['rules']}: {len(against['both'])} alerts of both, "
        f"{len(here)} only of the rules in force, {len(there)} only of the others"
    )
    for sign, colour, rows in (("-", "red", here), ("+", "green", there)):
        for row in rows[:20]:
            console.print(f"{sign} {row['rule']} {row['service']}: {row['summary']}", style=colour)
        if len(rows) > 20:
            console.print(f"{sign} ... and {len(rows) - 20} more", style=colour)
