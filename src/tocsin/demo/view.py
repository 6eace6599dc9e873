"""How the demo looks: a live picture on a terminal, plain lines anywhere else. 80 columns do."""

from datetime import UTC, datetime
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tocsin.demo.incidents import Incident
from tocsin.demo.scene import Scene
from tocsin.demo.scoring import Alarm, IncidentResult, Relation, Score

_ALERT_ROWS = 9
_TIMELINE = 24  # characters
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_WHAT = {
    "starting": "starting the broker and Redis",
    "back-fill": "publishing history, so that baselines are learnt",
    "live": "incidents happen, alerts come",
    "settling": "everything is published; the last windows close",
    "done": "done",
}


def live_view(console: Console, scene: Scene) -> Live:
    """One picture, drawn in place from the scene six times a second."""
    return Live(console=console, refresh_per_second=6, get_renderable=lambda: picture(scene))


class PlainView:
    """Prints a line when something happens: for pipes, logs and CI."""

    def __init__(self, console: Console, scene: Scene, every_s: float = 5.0) -> None:
        self._console, self._scene, self._every_s = console, scene, every_s
        self._phase = ""
        self._told = 0
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.update()

    def update(self) -> None:
        """Print what is new: a phase, alerts, and every few seconds the figures."""
        scene = self._scene
        if scene.phase != self._phase:
            self._phase = scene.phase
            self._say(f"{scene.phase}: {_WHAT[scene.phase]}")
            self._next_s = scene.wall_s + self._every_s
        for alarm in scene.alarms[self._told :]:
            self._say(f"ALERT {alarm_line(scene, alarm)}")
        self._told = len(scene.alarms)
        if scene.wall_s >= self._next_s and scene.phase in {"back-fill", "live", "settling"}:
            self._next_s = scene.wall_s + self._every_s
            self._say(figures(scene))

    def _say(self, line: str) -> None:
        self._console.print(f"[{self._scene.wall_s:6.1f}s] {line}", markup=False, highlight=False,
                            soft_wrap=True)  # fmt: skip


def picture(scene: Scene) -> RenderableType:
    """The whole screen as it stands."""
    title = f"tocsin demo   seed {scene.seed}   {scene.servers}"
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=1.0, completed=scene.fraction, width=22),
        Text(f"{scene.fraction:4.0%}"), Text(_WHAT[scene.phase], style="bold"),
    )  # fmt: skip
    return Group(
        Text(title, style="bold", overflow="ellipsis", no_wrap=True),
        bar,
        Text(figures(scene), no_wrap=True, overflow="ellipsis"),
        Text(),
        _timelines(scene),
        Text(),
        _alerts(scene),
    )


def figures(scene: Scene) -> str:
    """Throughput, lag and watermark delay in one line."""
    return (
        f"{clock(scene.now_ms)}  {scene.published:,} published  {scene.rate:,.0f} spans/s  "
        f"lag {scene.lag:,}  watermark -{scene.watermark_s:,.0f} s"
    )


def _timelines(scene: Scene) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for outcome in scene.score().outcomes:
        incident = outcome.incident
        table.add_row(
            Text(incident.kind), Text(incident.service, style="dim"),
            timeline(scene, incident, outcome.caught), _fate(scene, outcome),
        )  # fmt: skip
    return table


