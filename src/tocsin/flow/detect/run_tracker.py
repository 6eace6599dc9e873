"""All that a shard knows of runs: the rules on them, those that are waited for, and the stats.

`see` takes note of runs that moved, `judge` says what the rules say of them, `close` lets the
time of a closed window pass. What outlasts a call is in `blobs`:

    r:o:<trace>   a run that is waited for          r:b:<cell>   what runs were like
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.history.run_stats import QUANTITIES, RunStats
from tocsin.flow.detect.detector import PauseDetector, Rule, RunDetector
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.pauses import LEFT_MS, Pause, Shown, shown
from tocsin.flow.detect.runs.step_ring import ROOTS, Rings, rings
from tocsin.flow.detect.runs.waiting import Waiting
from tocsin.types import ChangedRun, Finding

_Judged = tuple[Rule, RunDetector]


@dataclass(frozen=True, slots=True)
class _Moved:
    """What a look brought, read: all that depends on the runs that moved and on nothing else."""

    runs: Sequence[ChangedRun]
    seen: Rings
    reader: Reader
    loops: Mapping[str, list[Finding]]  # rule id -> what it says of all runs
    shown: Sequence[Shown]


def _read(
    runs: Sequence[ChangedRun], labels: Mapping[str, str], loops: Sequence[_Judged], stats: RunStats
) -> _Moved:
    """Raises ValueError: a run's state is not a RUN_HEADER and whole STEPs."""
    seen, reader = rings(runs), Reader(labels)
    found = {
        rule.id: detector.judge(rule, seen, reader, stats) if seen.traces else []
        for rule, detector in loops
    }
    ended = seen.count(ROOTS[seen.steps["kind"]]) > 0
    looped = {f.traces[0] for said in found.values() for f in said if f.breach}
    looped &= {seen.traces[i] for i in np.flatnonzero(ended).tolist()} if looped else set()
    return _Moved(runs, seen, reader, found, shown(seen, reader, looped))


class RunTracker:
    """See the module. One a shard."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._judged = [(r, r.judged_by) for r in rules if isinstance(r.judged_by, RunDetector)]
        self._loops = [(rule, by) for rule, by in self._judged if by.finds_loops]
        self._limits = [(rule.effect, by.limit) for rule, by in self._judged if by.limit]
        self._paused = [(r, r.judged_by) for r in rules if isinstance(r.judged_by, PauseDetector)]
        self._waiting = Waiting()
        self.stats = RunStats()
        self._closed_ms = 0
        self._moved: _Moved | None = None

    def restore(self, blobs: Mapping[str, bytes], closed_ms: int) -> None:
        """Take up what was saved when the windows up to `closed_ms` had been closed.

        Raises:
            ValueError: a blob of another version.
        """
        self._waiting.restore(blobs)
        self.stats.restore(blobs)
        self._closed_ms = closed_ms

    def see(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> None:
        """Take note of runs that moved. Must come before the windows of their steps close."""
        if runs:
            moved = self._look(runs, labels)
            self._waiting.see(moved.seen.traces, moved.shown, self._closed_ms)

    def judge(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> list[Finding]:
        """What the rules say of runs that moved.

        `labels` maps STEP.label, as 16 hex digits, to its names; a missing one reads `_none`.

        Raises:
            ValueError: a run's state is not a RUN_HEADER and whole STEPs.
            RuleError: a rule has a key nobody reads.
        """
        if not runs:
            return []
        self.see(runs, labels)
        moved, self._moved = self._look(runs, labels), None
        findings: list[Finding] = []
        for rule, detector in self._judged:
            known = moved.loops.get(rule.id)
            if known is None and moved.seen.traces:
                known = detector.judge(rule, moved.seen, moved.reader, self.stats)
            findings += known or ()
        return findings

    def _look(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> _Moved:
        """A look that is seen, then judged when windows have closed, is read once."""
        if self._moved is None or self._moved.runs is not runs:
            self._moved = _read(runs, labels, self._loops, self.stats)
        return self._moved

    def close(self, end_ms: int) -> list[Finding]:
        """Pass the time up to a window's end; what the rules say of runs that stand still."""
        since_ms, self._closed_ms = self._closed_ms, max(self._closed_ms, end_ms)
        unended = self._waiting.pass_time(since_ms, end_ms, self.stats, self._broke, self._patience)
        return [
            finding
            for rule, detector in self._paused
            for finding in detector.judge(rule, unended, since_ms, end_ms, self.stats)
        ]

    def blobs(self) -> dict[str, bytes | None]:
        """What has changed since the last call; None deletes a blob."""
        return {**self._waiting.blobs(), **self.stats.blobs(self._closed_ms)}

    def _patience(self, pause: Pause) -> int:
        waits = [by.limit_ms(rule, pause, self.stats) for rule, by in self._paused]
        return max([LEFT_MS, *waits])

    def _broke(self, pause: Pause) -> bool:
        """Whether a run that is over went beyond what is known of its kind."""
        for quantity, value in zip(QUANTITIES, pause.values, strict=True):
            level = self.stats.level(pause.since_ms, pause.env, pause.service, quantity)
            for effect, limit in self._limits if level else ():
                if value > limit(effect, quantity, level):
                    return True
        return False
