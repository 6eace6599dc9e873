"""Runs to findings: one module a detector, and the table that names them.

Every detector reads the rings a look brought and tells each threshold at the event time at
which it first held, anew each time: findings depend on the steps only, never on how many
arrived at once, and lifecycle forgets what it knows already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tocsin.flow.grade.books.run_book import RunBook
from tocsin.flow.judge.runs import burn, depth, fan_out, loop
from tocsin.flow.judge.runs.names import Reader
from tocsin.flow.judge.runs.ring import Rings, rings
from tocsin.flow.judge.runs.settings import RunRule
from tocsin.types import ChangedRun, Finding

Judge = Callable[[RunRule, Rings, Reader, RunBook], list[Finding]]


def _loop(rule: RunRule, seen: Rings, reader: Reader, book: RunBook) -> list[Finding]:
    del book  # a loop is one whatever other runs did
    return loop.judge(rule, seen, reader)


#: Detector -> how it judges the runs that moved. `orphan` is not here: it judges those that
#: did not, when a window closes.
RUNS: Mapping[str, Judge] = {
    "loop": _loop,
    "depth": depth.judge,
    "fan_out": fan_out.judge,
    "burn": burn.judge,
}


def judge_runs(
    rules: Sequence[RunRule],
    runs: Sequence[ChangedRun],
    labels: Mapping[str, str],
    book: RunBook | None = None,
) -> list[Finding]:
    """What the rules on runs say of the runs that moved; rules of other detectors are left out.

    `labels` maps STEP.label, as 16 hex digits, to its names; a missing one reads `_none`.
    Without a `book` nothing is known of other runs, and only absolute limits hold.

    Raises:
        ValueError: a run's state is not a RUN_HEADER and whole STEPs.
        RuleError: a rule has a key nobody reads.
    """
    judged = [rule for rule in rules if rule.detector in RUNS]
    if not runs or not judged:
        return []
    seen, reader, known = rings(runs), Reader(labels), book or RunBook()
    findings: list[Finding] = []
    for rule in judged:
        findings += judge_seen(rule, seen, reader, known)
    return findings


def judge_seen(rule: RunRule, seen: Rings, reader: Reader, book: RunBook) -> list[Finding]:
    """What one of these rules says of the runs of a look.

    Raises:
        RuleError: the rule has a key nobody reads.
    """
    return RUNS[rule.detector](rule, seen, reader, book) if seen.traces else []
