"""All that a shard knows of runs: the rules on them, those that are waited for, and the stats.

`see` takes note of runs that moved, `judge` says what the rules say of them, `close` lets the
time of a closed window pass. What outlasts a call is in `blobs`:

    r:o:<trace>   a run that is waited for          r:b:<cell>   what runs were like
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.run_stats import QUANTITIES, RunStats
from tocsin.flow.detect.runs import burn, depth, fan_out, loop, orphan
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.pauses import LEFT_MS, Pause, Shown, shown
from tocsin.flow.detect.runs.registry import RUNS, judge_seen
from tocsin.flow.detect.runs.step_ring import ROOTS, Rings, rings
from tocsin.flow.detect.runs.waiting import Waiting
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import ChangedRun, Finding

#: Detector -> the limit that it holds one quantity of a run against, if anything is known.
_LIMITS: Final = {"depth": depth.limit, "fan_out": fan_out.limit, "burn": burn.limit}


@dataclass(frozen=True, slots=True)
class _Moved:
    """What a look brought, read: all that depends on the runs that moved and on nothing else."""

    runs: Sequence[ChangedRun]
    seen: Rings
    reader: Reader
    loops: Mapping[str, list[Finding]]  # rule id -> what it says of all runs
    shown: Sequence[Shown]


def _read(
    runs: Sequence[ChangedRun], labels: Mapping[str, str], loops: Sequence[RuleSpec]
) -> _Moved:
    """Raises ValueError: a run's state is not a RUN_HEADER and whole STEPs."""
    seen, reader = rings(runs), Reader(labels)
    found = {rule.id: loop.judge(rule, seen, reader) for rule in loops}
    ended = seen.count(ROOTS[seen.steps["kind"]]) > 0
    looped = {f.traces[0] for said in found.values() for f in said if f.breach}
    looped &= {seen.traces[i] for i in np.flatnonzero(ended).tolist()} if looped else set()
    return _Moved(runs, seen, reader, found, shown(seen, reader, looped))


class RunTracker:
    """See the module. One a shard."""

    def __init__(self, rules: Sequence[RuleSpec]) -> None:
        self.rules = [rule for rule in rules if rule.detector in RUNS]
        self._loops = [rule for rule in self.rules if rule.detector == "loop"]
        self._orphans = [rule for rule in rules if rule.detector == "orphan"]
        self._limits = [rule for rule in self.rules if rule.detector in _LIMITS]
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
        for rule in self.rules:
            known = moved.loops.get(rule.id)
            if known is None:
                known = judge_seen(rule, moved.seen, moved.reader, self.stats)
            findings += known
        return findings

    def _look(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> _Moved:
        """A look that is seen, then judged when windows have closed, is read once."""
        if self._moved is None or self._moved.runs is not runs:
            self._moved = _read(runs, labels, self._loops)
        return self._moved

    def close(self, end_ms: int) -> list[Finding]:
        """Pass the time up to a window's end; what the rules say of runs that stand still."""
        since_ms, self._closed_ms = self._closed_ms, max(self._closed_ms, end_ms)
        unended = self._waiting.pass_time(since_ms, end_ms, self.stats, self._broke, self._patience)
        return [
            finding
            for rule in self._orphans
            for finding in orphan.judge(rule, unended, since_ms, end_ms, self.stats)
        ]

    def blobs(self) -> dict[str, bytes | None]:
        """What has changed since the last call; None deletes a blob."""
        return {**self._waiting.blobs(), **self.stats.blobs(self._closed_ms)}

    def _patience(self, pause: Pause) -> int:
        waits = [orphan.limit_ms(rule, pause, self.stats) for rule in self._orphans]
        return max([LEFT_MS, *waits])

    def _broke(self, pause: Pause) -> bool:
        """Whether a run that is over went beyond what is known of its kind."""
        for quantity, value in zip(QUANTITIES, pause.values, strict=True):
            level = self.stats.level(pause.since_ms, pause.env, pause.service, quantity)
            for rule in self._limits if level else ():
                if value > _LIMITS[rule.detector](rule.effect, quantity, level):
                    return True
        return False
