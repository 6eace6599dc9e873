"""One shard: detect, advance the alerts, update the baselines. In that order, for each window.

Live watch, replay and the tests inside rule files all run this class. The same frames give the
same events byte for byte, also after a restore: whatever outlasts a call is in blobs, see
`detect/shard_detector.py` and `alerts/table.py` for their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.flow.alerts import AlertTable, Budget
from tocsin.flow.alerts.annotate import ChangeTable, explains
from tocsin.flow.alerts.contract import OPEN, AlertEvent
from tocsin.flow.detect.detector import Rule, with_configuration
from tocsin.flow.detect.shard_detector import DetectSettings, Explained, Observer, ShardDetector
from tocsin.flow.policies import policies_of
from tocsin.types import ChangedRun, ChangedSeries, Finding, Snapshot, WindowFrame


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation gives: events to publish, and blobs to save (None deletes one)."""

    events: tuple[AlertEvent, ...] = ()
    blobs: Mapping[str, bytes | None] = field(default_factory=dict)

    @classmethod
    def total(cls, steps: Iterable[Evaluated]) -> Evaluated:
        """Several in order as one: all events, and the last of each blob."""
        events: list[AlertEvent] = []
        blobs: dict[str, bytes | None] = {}
        for step in steps:
            events += step.events
            blobs |= step.blobs
        return cls(tuple(events), blobs)


class ShardEvaluator:
    """See the module.

    Args:
        rules: as loaded; what the configuration adds to their options is added here.
        settings: of detection.
        budget: how many alerts may be false before statistical rules need more evidence.
        observer: receives each closed window before it is judged.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        settings: DetectSettings,
        budget: Budget | None = None,
        observer: Observer | None = None,
    ) -> None:
        prepared = tuple(with_configuration(rule, settings) for rule in rules)
        evidence = {rule.id: rule.evidence["p"] for rule in prepared if "p" in rule.evidence}
        self.detector = ShardDetector(prepared, settings, observer)
        self.alerts = AlertTable(policies_of(prepared, settings.window_s), budget, evidence)

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take up what an earlier owner saved; only before the first window.

        Raises:
            ValueError: a blob of another version.
        """
        self.detector.restore(blobs)
        self.alerts.restore(blobs)

    def evaluate(
        self,
        snapshot: Snapshot,
        frames: Sequence[WindowFrame],
        labels: Mapping[str, str],
        changes: ChangeTable | None = None,
        *,
        catches_up: bool = False,
    ) -> Evaluated:
        """One tick: the closed windows in order, then what moved in open ones and in runs.

        Args:
            snapshot: what the store holds of the shard.
            frames: the windows that are closed now, in order.
            labels: STEP.label, as 16 hex digits -> its names.
            changes: recent changes: they may explain a level shift.
            catches_up: further windows can be closed after these. What moved waits for the tick
                that closes the last, so that it is judged by all that is known by then.
        """
        if frames and snapshot.runs:
            self.detector.note_runs(snapshot.runs, labels)
        steps = [self.evaluate_window(frame, changes) for frame in frames]
        if (snapshot.changed or snapshot.runs) and not catches_up:
            now_ms = _reached_ms(snapshot)
            steps.append(self.evaluate_open(snapshot.changed, snapshot.runs, labels, now_ms))
        return Evaluated.total(steps)

    def evaluate_window(self, frame: WindowFrame, changes: ChangeTable | None = None) -> Evaluated:
        """Judge a closed window, move the alerts by it, then add it to the baselines."""
        found = self.detector.detect_window(frame, self.alerts.groups(), self.alerts.groups(OPEN))
        events, blobs = self._advance(found.findings, (frame.start + frame.seconds) * 1_000)
        acknowledged = self.alerts.groups({"acknowledged"})
        updates = self.detector.update(found, acknowledged, _explained_by(changes))
        return Evaluated(events, {**found.blobs, **blobs, **updates})

    def evaluate_open(
        self,
        changed: Sequence[ChangedSeries],
        runs: Sequence[ChangedRun],
        labels: Mapping[str, str],
        now_ms: int,
    ) -> Evaluated:
        """Judge what needs no closed window: counters that can only grow, and runs."""
        found = self.detector.detect_open(changed, runs, labels, self.alerts.groups(OPEN))
        events, blobs = self._advance(found.findings, now_ms)
        return Evaluated(events, {**found.blobs, **blobs})

    def evaluate_lag(self, low_ms: int, now_ms: int, after_ms: int) -> Evaluated:
        """Judge our own lag: the low watermark `low_ms` against the clock `now_ms`, epoch ms."""
        finding = self.alerts.lag_finding(low_ms, now_ms, after_ms)
        if finding is None:
            return Evaluated()
        return Evaluated(*self._advance([finding], self.alerts.now_ms))

    def _advance(
        self, findings: Sequence[Finding], now_ms: int
    ) -> tuple[tuple[AlertEvent, ...], dict[str, bytes | None]]:
        return self.alerts.advance(
            findings,
            now_ms,
            closed_ms=self.detector.closed_ms,
            runs_judged=self.detector.runs_judged,
        )


def _explained_by(changes: ChangeTable | None) -> Explained:
    """Whether one of these changes explains a new level."""

    def explained(env: str, service: str, since: int, now: int) -> bool:
        return changes is not None and explains(changes, env, service, since * 1_000, now * 1_000)

    return explained


def _reached_ms(snapshot: Snapshot) -> int:
    """The event time the log has reached: what counts as now for open windows and runs."""
    return max((p.high_ms for p in snapshot.positions.values() if p.high_ms is not None), default=0)
