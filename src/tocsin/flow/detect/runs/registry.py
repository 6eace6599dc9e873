"""Runs to findings: one module a detector, and the table that names them.

Every detector reads the rings a look brought and tells each threshold at the event time at
which it first held, anew each time: findings depend on the steps only, never on how many
arrived at once, and lifecycle forgets what it knows already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tocsin.flow.baseline.history.run_stats import RunStats
from tocsin.flow.detect.runs import burn, depth, fan_out, loop
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.run_settings import RunRule
from tocsin.flow.detect.runs.step_ring import Rings
from tocsin.types import Finding

Judge = Callable[[RunRule, Rings, Reader, RunStats], list[Finding]]


def _loop(rule: RunRule, seen: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    del stats  # a loop is one whatever other runs did
    return loop.judge(rule, seen, reader)


#: Detector -> how it judges the runs that moved. `orphan` is not here: it judges those that
#: did not, when a window closes.
RUNS: Mapping[str, Judge] = {
    "loop": _loop,
    "depth": depth.judge,
    "fan_out": fan_out.judge,
    "burn": burn.judge,
}


def judge_seen(rule: RunRule, seen: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """What one of these rules says of the runs of a look.

    Without a level in the `stats` nothing is known of other runs, and only absolute limits hold.

    Raises:
        RuleError: the rule has a key nobody reads.
    """
    return RUNS[rule.detector](rule, seen, reader, stats) if seen.traces else []
