"""Grade, judge, advance and learn of one shard with 10,000 series: microseconds a series-window.

    python tests/bench/bench_detect.py [series]

Goal: 20 us a series-window for grade and judge (design, section 14), all steps included here;
and of runs, 5 us a step for all rules on them together.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from tocsin.flow.baseline.frames import sum_by_key
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.run_tracker import RunTracker
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.runs import run_case, steps_of
from tocsin.flow.rule_tests.series import EPOCH
from tocsin.flow.rule_tests.stored_hours import blobs_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import RUN_HEADER, RUN_VERSION, ChangedRun, WindowFrame, join_series

_VIEWS = (
    ("runs_by_service", ()),
    ("runs_by_agent", ("agent",)),
    ("calls_by_service", ()),
    ("calls_by_agent", ("agent",)),
    ("calls_by_model", ("model",)),
    ("calls_by_route_model", ("route", "model")),
)
_BUCKETS = 700


def series_names(count: int) -> tuple[str, ...]:
    """A mix of views: of ten series two are wholes and eight are parts."""
    names = []
    for i in range(-(-count // 12)):
        service = ("prod", f"service-{i}")
        for view, dims in _VIEWS:
            parts = range(1 if not dims else 2 if len(dims) == 2 else 3)
            names += [join_series(view, *service, *(f"{d}-{p}" for d in dims)) for p in parts]
    return tuple(names[:count])


def frame(names: tuple[str, ...], start: int, rng: np.random.Generator) -> WindowFrame:
    """A window in which every series has events, tokens and cost, and its distributions:

    some 24 durations, and of model calls 12 first tokens and 24 token counts.
    """
    size = len(names)
    fields = ("n", "in", "out", "cost", *(f"d:{b}" for b in range(500, 500 + _BUCKETS)))
    fields += tuple(f"{prefix}{b}" for prefix in ("t:", "k:") for b in range(400, 400 + _BUCKETS))
    n = rng.negative_binomial(20, 20 / (20 + 10), size) + 24
    plain = np.stack([n, n * 900, n * 120, n * 2_000_000], axis=1)
    buckets = 4 + np.clip(rng.normal(200, 30, (size, 24)).astype(int), 0, _BUCKETS - 1)
    owner = np.repeat(np.arange(size), 28)
    field = np.concatenate([np.tile(np.arange(4), (size, 1)), buckets], axis=1).ravel()
    value = np.concatenate([plain, np.ones((size, 24), np.int64)], axis=1).ravel()
    calls = np.flatnonzero([name.startswith("calls_") for name in names])
    for number, some in ((1, 12), (2, 24)):
        more = np.clip(rng.normal(200, 30, len(calls) * some).astype(int), 0, _BUCKETS - 1)
        owner = np.concatenate([owner, np.repeat(calls, some)])
        field = np.concatenate([field, 4 + number * _BUCKETS + more])
        value = np.concatenate([value, np.ones(len(more), np.int64)])
    key, value = sum_by_key(owner * len(fields) + field, value.astype(np.int64))
    width = len(fields)
    return WindowFrame(
        start, 60, names, fields,
        (key // width).astype(np.uint32), (key % width).astype(np.uint16), value,
    )  # fmt: skip


def past(names: tuple[str, ...], weeks: int) -> dict[str, bytes]:
    """The stored hours before the first window: every series as busy as in `frame`."""
    hour = {"n": 2_040.0, "in": 1.8e6, "out": 2.5e5, "cost": 4e9}
    series = {(name, field): [total] * 24 for name in names for field, total in hour.items()}
    return blobs_of(series, start=EPOCH, weeks=weeks, calendar=Calendar())


def main(count: int = 10_000, warm: int = 200, measured: int = 30, weeks: int = 0) -> float:
    """Mean microseconds a series-window over `measured` windows after `warm` ones."""
    rng = np.random.default_rng(1)
    names = series_names(count)
    # The hours do not tell which models were in use: all of them would be new.
    rules = [rule for rule in load_rules() if rule.id != "new_model" or not weeks]
    evaluator = ShardEvaluator(rules, DetectSettings(warmup_windows=60))
    if weeks:
        evaluator.restore(past(names, weeks))
    took = []
    events = 0
    for i in range(warm + measured):
        window = frame(names, EPOCH + i * 60, rng)
        began = time.process_time()
        result = evaluator.evaluate_window(window)
        took.append(time.process_time() - began)
        events += len(result.events)
    part = np.array(took[warm:]) / count * 1e6
    print(
        f"{count} series, {weeks} weeks known: mean {part.mean():.1f} us a series-window, median "
        f"{np.median(part):.1f}, worst (a quarter-hour closes) {part.max():.1f}; {events} events"
    )
    return float(part.mean())


def structural(count: int = 2_000, new: int = 2) -> float:
    """Mean microseconds a step of all run rules, runs moving by `new` steps a snapshot."""
    rng = np.random.default_rng(2)
    words = [
        [
            f"llm read({rng.integers(10**9)})={rng.integers(10**9)}"
            for _ in range(rng.integers(2, 11))
        ]
        for _ in range(count)
    ]
    cases = [run_case(" ".join([*w, "end"]), trace_id=f"t{i}") for i, w in enumerate(words)]
    labels = {key: name for _, part in cases for key, name in part.items()}
    track = RunTracker(load_rules())
    took, steps = 0.0, 0
    for upto in range(new, 24, new):
        moved = []
        for run, _ in cases:
            held = steps_of(run)
            if upto - new < len(held):
                part = held[:upto]
                head = (RUN_VERSION, len(part), part["tokens"].sum(), part["cost_nano"].sum(), 0)
                state = np.array(head, RUN_HEADER).tobytes() + part.tobytes()
                moved.append(ChangedRun(run.trace_id, state))
                steps += len(part) - (upto - new)
        began = time.process_time()
        for first in range(0, len(moved), 200):
            track.judge(moved[first : first + 200], labels)
        took += time.process_time() - began
    print(f"{count} runs, {new} steps a snapshot: {took / steps * 1e6:.1f} us a step")
    return took / steps * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    main(2_000, weeks=4)
    structural()
