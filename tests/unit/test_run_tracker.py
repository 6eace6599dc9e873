"""Laws of what a shard knows of runs: however the log is cut, wherever it restarts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.runs import EPOCH_MS, run_case, steps_of
from tocsin.flow.rule_tests.series import frame_of
from tocsin.flow.shard import Evaluated, ShardEvaluator
from tocsin.store.memory import merge_run
from tocsin.types import STEP, ChangedRun, RunDelta

RUN_RULES = tuple(
    rule for rule in load_rules() if rule.detector in {"loop", "depth", "fan_out", "burn", "orphan"}
)
LATENESS_MS = 30_000
HOUR_MS = 3_600_000

#: What runs of the service are like, and what some of them come to.
USUAL = ["llm read(1)=a llm end", "a{ llm b{ llm } } read(2)=b end", "llm look(3)=c +200 llm end"]
ODD = [
    "a{ b{ c{ d{ e{ llm } } } } } end",
    "llm fetch x15 llm end",
    "llm read(1)=a +2400 llm read(2)=b end",
    "llm read(1)=a",
    "[llm:900 a=1 llm:901 b=2 llm:902 c=3 a=1] x9 end",
    "[llm search(q)=none] x9 read(1)=a read(2)=b end",
    "a>b llm b>c llm c>d llm d>e llm end",
    "llm job(1)=x +4000 llm job(2)=y +4000 llm",
    "[llm a=1 llm b=2] x20 +1000 llm end",
]


class Log:
    """Every step of a day's runs in order of time, and the store they are merged into."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.rows: list[tuple[int, str, np.ndarray]] = []
        self.labels: dict[str, str] = {}
        for i in range(110):
            self._add(f"before-{i}", rng.choice(USUAL), 4_000 * i)
        for i in range(40):
            text = ODD[i] if i < len(ODD) else rng.choice(ODD + 2 * USUAL)
            self._add(f"after-{i}", text, 8 * HOUR_MS + rng.randrange(HOUR_MS))
        self.rows.sort(key=lambda row: row[0])

    def _add(self, trace: str, text: str, late_ms: int) -> None:
        run, labels = run_case(text, trace_id=trace)
        steps = steps_of(run).copy()
        steps["end_ms"] += late_ms
        self.labels |= labels
        self.rows += [(int(step["end_ms"]), trace, np.array([step], STEP)) for step in steps]

    def ticks(self, sizes: Iterator[int]) -> Iterator[tuple[list[ChangedRun], int, int]]:
        """(runs that moved, event time reached, watermark) of each flush of the log."""
        held: dict[str, bytes] = {}
        at = reached = 0
        while at < len(self.rows):
            part = self.rows[at : at + next(sizes)]
            at += len(part)
            moved: dict[str, None] = {}
            for end_ms, trace, step in part:
                tokens = int(step["tokens"][0])
                first_ms = end_ms - 1_000
                delta = RunDelta(trace, 1, tokens, tokens * 1_000, first_ms, step.tobytes())
                held[trace] = merge_run(held.get(trace), delta)
                moved[trace] = None
                reached = max(reached, end_ms)
            mark = reached + 2 * HOUR_MS if at == len(self.rows) else reached - LATENESS_MS
            yield [ChangedRun(trace, held[trace]) for trace in moved], max(reached, mark), mark


def windows() -> list[int]:
    """Starts of the windows that are closed, s: the mornings' and the evenings'."""
    start = EPOCH_MS // 60_000 * 60
    return [start + 60 * i for i in range(700) if i < 30 or 478 <= i < 680]


def told(log: Log, sizes: Iterator[int], restart_every: int = 0) -> list[AlertEvent]:
    """Events of the log, cut into flushes of these sizes, restarted every so many ticks."""
    evaluator, blobs = ShardEvaluator(RUN_RULES, DetectSettings()), dict[str, bytes]()
    events: list[AlertEvent] = []

    def keep(result: Evaluated) -> None:
        events.extend(result.events)
        for key, value in result.blobs.items():
            if value is None:
                blobs.pop(key, None)
            else:
                blobs[key] = value

    left = windows()
    for number, (runs, reached, mark) in enumerate(log.ticks(sizes)):
        if restart_every and number % restart_every == 0:
            evaluator = ShardEvaluator(RUN_RULES, DetectSettings())
            evaluator.restore(blobs)
        evaluator.detector.note_runs(runs, log.labels)
        while left and (left[0] + 60) * 1_000 <= mark:
            keep(evaluator.evaluate_window(frame_of(left[0], 60, {})))
            del left[0]
        keep(evaluator.evaluate_open([], runs, log.labels, reached))
    return events


def each(rng: random.Random, most: int) -> Iterator[int]:
    while True:
        yield rng.randint(1, most)


def story(events: list[AlertEvent]) -> list[bytes]:
    """What is told of each alert, in order; alerts of one instant in any order."""
    return [e.encode() for e in sorted(events, key=lambda e: (e.fingerprint, e.at, e.sequence))]


@pytest.mark.parametrize("seed", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_events_do_not_depend_on_how_the_log_is_cut_or_where_it_restarts(seed: int) -> None:
    log, rng = Log(seed), random.Random(seed)
    one = told(log, each(rng, 1))
    assert {e.rule for e in one} == {rule.id for rule in RUN_RULES}
    assert story(told(log, each(rng, 40))) == story(one)
    assert story(told(log, each(rng, 20), restart_every=7)) == story(one)
    assert story(told(log, each(rng, 40), restart_every=1)) == story(one)
