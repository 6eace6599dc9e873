"""The runs of a shard: findings of the rules on them, runs that stand still, and statistics.

`see` takes in runs that moved, `judge` gives the findings of the rules on them, and `close` those
of runs that stand still when a window closes. State that outlasts a call is in `blobs`:

    r:o:<trace>   a run that stands still           r:b:<cell>   statistics of runs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.history.run_stats import QUANTITIES, RunStats
from tocsin.flow.detect.detector import PauseDetector, Rule, RunDetector
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.pauses import LEFT_MS, Pause, RunPauses, pauses_of
from tocsin.flow.detect.runs.step_ring import ROOTS, Rings, read_rings
from tocsin.flow.detect.runs.waiting import WaitingRuns
from tocsin.types import ChangedRun, Finding


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The runs that moved, unpacked, and what is found in them alone."""

    runs: Sequence[ChangedRun]
    rings: Rings
    reader: Reader
    loops: Mapping[str, list[Finding]]  # rule id -> its findings of all runs
    pauses: Sequence[RunPauses]  # aligned with the traces of `rings`


class RunTracker:
    """See the module. One a shard."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._judged = [(r, r.judged_by) for r in rules if isinstance(r.judged_by, RunDetector)]
        self._loops = [(rule, by) for rule, by in self._judged if by.finds_loops]
        self._limits = [(rule.effect, by.limit) for rule, by in self._judged if by.limit]
        self._paused = [(r, r.judged_by) for r in rules if isinstance(r.judged_by, PauseDetector)]
        self._waiting = WaitingRuns()
        self.stats = RunStats()
        self._closed_ms = 0
        self._snapshot: _Snapshot | None = None

    def restore(self, blobs: Mapping[str, bytes], closed_ms: int) -> None:
        """Restore what was saved when the windows up to `closed_ms` had been closed.

        Raises:
            ValueError: a blob of another version.
        """
        self._waiting.restore(blobs)
        self.stats.restore(blobs)
        self._closed_ms = closed_ms

    def see(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> None:
        """Take in runs that moved. Must come before the windows of their steps close."""
        if runs:
            snapshot = self._read(runs, labels)
            self._waiting.see(snapshot.rings.traces, snapshot.pauses, self._closed_ms)

    def judge(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> list[Finding]:
        """Findings of the rules on runs that moved.

        `labels` maps STEP.label, as 16 hex digits, to its names; a missing one reads `_none`.

        Raises:
            ValueError: a run's state is not a RUN_HEADER and whole STEPs.
            RuleError: a rule has a key nobody reads.
        """
        if not runs:
            return []
        self.see(runs, labels)
        snapshot, self._snapshot = self._read(runs, labels), None
        findings: list[Finding] = []
        for rule, detector in self._judged:
            known = snapshot.loops.get(rule.id)
            if known is None and snapshot.rings.traces:
                known = detector.judge(rule, snapshot.rings, snapshot.reader, self.stats)
            findings += known or ()
        return findings

    def _read(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> _Snapshot:
        """The same runs are seen, then judged when windows have closed: they are read once."""
        if self._snapshot is not None and self._snapshot.runs is runs:
            return self._snapshot
        rings, reader = read_rings(runs), Reader(labels)
        found = {
            rule.id: detector.judge(rule, rings, reader, self.stats) if rings.traces else []
            for rule, detector in self._loops
        }
        ended = rings.count(ROOTS[rings.steps["kind"]]) > 0
        looped = {f.traces[0] for findings in found.values() for f in findings if f.breach}
        looped &= {rings.traces[i] for i in np.flatnonzero(ended).tolist()} if looped else set()
        self._snapshot = _Snapshot(runs, rings, reader, found, pauses_of(rings, reader, looped))
        return self._snapshot

    def close(self, end_ms: int) -> list[Finding]:
        """Let event time pass up to a window's end; findings of runs that stand still."""
        since_ms, self._closed_ms = self._closed_ms, max(self._closed_ms, end_ms)
        unended = self._waiting.pass_time(
            since_ms, end_ms, self.stats, self._exceeds_limit, self._longest_wait_ms
        )
        return [
            finding
            for rule, detector in self._paused
            for finding in detector.judge(rule, unended, since_ms, end_ms, self.stats)
        ]

    def blobs(self) -> dict[str, bytes | None]:
        """What has changed since the last call; None deletes a blob."""
        return {**self._waiting.blobs(), **self.stats.blobs(self._closed_ms)}

    def _longest_wait_ms(self, pause: Pause) -> int:
        """How long a run may stand still before the last orphan rule has judged it."""
        waits = [by.limit_ms(rule, pause, self.stats) for rule, by in self._paused]
        return max([LEFT_MS, *waits])

    def _exceeds_limit(self, pause: Pause) -> bool:
        """Whether a run that is over exceeds a limit of some rule."""
        for quantity, value in zip(QUANTITIES, pause.values, strict=True):
            level = self.stats.level(pause.since_ms, pause.env, pause.service, quantity)
            for effect, limit in self._limits if level else ():
                if value > limit(effect, quantity, level):
                    return True
        return False
