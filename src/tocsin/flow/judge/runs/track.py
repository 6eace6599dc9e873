"""All that a shard knows of runs: the rules on them, those that are waited for, and the book.

`see` takes note of runs that moved, `judge` says what the rules say of them, `close` lets the
time of a closed window pass. What outlasts a call is in `blobs`:

    r:o:<trace>   a run that is waited for          r:b:<cell>   what runs were like
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tocsin.flow.grade.books.run_book import QUANTITIES, RunBook
from tocsin.flow.judge.rules import RuleSpec
from tocsin.flow.judge.runs import burn, depth, fan_out, orphan
from tocsin.flow.judge.runs.judge import RUNS, judge_runs
from tocsin.flow.judge.runs.names import Reader
from tocsin.flow.judge.runs.ring import ROOTS, rings
from tocsin.flow.judge.runs.waiting import LEFT_MS, Pause, Waiting
from tocsin.types import ChangedRun, Finding

#: Detector -> the limit that it holds one quantity of a run against, if anything is known.
_LIMITS: Final = {"depth": depth.limit, "fan_out": fan_out.limit, "burn": burn.limit}


class RunTrack:
    """See the module. One a shard."""

    def __init__(self, rules: Sequence[RuleSpec]) -> None:
        self.rules = [rule for rule in rules if rule.detector in RUNS]
        self._loops = [rule for rule in self.rules if rule.detector == "loop"]
        self._orphans = [rule for rule in rules if rule.detector == "orphan"]
        self._limits = [rule for rule in self.rules if rule.detector in _LIMITS]
        self._waiting = Waiting()
        self.book = RunBook()
        self._closed_ms = 0

    def restore(self, blobs: Mapping[str, bytes], closed_ms: int) -> None:
        """Take up what was saved when the windows up to `closed_ms` had been closed.

        Raises:
            ValueError: a blob of another version.
        """
        self._waiting.restore(blobs)
        self.book.restore(blobs)
        self._closed_ms = closed_ms

    def see(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> None:
        """Take note of runs that moved. Must come before the windows of their steps close."""
        if not runs:
            return
        seen = rings(runs)
        if seen.traces:
            over = seen.count(ROOTS[seen.steps["kind"]]) > 0
            ended = [seen.runs[i] for i in over.nonzero()[0].tolist()]
            found = judge_runs(self._loops, ended, labels)
            looped = {finding.traces[0] for finding in found if finding.breach}
            self._waiting.see(seen, Reader(labels), looped, self._closed_ms)

    def judge(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> list[Finding]:
        """What the rules say of runs that moved."""
        self.see(runs, labels)
        return judge_runs(self.rules, runs, labels, self.book)

    def close(self, end_ms: int) -> list[Finding]:
        """Pass the time up to a window's end; what the rules say of runs that stand still."""
        since_ms, self._closed_ms = self._closed_ms, max(self._closed_ms, end_ms)
        unended = self._waiting.pass_time(since_ms, end_ms, self.book, self._broke, self._patience)
        return [
            finding
            for rule in self._orphans
            for finding in orphan.judge(rule, unended, since_ms, end_ms, self.book)
        ]

    def blobs(self) -> dict[str, bytes | None]:
        """What has changed since the last call; None deletes a blob."""
        return {**self._waiting.blobs(), **self.book.blobs(self._closed_ms)}

    def _patience(self, pause: Pause) -> int:
        waits = [orphan.limit_ms(rule, pause, self.book) for rule in self._orphans]
        return max([LEFT_MS, *waits])

    def _broke(self, pause: Pause) -> bool:
        """Whether a run that is over went beyond what is known of its kind."""
        for quantity, value in zip(QUANTITIES, pause.values, strict=True):
            level = self.book.level(pause.since_ms, pause.env, pause.service, quantity)
            for rule in self._limits if level else ():
                if value > _LIMITS[rule.detector](rule.effect, quantity, level):
                    return True
        return False
