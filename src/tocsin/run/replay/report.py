"""What a replay says of its alerts: how many a day, which rules, how long, and a diff."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.run.replay.engine import Tally

_NOISIEST = 10


@dataclass(slots=True)
class Episode:
    """One alert from its first event on."""

    rule: str
    env: str
    service: str
    dims: Mapping[str, str]
    severity: str
    onset_ms: int
    opened_ms: int
    ended_ms: int | None = None
    suppressed: bool = False
    summary: str = ""

    def key(self) -> tuple[str, str, str, int]:
        """Equal for the same incident in the reports of two sets of rules."""
        dims = " ".join(f"{k}={v}" for k, v in sorted(self.dims.items()))
        return self.rule, f"{self.env}/{self.service}", dims, self.onset_ms


@dataclass(slots=True)
class Report:
    """The alerts of one set of rules over a recording."""

    episodes: dict[str, Episode] = field(default_factory=dict)  # by alert id

    def add(self, event: AlertEvent) -> None:
        """Add an event; they come in the order emitted."""
        held = self.episodes.get(event.alert_id)
        if held is None:
            held = self.episodes[event.alert_id] = Episode(
                event.rule, event.env, event.service, event.dims, event.severity,
                event.onset, event.at,
                suppressed=event.status == "suppressed", summary=event.summary,
            )  # fmt: skip
        ended = event.status in {"resolved", "expired"}
        held.ended_ms = event.at if ended else None
        if event.status == "firing":
            held.suppressed = False
            held.severity = event.severity

    def notified(self) -> list[Episode]:
        """Alerts that were not suppressed to their end, by time."""
        notified = (e for e in self.episodes.values() if not e.suppressed)
        return sorted(notified, key=lambda e: (e.opened_ms, e.key()))

    def document(self, tally: Tally) -> dict[str, Any]:
        """The report as plain values: counts, alerts a day, seconds in alert."""
        notified, days = self.notified(), max(tally.days, 1e-9)
        end_ms = tally.last_ms or 0
        rules: dict[str, list[Episode]] = defaultdict(list)
        for episode in notified:
            rules[episode.rule].append(episode)
        noisy = Counter((e.rule, *e.key()[1:3]) for e in notified).most_common(_NOISIEST)
        return {
            "records": tally.records,
            "spans": tally.spans,
            "late": tally.late,
            "refused": tally.refused,
            "from_ms": tally.first_ms,
            "to_ms": tally.last_ms,
            "days": round(tally.days, 4),
            "alerts": len(notified),
            "alerts_a_day": round(len(notified) / days, 3),
            "by_severity": dict(sorted(Counter(e.severity for e in notified).items())),
            "rules": [
                {
                    "rule": rule,
                    "alerts": len(found),
                    "alerts_a_day": round(len(found) / days, 3),
                    "seconds_in_alert": round(sum(_lasted_s(e, end_ms) for e in found)),
                }
                for rule, found in sorted(rules.items(), key=lambda item: -len(item[1]))
            ],
            "noisiest": [
                {"rule": rule, "service": service, "dims": dims, "alerts": count}
                for (rule, service, dims), count in noisy
            ],
        }


def difference(mine: Report, theirs: Report) -> dict[str, list[dict[str, Any]]]:
    """Alerts that only one of two sets of rules raises, and those that both do."""
    left, right = ({e.key(): e for e in report.notified()} for report in (mine, theirs))
    return {
        "only_here": _rows(e for key, e in left.items() if key not in right),
        "only_there": _rows(e for key, e in right.items() if key not in left),
        "both": _rows(e for key, e in left.items() if key in right),
    }


def _rows(episodes: Iterable[Episode]) -> list[dict[str, Any]]:
    return [
        {
            "rule": e.rule, "env": e.env, "service": e.service, "dims": dict(e.dims),
            "severity": e.severity, "onset_ms": e.onset_ms, "opened_ms": e.opened_ms,
            "summary": e.summary,
        }
        for e in episodes
    ]  # fmt: skip


def _lasted_s(episode: Episode, end_ms: int) -> float:
    ended = end_ms if episode.ended_ms is None else episode.ended_ms
    return max(0.0, (ended - episode.opened_ms) / 1_000)
