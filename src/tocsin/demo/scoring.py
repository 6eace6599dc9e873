"""Attribute alarms to the labelled incidents: which were caught, which alarms are false. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tocsin.demo.incidents import MINUTE_MS, Incident, IncidentKind

#: A routing incident has two faces, each with a detector of its own: moved shares, a new model.
AlarmKind = IncidentKind | Literal["new_model"]
#: How an alarm goes with its incident: it caught it, repeats it, or is a consequence of it.
Relation = Literal["caught", "also", "related"]
#: What a rule speaks of, by its detector.
KIND_OF_DETECTOR: Mapping[str, AlarmKind] = {
    "loop": "loop",
    "spike": "spike",
    "flatline": "flatline",
    "share": "routing",
    "unexpected": "new_model",
    "quantile": "latency",
}
#: How long after its end an incident still explains an alarm. Shares and quantiles are decided
#: on quarter hours, so the one under way at the end still speaks of it.
GRACE_MS = 15 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert as it first fired. `wall_s` counts from the start of the live phase."""

    alert_id: str
    rule: str
    kind: AlarmKind | None  # None: a rule that speaks of none of the five
    service: str
    severity: str
    at_ms: int  # event time at which it fired
    wall_s: float
    observed: float | None
    expected: float | None
    unit: str
    summary: str


@dataclass(frozen=True, slots=True)
class IncidentResult:
    """The alarms of one incident: the one that caught it, and those that go with it."""

    incident: Incident
    caught: Alarm | None
    new_model: Alarm | None  # the alarm that named the incident's new model, where it has one
    also: tuple[Alarm, ...]  # of the same kind, later
    related: tuple[Alarm, ...]  # of another kind: a spike of runs is one of tokens, too

    @property
    def missed(self) -> str:
        """What no alarm names, in words; empty when all of it was caught."""
        if self.caught is None:
            return self.incident.describe()
        if self.incident.new_model and self.new_model is None:
            return f"{self.incident.new_model} appeared unnoticed"
        return ""

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All alarms of it; those that caught it come first."""
        first = (alarm for alarm in (self.caught, self.new_model) if alarm)
        return (*first, *self.also, *self.related)


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome of each incident, in order of onset, and the alarms that none explains."""

    outcomes: tuple[IncidentResult, ...]
    false: tuple[Alarm, ...]

    @property
    def explained(self) -> dict[str, tuple[Relation, Incident]]:
        """Alert id -> what it is to which incident, for every alarm that is not false."""
        told: dict[str, tuple[Relation, Incident]] = {}
        for outcome in self.outcomes:
            caught = [alarm for alarm in (outcome.caught, outcome.new_model) if alarm]
            groups: tuple[tuple[Relation, Iterable[Alarm]], ...] = (
                ("caught", caught), ("also", outcome.also), ("related", outcome.related),
            )  # fmt: skip
            for relation, alarms in groups:
                told |= {alarm.alert_id: (relation, outcome.incident) for alarm in alarms}
        return told

    @property
    def passed(self) -> bool:
        return not self.false and not any(outcome.missed for outcome in self.outcomes)


def score(
    incidents: Sequence[Incident], alarms: Iterable[Alarm], grace_ms: int = GRACE_MS
) -> Score:
    """Attribute each alarm to an incident of its service that was on, or on just before.

    An alarm of the incident's own kind catches it (and one must name its new model, where it
    has one); an alarm of another kind is related. Alarms from
    before the onset, or of services where nothing was wrong, are false, whatever their rule.
    """
    ordered = sorted(alarms, key=lambda alarm: (alarm.at_ms, alarm.wall_s, alarm.alert_id))
    mine: dict[Incident, list[Alarm]] = {incident: [] for incident in incidents}
    false: list[Alarm] = []
    for alarm in ordered:
        explained = [i for i in incidents if _explains(i, alarm, grace_ms)]
        same = [i for i in explained if _speaks_of(alarm, i)]
        if explained:
            mine[(same or explained)[0]].append(alarm)
        else:
            false.append(alarm)
    outcomes = (_outcome(i, mine[i]) for i in sorted(incidents, key=lambda i: i.from_ms))
    return Score(tuple(outcomes), tuple(false))


def _outcome(incident: Incident, alarms: Sequence[Alarm]) -> IncidentResult:
    own = [alarm for alarm in alarms if alarm.kind == incident.kind]
    named = [a for a in alarms if _speaks_of(a, incident) and a not in own]
    return IncidentResult(
        incident,
        caught=own[0] if own else None,
        new_model=named[0] if named else None,
        also=(*own[1:], *named[1:]),
        related=tuple(a for a in alarms if a not in own and a not in named),
    )


def _speaks_of(alarm: Alarm, incident: Incident) -> bool:
    """Whether the alarm is of the incident's kind, or names the model that is new in it."""
    return alarm.kind == incident.kind or (alarm.kind == "new_model" and bool(incident.new_model))


def _explains(incident: Incident, alarm: Alarm, grace_ms: int) -> bool:
    on = incident.from_ms <= alarm.at_ms < incident.to_ms + grace_ms
    return on and incident.service == alarm.service
