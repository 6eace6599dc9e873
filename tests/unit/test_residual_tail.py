"""The tail a residual is rated against: incidents of the past must not make the next one usual."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.flow.baseline.residual import tail_fit

SEED = 20261123


def counted(sizes: np.ndarray) -> np.ndarray:
    """Counts [2, BINS] of sizes, all of them above."""
    counts = np.zeros((2, tail_fit.BINS))
    np.add.at(counts[0], tail_fit.place(sizes).astype(int), 1.0)
    return counts


def quiet(values: int) -> np.ndarray:
    return np.abs(np.random.default_rng(SEED).normal(size=values))


def surprise(counts: np.ndarray, size: float) -> float:
    table = tail_fit.surprises(counts[None])[:, 0]
    return float(tail_fit.look_up(table, tail_fit.place(np.array([[size]])))[0, 0])


def test_a_quiet_lesson_counts_in_full() -> None:
    lesson = counted(quiet(60))
    assert np.array_equal(tail_fit.declustered(lesson, counted(quiet(20_000))), lesson)


@pytest.mark.parametrize("length", [10, 60, 600])
def test_an_incident_counts_no_more_the_longer_it_lasts(length: int) -> None:
    known = counted(quiet(20_000))
    lesson = tail_fit.declustered(counted(np.full(length, 40.0)), known)
    assert lesson.sum() == pytest.approx(tail_fit.CLUSTER)


def test_little_known_values_count_in_full() -> None:
    lesson = counted(np.full(60, 40.0))
    assert np.array_equal(tail_fit.declustered(lesson, counted(quiet(500))), lesson)


@pytest.mark.parametrize("incidents", [1, 3])
def test_past_incidents_leave_most_of_the_surprise_of_the_next(incidents: int) -> None:
    known = counted(quiet(20_000))
    before = surprise(known, 40.0)
    for _ in range(incidents):
        known += tail_fit.declustered(counted(np.full(60, 40.0)), known)
    assert surprise(known, 40.0) > 0.7 * before


def test_a_series_that_has_such_sizes_all_the_time_is_not_surprised() -> None:
    sizes = np.abs(np.random.default_rng(SEED).standard_t(2, size=20_000))
    assert surprise(counted(sizes), 20.0) < 0.5 * surprise(counted(quiet(20_000)), 20.0)
