"""The scorers of tests/quality, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quality import kpi, kpi_fleet, nab


def sig(y: float) -> float:
    return 2 / (1 + math.exp(5 * y)) - 1


def corpus(alerts: dict[int, float], rows: int = 100) -> list[nab.Labelled]:
    """One file of 100 rows (15 of probation) with one window, rows 50 to 59."""
    scores = np.zeros(rows)
    for row, score in alerts.items():
        scores[row] = score
    return [nab.Labelled(scores, ((50, 59),), days=2.0)]


def test_the_first_row_of_the_window_is_worth_a_hundred() -> None:
    assert nab.evaluate(corpus({50: 1.0})).score == pytest.approx(100)


def test_silence_is_worth_nothing() -> None:
    found = nab.evaluate(corpus({}), threshold=0.5)
    assert (found.score, found.hits, found.false_rows) == (0, 0, 0)


def test_a_later_row_of_the_window_is_worth_less_and_only_the_earliest_counts() -> None:
    found = nab.evaluate(corpus({55: 0.9, 57: 1.0}), threshold=0.8)
    worth = sig(-5 / 10) / sig(-1)
    assert found.score == pytest.approx(100 * (worth + 1) / 2)
    assert found.hits == 1


def test_a_row_after_the_window_costs_by_its_distance_and_then_all() -> None:
    near = nab.evaluate(corpus({50: 1.0, 63: 1.0}), threshold=0.5)
    far = nab.evaluate(corpus({50: 1.0, 95: 1.0}), threshold=0.5)
    assert near.score == pytest.approx(100 * (2 + 0.11 * sig(4 / 9)) / 2)
    assert far.score == pytest.approx(100 * (2 - 0.11) / 2)
    assert far.false_per_day == 0.5


def test_a_row_before_the_first_window_costs_all_and_in_the_probation_nothing() -> None:
    assert nab.evaluate(corpus({14: 1.0}), threshold=0.5).score == 0
    found = nab.evaluate(corpus({15: 1.0}), nab.LOW_FP, threshold=0.5)
    assert found.score == pytest.approx(-100 * 0.22 / 2)


def test_the_sweep_takes_the_best_threshold_and_all_rows_of_an_equal_score() -> None:
    files = corpus({50: 0.6, 30: 0.7, 31: 0.6})
    assert nab.evaluate(files).threshold == 0.6
    assert nab.evaluate(files).score == pytest.approx(100 * (2 - 0.22) / 2)


def test_the_sweep_agrees_with_trying_every_threshold() -> None:
    rng = np.random.default_rng(7)
    files = [
        nab.Labelled(rng.integers(0, 20, 200) / 20, ((60, 79), (120, 139)), 1.0) for _ in range(3)
    ]
    for profile in nab.PROFILES.values():
        tried = [nab.evaluate(files, profile, t / 20).score for t in range(1, 20)]
        best = nab.evaluate(files, profile)
        assert best.score == pytest.approx(max(0, *tried, nab.evaluate(files, profile, 0).score))


def series(alerts: list[int], events: list[tuple[int, int]], rows: int = 1440) -> kpi.Series:
    labels, scores = np.zeros(rows, bool), np.zeros(rows)
    for first, end in events:
        labels[first:end] = True
    scores[alerts] = 1.0
    return kpi.Series(scores, labels)


def test_an_event_is_caught_by_an_alert_in_it_and_its_delay_counts_from_its_start() -> None:
    found = kpi.quality([series([103, 500], [(100, 110), (500, 501), (900, 930)])], 0.5)
    assert found.recall == pytest.approx(2 / 3)
    assert (found.median_delay, found.false_per_day) == (1.5, 0)


def test_false_alerts_within_half_an_hour_are_one_episode() -> None:
    assert kpi.quality([series([200, 215, 229, 300], [])], 0.5).false_per_day == 2


def test_alerts_within_ten_minutes_after_an_event_are_neutral() -> None:
    assert kpi.quality([series([110, 119], [(100, 110)])], 0.5).false_per_day == 0
    assert kpi.quality([series([120], [(100, 110)])], 0.5).false_per_day == 1


def test_delay_f1_counts_an_event_only_if_found_within_k_rows() -> None:
    events = [(100, 120), (300, 310)]
    in_time, late = series([107, 300], events), series([108, 300], events)
    assert kpi.quality([in_time], 0.5).delay_f1 == 1.0
    assert kpi.quality([late], 0.5).delay_f1 == pytest.approx(2 * 10 / (2 * 10 + 20))


def test_the_budget_is_kept() -> None:
    rng = np.random.default_rng(3)
    fleet = [kpi.Series(rng.random(1440), np.zeros(1440, bool)) for _ in range(4)]
    assert kpi.at_budget(fleet, 1.0).false_per_day <= 1.0


def test_the_fleet_is_the_same_for_the_same_seed() -> None:
    one, two = (kpi_fleet.fleet(10, 3, seed=5) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.values, b.values, equal_nan=True)
        assert np.array_equal(a.labels, b.labels)
    assert {kpi.family for kpi in one} == set(kpi_fleet.FAMILIES)