def timeline(scene: Scene, incident: Incident, caught: Alarm | None) -> Text:
    """The live phase from left to right: # while the incident lasts, ! where it was caught."""
    length = scene.to_ms - scene.live_ms

    def cell(at_ms: int) -> int:
        return min(_TIMELINE - 1, max(0, (at_ms - scene.live_ms) * _TIMELINE // length))

    line = Text("." * _TIMELINE, style="dim")
    shown = min(incident.to_ms, scene.now_ms)
    if shown > incident.from_ms:
        first, last = cell(incident.from_ms), cell(shown)
        line = Text("." * first, style="dim")
        line.append("#" * (last - first + 1), style="red")
        line.append("." * (_TIMELINE - last - 1), style="dim")
    if caught:
        at = cell(caught.at_ms)
        line = line[:at] + Text("!", style="bold green") + line[at + 1 :]
    return line


def _fate(scene: Scene, outcome: IncidentResult) -> Text:
    if outcome.caught and not outcome.missed:
        event_s, wall_s = scene.delay_s(outcome.incident, outcome.caught)
        return Text(f"caught after {span(event_s)} ({wall_s:.1f} s)", style="green")
    if scene.now_ms < outcome.incident.from_ms:
        return Text("still fine", style="dim")
    if scene.phase == "done":
        return Text("missed", style="bold red")
    return Text(f"for {span((scene.now_ms - outcome.incident.from_ms) / 1_000)}", style="yellow")


def _alerts(scene: Scene) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name, width in (("time", 5), ("sev", 4), ("rule", 19), ("service", 16), ("was", 8)):
        table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    table.add_column("expected", width=8, no_wrap=True)
    table.add_column("because of", no_wrap=True)
    explained = scene.score().explained
    for alarm in reversed(scene.alarms[-_ALERT_ROWS:]):
        ended = alarm.alert_id in scene.resolved
        style = "dim" if ended else _COLOURS.get(alarm.severity, "")
        _, incident = explained.get(alarm.alert_id, ("false", None))
        expected = "" if alarm.expected is None else number(alarm.expected, alarm.unit)
        table.add_row(
            clock(alarm.at_ms)[:5], alarm.severity[:4], alarm.rule, alarm.service,
            number(alarm.observed, alarm.unit), expected,
            incident.kind if incident else "nothing: false", style=style,
        )  # fmt: skip
    more = len(scene.alarms) - _ALERT_ROWS
    if more > 0:
        table.caption = f"and {more} before"
    if not scene.alarms:
        table.caption = "no alert yet"
    return table


def alarm_line(scene: Scene, alarm: Alarm) -> str:
    """One alert in one line: what was seen, what was expected, and which incident explains it."""
    expected = alarm.expected
    against = (
        "no baseline needed" if expected is None else f"expected {number(expected, alarm.unit)}"
    )
    return (
        f"{clock(alarm.at_ms)} {alarm.severity} {alarm.rule} {alarm.service}: "
        f"{number(alarm.observed, alarm.unit)}, {against} ({because(scene, alarm)})"
    )


_RELATIONS: dict[Relation, str] = {
    "caught": "catches", "also": "also tells of", "related": "follows from",
}  # fmt: skip


def because(scene: Scene, alarm: Alarm) -> str:
    """What an alert is to which incident, and how long after its onset; or that it is false."""
    explained = scene.score().explained.get(alarm.alert_id)
    if explained is None:
        return "false: no incident explains it"
    relation, incident = explained
    delay_s, _ = scene.delay_s(incident, alarm)
    return (
        f"{_RELATIONS[relation]} the {incident.kind} incident of {incident.service}, "
        f"{span(delay_s)} after its onset"
    )


def others(scene: Scene, result: Score) -> list[str]:
    """The alerts that caught nothing, a line each: what explains them, or that nothing does."""
    explained = result.explained
    rest = [a for a in scene.alarms if explained.get(a.alert_id, ("false",))[0] != "caught"]
    if not rest:
        return []
    lines = [f"  {a.rule} {a.service} at {clock(a.at_ms)} {because(scene, a)}" for a in rest]
    return ["other alerts", *lines]


def summary(scene: Scene) -> RenderableType:
    """What became of each incident, as a table."""
    table = Table(title="incidents", title_justify="left", box=None, pad_edge=False)
    for name in ("kind", "service", "what", "caught by", "event time", "wall"):
        table.add_column(name, overflow="fold")
    for outcome in scene.score().outcomes:
        incident, caught = outcome.incident, outcome.caught
        event, wall = "", ""
        if caught:
            event_s, wall_s = scene.delay_s(incident, caught)
            event, wall = span(event_s), f"{wall_s:.1f} s"
        table.add_row(
            incident.kind, incident.service, incident.describe(),
            Text(caught.rule, style="green") if caught else Text("missed", style="bold red"),
            event, wall,
        )  # fmt: skip
    return table


def verdict(scene: Scene, result: Score) -> list[str]:
    """The lines of `--check`: one an incident, what else was said of it, one of false alerts."""
    lines = []
    for outcome in result.outcomes:
        incident = outcome.incident
        head = f"{incident.kind:<9}{incident.service:<17}"
        if outcome.missed or outcome.caught is None:
            lines.append(f"MISSED  {head}{outcome.missed}")
        else:
            event_s, wall_s = scene.delay_s(incident, outcome.caught)
            lines.append(
                f"caught  {head}by {outcome.caught.rule} after {span(event_s)} of event time, "
                f"{wall_s:.1f} s of wall time"
            )
        new_model = [outcome.new_model] if outcome.new_model else []
        for word, alarms in (("also", [*new_model, *outcome.also]), ("related", outcome.related)):
            if alarms:
                said = (f"{a.rule} (+{span(scene.delay_s(incident, a)[0])})" for a in alarms)
                lines.append(f"        {word}: {', '.join(said)}")
    names = ", ".join(f"{a.rule} {a.service} at {clock(a.at_ms)}" for a in result.false)
    lines.append(f"false alerts: {len(result.false)}" + (f" ({names})" if names else ""))
    return lines


# ---- words and numbers -----------------------------------------------------------------


def clock(at_ms: int) -> str:
    """Event time of day, UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%H:%M:%S")


def span(seconds: float) -> str:
    """A length of time as a person says it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def number(value: float | None, unit: str) -> str:
    """A figure in at most eight characters; `?` for one that the alert does not tell."""
    if value is None:
        return "?"
    if unit == "share":
        return f"{value:.0%}"
    if unit in {"ms", "s"}:
        seconds = value / 1_000 if unit == "ms" else value
        return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"
    if unit in {"usd", "USD"}:
        return f"${value:.2f}"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.1f}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.0f}k"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2f}"
