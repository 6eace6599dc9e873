"""Find the events of one alert on the alerts topic, and print what they say of it."""

import asyncio
import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from tocsin.bus.base import Bus, started
from tocsin.cli.text import utc
from tocsin.config import Config
from tocsin.errors import UserError
from tocsin.flow.alerts.contract import AlertEvent

_POLL = 20_000
#: Fewer characters of an id would name several alerts before long.
MIN_PREFIX = 6
_COLOURS = {"critical": "red", "warning": "yellow", "info": "cyan"}


def print_explanation(name: str, config: Config, bus: Bus, *, as_json: bool) -> None:
    """Print the alert whose alert id, event id or fingerprint begins with `name`.

    Raises:
        UserError: no alert or several do, or the name is too short to tell.
    """
    if len(name) < MIN_PREFIX:
        raise UserError(f"Give at least {MIN_PREFIX} characters of the alert's id.")
    events = events_of_alert(asyncio.run(read_alerts(bus, config.topics.alerts)), name)
    console = Console()
    if as_json:
        for event in events:
            print(json.dumps(event.model_dump(mode="json"), sort_keys=True))
        return
    _print(events, console)


async def read_alerts(bus: Bus, topic: str) -> list[AlertEvent]:
    """Every event on the topic now. Raises ValueError for one that is not version 1."""
    async with started(bus.consumer(topic, None)) as consumer:
        held = consumer.assignment()
        begins, ends = await consumer.begin_offsets(held), await consumer.end_offsets(held)
        left = {p for p in held if begins[p] < ends[p]}
        events = []
        while left:
            polled = await consumer.poll(_POLL, 500)
            for records in polled.values():
                events += [AlertEvent.decode(r.value) for r in records if r.value is not None]
            left = {p for p in left if await consumer.position(p) < ends[p]}
        return events


def events_of_alert(events: Sequence[AlertEvent], name: str) -> list[AlertEvent]:
    """The events of the one alert that is meant, in order; of a fingerprint, its newest alert.

    Raises:
        UserError: none or several are.
    """
    mine = [e for e in events if name in {e.alert_id[: len(name)], e.id[: len(name)]}]
    if not mine:
        same = [e for e in events if e.fingerprint.startswith(name)]
        newest = max(same, key=lambda e: (e.at, e.sequence), default=None)
        mine = [newest] if newest is not None else []
    ids = {event.alert_id for event in mine}
    if not ids:
        raise UserError(
            f"No alert begins with {name!r}; copy the id from the message, or see the topic with "
            f"`tocsin bridge --sink json`."
        )
    if len(ids) > 1:
        raise UserError(f"{len(ids)} alerts begin with {name!r}; give more of the id.")
    whole = (event for event in events if event.alert_id in ids)
    return sorted(whole, key=lambda event: event.sequence)


def _print(events: Sequence[AlertEvent], console: Console) -> None:
    first, last = events[0], events[-1]
    colour = _COLOURS[last.severity]
    console.print(f"[bold {colour}]{last.title}[/] {last.severity}, {last.status}")
    console.print(last.summary, highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _facts(first, last):
        table.add_row(f"[dim]{name}[/]", value)
    console.print(table)
    if last.top:
        console.print("[bold]What drives it[/]")
        for part in last.top:
            console.print(f"  {part.share:>5.0%}  {part.dimension} {part.value}")
    if last.changes:
        console.print("[bold]Changed around the onset[/]")
        for change in last.changes:
            console.print(f"  {utc(change.at)}Z  {change.kind} {change.name} {change.version}")
    console.print("[bold]What happened[/]")
    for event in events:
        note = f" by {event.actor}" if event.actor else ""
        note = f" by {event.inhibitor}" if event.inhibitor else note
        console.print(f"  {utc(event.at)}Z  {event.reason}{note}: {event.summary}")
    if last.traces:
        console.print("[bold]Sample traces[/]  " + "  ".join(last.traces))
    console.print("[bold]What to do[/]")
    for number, step in enumerate(last.runbook, 1):
        console.print(f"  {number}. {step}")


def _facts(first: AlertEvent, last: AlertEvent) -> Iterator[tuple[str, str]]:
    yield "alert", last.alert_id
    yield "rule", f"{last.rule} ({last.kpi})"
    yield "where", " ".join(f"{name}={value}" for name, value in last.dims.items())
    yield "since", f"{utc(last.onset)}Z, told {first.detected_after_s:,.0f} s later"
    if last.duration_s is not None:
        yield "lasted", f"{last.duration_s / 60:,.1f} min"
    least = "at least " if last.at_least else ""
    yield "observed", f"{least}{_number(last.observed)} {last.unit}, n = {last.n:,}"
    yield "expected", f"{_number(last.expected)}, alarm from {_number(last.bound)}"
    yield "baseline", f"{last.baseline}, confidence {last.confidence}"
    for name in ("effect", "evidence", "volume", "persistence"):
        if said := getattr(last.why, name):
            yield name, said
    if last.tokens_burnt is not None:
        yield "tokens burnt", f"{last.tokens_burnt:,}"
    if last.cost_burnt_usd is not None:
        yield "cost burnt", f"${last.cost_burnt_usd:,.4f}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"
