"""Rules and services that opened too many alerts must show stronger evidence.

Two limits on what statistical rules open. Findings of structural rules (loops, a model that is
not allowed) are never changed, nor is an alert that is open already.

- governor: a rule and group that opened more than `factor` times its budget within `days` must
  be ten times as improbable for each opening beyond, until those openings are too old. The
  worst tenth of the series makes a third of all false alarms.
- page budget: beyond `pages_a_day` critical openings of one service in a day, further ones
  open as warnings and say so. What still breaches when the day is over escalates then.

An acknowledged opening was no false alarm and does not count. Only openings before the judged
window count, so the cut of a log into ticks changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tocsin.flow.alerts.contract import AlertEvent, AlertReason, fingerprint_of
from tocsin.flow.alerts.state import AlertState
from tocsin.types import SEP, Finding, split_series

BLOB: Final = "g:governor"
VERSION: Final = 1
_DAY_MS: Final = 86_400_000
_OPENINGS: Final = {AlertReason.OPENED, AlertReason.UNSUPPRESSED, AlertReason.ESCALATED}
#: Decades of evidence asked for at most, however often it opened.
_MOST: Final = 6
SPENT: Final = " (The page budget of this service is spent for today.)"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many alerts may be false."""

    episodes_a_day: float = 0.05  # of one series, warnings
    factor: float = 3.0
    days: int = 7
    pages_a_day: int = 5  # of one service, critical


class Governor:
    """When each group opened an alert and each service paged, in the last days (epoch ms)."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._opened: dict[str, tuple[int, ...]] = {}  # by fingerprint
        self._paged: dict[str, tuple[int, ...]] = {}  # by env SEP service

    def govern(
        self,
        findings: Iterable[Finding],
        states: Mapping[str, AlertState],
        evidence: Mapping[str, float],
    ) -> list[Finding]:
        """The findings as they may open alerts.

        Args:
            findings: of one tick.
            states: alert states by fingerprint.
            evidence: rule -> the tail probability it asks for; a rule without one is not governed.
        """
        return [self._governed(finding, states, evidence) for finding in findings]

    def _governed(
        self, finding: Finding, states: Mapping[str, AlertState], evidence: Mapping[str, float]
    ) -> Finding:
        if not finding.breach or finding.p is None:
            return finding
        key = fingerprint_of(finding.rule, finding.group)
        state = states.get(key)
        is_open = state is not None and state.is_open()
        before = finding.window * 1_000
        if not is_open and finding.rule in evidence:
            openings = _count(self._opened.get(key, ()), before, self._budget.days * _DAY_MS)
            allowed = self._budget.factor * self._budget.episodes_a_day * self._budget.days
            stricter = min(max(0, openings - int(allowed)), _MOST)
            if finding.p > evidence[finding.rule] * 10.0**-stricter and stricter:
                return replace(finding, breach=False)
        paging = finding.severity == "critical" and not (
            is_open and state is not None and state.severity == "critical"
        )
        if paging:
            paged = _count(self._paged.get(_service(finding), ()), before, _DAY_MS)
            if paged >= self._budget.pages_a_day:
                return replace(finding, severity="warning", summary=finding.summary + SPENT)
        return finding

    def update(self, events: Iterable[AlertEvent]) -> bytes | None:
        """Count the openings among these events; the blob if anything changed."""
        changed = False
        for event in events:
            if event.p is None:
                continue
            if event.reason is AlertReason.ACKNOWLEDGED:
                left = self._opened.get(event.fingerprint, ())[:-1]
                self._opened[event.fingerprint] = left
                changed = True
            elif event.reason in _OPENINGS and event.status == "firing":
                if event.reason is not AlertReason.ESCALATED:
                    _note(self._opened, event.fingerprint, event.at, self._budget.days * _DAY_MS)
                if event.severity == "critical":
                    _note(self._paged, SEP.join((event.env, event.service)), event.at, _DAY_MS)
                changed = True
        if not changed:
            return None
        tables = (sorted(self._opened.items()), sorted(self._paged.items()))
        return msgspec.msgpack.encode((VERSION, *tables))

    def restore(self, raw: bytes) -> None:
        """From a blob. Raises ValueError when it is not one of this version."""
        table = list[tuple[str, tuple[int, ...]]]
        version, opened, paged = msgspec.msgpack.decode(raw, type=tuple[int, table, table])
        if version != VERSION:
            raise ValueError(f"a governor of version {version}; this release reads {VERSION}")
        self._opened, self._paged = dict(opened), dict(paged)


def _count(times: tuple[int, ...], before_ms: int, within_ms: int) -> int:
    return sum(before_ms - within_ms <= at < before_ms for at in times)


def _note(table: dict[str, tuple[int, ...]], key: str, at_ms: int, keep_ms: int) -> None:
    """Add an opening, and drop all of the table that are too old."""
    table[key] = (*table.get(key, ()), at_ms)
    for name, times in list(table.items()):
        if not times or times[-1] < at_ms - 2 * keep_ms:
            del table[name]
        elif times[0] < at_ms - 2 * keep_ms:
            table[name] = tuple(at for at in times if at >= at_ms - 2 * keep_ms)


def _service(finding: Finding) -> str:
    return SEP.join(split_series(finding.series)[1][:2])
