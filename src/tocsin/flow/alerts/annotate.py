"""Alerts are annotated with the changes made around their onset.

An event lists the changes of its environment and service from half an hour before its onset up
to its own time, if they had been reported by then. Both are times of the logs, not of the clock,
so the event is a function of the two topics: made again from them, by a rebuilt worker or a
replay, it has the same content. What is reported too late is in the alert's next event. That
something was changed is no proof that it is the cause.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from tocsin.flow.alerts.contract import AlertChange, AlertEvent
from tocsin.types import EVERY, Change

#: How long before the onset a change may lie, and how many changes an event lists.
BEFORE_MS: Final = 30 * 60_000
MOST: Final = 5
#: How long after its first window a change still explains a new level: the onset is found late.
AFTER_MS: Final = 2 * 60_000
#: It takes less than this until every worker has read a reported change.
READ_MS: Final = 1_000
#: Changes kept of one environment and service, and services kept; the oldest are dropped.
_KEPT, _PLACES = 256, 10_000

_Place = tuple[str, str]


class ChangeTable:
    """Recent changes by environment and service, in order of time; in memory only.

    At most `most` of each environment and service. The same change reported twice counts once,
    so that reading a topic again changes nothing.
    """

    def __init__(self, changes: Iterable[Change] = (), most: int = _KEPT) -> None:
        self._most = most
        self._places: dict[_Place, list[Change]] = {}
        self.add(changes)

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def add(self, changes: Iterable[Change]) -> None:
        """Add changes, in any order."""
        for change in changes:
            place = change.env, change.service
            if place not in self._places and len(self._places) >= _PLACES:
                oldest = min(self._places, key=lambda p: (self._places[p][-1].at_ms, p))
                del self._places[oldest]
            kept = self._places.setdefault(place, [])
            at = bisect_left(kept, change)
            if kept[at : at + 1] != [change]:
                kept.insert(at, change)
                del kept[: -self._most]
            elif change.reported_ms < kept[at].reported_ms:
                kept[at] = change

    def forget(self, before_ms: int) -> None:
        """Drop the changes before an instant, epoch ms."""
        for place, kept in list(self._places.items()):
            kept[:] = [change for change in kept if change.at_ms >= before_ms]
            if not kept:
                del self._places[place]

    def between(self, env: str, service: str, first_ms: int, last_ms: int) -> list[Change]:
        """The changes of a service from `first_ms` to `last_ms`, both included, by time."""
        places = {(e, s) for e in (env, EVERY) for s in (service, EVERY)}
        return sorted(
            change
            for place in places
            for change in self._places.get(place, ())
            if first_ms <= change.at_ms <= last_ms
        )


def explains(table: ChangeTable, env: str, service: str, since_ms: int, now_ms: int) -> bool:
    """Whether a change near `since_ms`, reported by `now_ms`, explains a new level from then on."""
    found = table.between(env, service, since_ms - BEFORE_MS, since_ms + AFTER_MS)
    return any(change.reported_ms <= now_ms - READ_MS for change in found)


def annotated(event: AlertEvent, table: ChangeTable) -> AlertEvent:
    """The event with the changes near its onset behind those it has already.

    At most MOST of them: first those before the onset, the nearest first, then later ones, the
    newest first. The onset of a window rule is only known to the window, so a change within
    the window of the onset counts as before it.
    """
    first_ms = event.onset - BEFORE_MS
    found = [
        change
        for change in table.between(event.env, event.service, first_ms, event.at)
        if change.reported_ms <= event.at - READ_MS
    ]
    onset_ms = event.onset + event.window_s * 1_000
    near = sorted(found, key=lambda change: (change.at_ms > onset_ms, -change.at_ms, change))
    listed = [_alert_change(change) for change in near]
    fresh = tuple(change for change in listed if change not in event.changes)
    room = max(0, MOST - len(event.changes))
    if not fresh[:room]:
        return event
    return event.model_copy(update={"changes": (*event.changes, *fresh[:room])})


def annotate(events: Sequence[AlertEvent], table: ChangeTable) -> list[AlertEvent]:
    """Every event with the changes near its onset."""
    return [annotated(event, table) for event in events]


def _alert_change(change: Change) -> AlertChange:
    return AlertChange(kind=change.kind, name=change.name, version=change.value, at=change.at_ms)
