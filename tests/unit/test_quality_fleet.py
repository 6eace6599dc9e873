"""The fleet of tests/quality does what a fault says."""

from __future__ import annotations

import numpy as np
import pytest

from quality.fleet import Fault, Fleet, Service
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
    fleet = Fleet([service], [Fault("stage", "a", 0, 9, part)], seed=3)
    frames = [fleet.frame(i) for i in range(3)]
    of_runs = spent_us(frames, "steps_by_stage", "retrieve") / spent_us(frames, "runs_by_service")
    assert of_runs == pytest.approx(part, abs=0.03)
