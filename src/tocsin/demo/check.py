"""Was every incident caught, and was anything else cried? A pure judgement of alarms on labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tocsin.demo.incidents import MINUTE_MS, Incident, IncidentKind

#: Which kind of incident a rule speaks of, by its detector.
KIND_OF_DETECTOR: Mapping[str, IncidentKind] = {
    "loop": "loop",
    "spike": "spike",
    "flatline": "flatline",
    "share": "routing",
    "unexpected": "routing",
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
    kind: IncidentKind | None  # None: a rule that speaks of none of the five
    service: str
    severity: str
    at_ms: int  # event time at which it fired
    wall_s: float
    observed: float | None
    expected: float | None
    unit: str
    summary: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said of one incident: the alarm that caught it, and those that go with it."""

    incident: Incident
    caught: Alarm | None
    also: tuple[Alarm, ...]  # of the same kind, later
    related: tuple[Alarm, ...]  # of another kind: a spike of runs is one of tokens, too


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome of each incident, in order of onset, and the alarms that none explains."""

    outcomes: tuple[Outcome, ...]
    false: tuple[Alarm, ...]

    @property
    def passed(self) -> bool:
        return not self.false and all(outcome.caught for outcome in self.outcomes)


def score(
    incidents: Sequence[Incident], alarms: Iterable[Alarm], grace_ms: int = GRACE_MS
) -> Score:
    """Attribute each alarm to an incident of its service that was on, or on just before.

    An alarm of the incident's own kind catches it; one of another kind is related. Alarms from
    before the onset, or of services where nothing was wrong, are false, whatever their rule.
    """
    ordered = sorted(alarms, key=lambda alarm: (alarm.at_ms, alarm.wall_s, alarm.alert_id))
    mine: dict[Incident, list[Alarm]] = {incident: [] for incident in incidents}
    false: list[Alarm] = []
    for alarm in ordered:
        explained = [i for i in incidents if _explains(i, alarm, grace_ms)]
        same = [i for i in explained if i.kind == alarm.kind]
        if explained:
            mine[(same or explained)[0]].append(alarm)
        else:
            false.append(alarm)
    outcomes = []
    for incident in sorted(incidents, key=lambda i: i.from_ms):
        own = [a for a in mine[incident] if a.kind == incident.kind]
        other = [a for a in mine[incident] if a.kind != incident.kind]
        outcomes.append(
            Outcome(incident, own[0] if own else None, tuple(own[1:]), tuple(other)),
        )
    return Score(tuple(outcomes), tuple(false))


def _explains(incident: Incident, alarm: Alarm, grace_ms: int) -> bool:
    on = incident.from_ms <= alarm.at_ms < incident.to_ms + grace_ms
    return on and incident.service == alarm.service
