"""The fleet of tests/quality does what a fault says, and what the demo's does."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from quality.fleet import Fleet
from tocsin.demo import fleet
from tocsin.demo.conditions import DAY, MONDAY, Conditions, Fault, Service
from tocsin.demo.incidents import MINUTE_MS, Incident
from tocsin.demo.profiles import FLEET
from tocsin.flow.baseline.stats import sketch
from tocsin.types import WindowFrame, split_series


def spent_us(frames: list[WindowFrame], view: str, last: str = "") -> float:
    """Sum of all durations of a view, within the sketch's 1 %."""
    total = 0.0
    for frame in frames:
        mine = [
            split_series(name)[0] == view and (not last or split_series(name)[1][-1] == last)
            for name in frame.series
        ]
        for row, at, count in zip(frame.owner, frame.field, frame.value, strict=True):
            name = frame.fields[at]
            if mine[row] and name.startswith("d:"):
                total += float(count) * np.exp(sketch.LOG_GAMMA * (int(name[2:]) - 0.5))
    return total


@pytest.mark.parametrize("part", [0.5, 0.85])
def test_a_fault_of_a_stage_makes_it_that_part_of_run_time(part: float) -> None:
    service = Service("a", rate=200.0, daily=0.0, bursts=0.0, wander=0.0)
    windows = Fleet([service], [Fault("stage", "a", 0, 9, part)], seed=3)
    frames = [windows.frame(i) for i in range(3)]
    of_runs = spent_us(frames, "steps_by_stage", "retrieve") / spent_us(frames, "runs_by_service")
    assert of_runs == pytest.approx(part, abs=0.03)


def test_windows_and_spans_follow_the_same_conditions() -> None:
    origin_ms, minutes = MONDAY * 1_000 + 9 * 3_600_000, 60
    profile = FLEET[0]
    spike = Incident(
        "spike", profile.service, origin_ms + 30 * MINUTE_MS, origin_ms + 60 * MINUTE_MS, 4.0
    )
    batch = fleet.Fleet(3, [spike], [profile], origin_ms).spans(
        origin_ms, origin_ms + 2 * minutes * MINUTE_MS
    )
    spans = [json.loads(value) for value in batch.values]
    begun = [s["start_time"] // 60_000_000_000 for s in spans if s["kind"] == "agent"
             and s["parent_id"] is None]  # fmt: skip
    counts = Counter(minute - origin_ms // MINUTE_MS for minute in begun)
    written = np.array([counts[i] for i in range(minutes)])

    begins_ms = origin_ms - DAY * MINUTE_MS
    faults = spike.faults(begins_ms)
    conditions = Conditions([profile.traffic], faults, 3, begins_ms // 1_000)
    meant = np.array([conditions.at(DAY + i)["rate"][0] for i in range(minutes)])
    windows = Fleet([profile.traffic], faults, 3, begins_ms // 1_000)
    counted = np.array([runs_of(windows.frame(DAY + i)) for i in range(minutes)])

    assert meant[30:].mean() / meant[:30].mean() == pytest.approx(4.0, rel=0.2)
    # A minute varies by a quarter; the mean of thirty, by 5 %.
    for half in (slice(0, 30), slice(30, 60)):
        assert written[half].mean() == pytest.approx(meant[half].mean(), rel=0.15)
        assert counted[half].mean() == pytest.approx(meant[half].mean(), rel=0.15)


def runs_of(frame: WindowFrame) -> int:
    return sum(
        int(count)
        for row, at, count in zip(frame.owner, frame.field, frame.value, strict=True)
        if frame.fields[at] == "n" and split_series(frame.series[row])[0] == "runs_by_service"
    )
