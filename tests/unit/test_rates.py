"""Laws of rates: bounds that cover, evidence that stays valid when one looks again and again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tocsin.flow.baseline.stats.rates import (
    dispersion,
    expected_count,
    lift,
    log_e_detector,
    log_e_value,
    wilson_lower,
)

counts = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def array(*values: float) -> np.ndarray:
    return np.array(values, float)


@given(counts, st.sampled_from([0.05, 0.01, 0.001]))
def test_the_wilson_bound_is_the_rate_that_the_score_test_no_longer_refuses(
    kn: tuple[int, int], p: float
) -> None:
    k, n = kn
    low = float(wilson_lower(array(k), array(n), p)[0])
    assert 0 <= low <= (k / n if n else 0) + 1e-12
    if low > 1e-9:  # the score of the data under the bound is just critical
        z = (k / n - low) / np.sqrt(low * (1 - low) / n)
        assert z == pytest.approx(stats.norm.isf(p), rel=1e-6)


@pytest.mark.parametrize(
    ("n", "least"), [(20, 4), (50, 7), (100, 11), (200, 18), (500, 37), (1000, 67)]
)
def test_so_many_failures_are_surely_more_than_one_in_twenty(n: int, least: int) -> None:
    k = np.arange(n + 1, dtype=float)
    sure = wilson_lower(k, np.full(n + 1, float(n)), 0.01) > 0.05
    assert int(np.argmax(sure)) == least


@pytest.mark.parametrize(
    ("n", "false", "power"),
    [(50, 6e-5, 0.23), (100, 6e-6, 0.42), (200, 1.5e-7, 0.72), (500, 2e-11, 0.98)],
)
def test_a_rate_of_two_percent_is_seldom_called_five_and_ten_often(
    n: int, false: float, power: float
) -> None:
    k = np.arange(n + 1, dtype=float)
    least = int(np.argmax(wilson_lower(k, np.full(n + 1, float(n)), 0.01) > 0.05))
    assert stats.binom.sf(least - 1, n, 0.02) == pytest.approx(false, rel=0.2)
    assert stats.binom.sf(least - 1, n, 0.10) == pytest.approx(power, abs=0.01)


@given(st.floats(0.01, 0.3), st.integers(30, 400), st.sampled_from([0.05, 0.01]))
def test_the_wilson_bound_covers_a_fixed_rate_about_as_often_as_it_says(
    rate: float, n: int, p: float
) -> None:
    k = np.arange(n + 1)
    misses = wilson_lower(k.astype(float), np.full(n + 1, float(n)), p) > rate
    # Score intervals are approximate: near 0 they miss more often, up to some times as often.
    assert stats.binom.pmf(k, n, rate)[misses].sum() <= 3 * p + 0.01


@given(counts, st.floats(0.005, 0.3))
def test_the_e_value_is_the_mean_likelihood_ratio_over_the_rates_beyond(
    kn: tuple[int, int], threshold: float
) -> None:
    k, n = min(kn[0], 30), min(kn[1], 60)
    k = min(k, n)
    prior = stats.beta(1, 1 / (3 * threshold))

    def ratio(rate: float) -> float:
        logs = (
            k * np.log(rate / threshold)
            + (n - k) * np.log1p(-rate)
            - (n - k) * np.log1p(-threshold)
        )
        return float(np.exp(logs) * prior.pdf(rate))

    mean = integrate.quad(ratio, threshold, 1 - 1e-12, limit=200)[0] / prior.sf(threshold)
    told = float(np.exp(log_e_value(array(k), array(n), threshold))[0])
    assert told == pytest.approx(mean, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("threshold", [0.01, 0.05, 0.2])
def test_the_e_value_of_calls_at_the_threshold_is_one_on_average(threshold: float) -> None:
    n = 300
    k = np.arange(n + 1, dtype=float)
    log_e = log_e_value(k, np.full(n + 1, float(n)), threshold)

    def mean(rate: float) -> float:
        return float(np.exp(stats.binom.logpmf(k, n, rate) + log_e).sum())

    assert mean(threshold) == pytest.approx(1.0, rel=1e-6)
    assert mean(threshold * 0.7) < 1  # the null is composite: every rate up to the threshold


def test_looking_again_and_again_keeps_to_villes_bound_and_wilson_does_not() -> None:
    rng, threshold, alpha = np.random.default_rng(7), 0.05, 0.05
    every = 5
    k = (rng.random((500, 1_000)) < threshold).cumsum(axis=1)[:, every - 1 :: every].astype(float)
    n = np.broadcast_to(np.arange(every, 1_001, every, dtype=float), k.shape)
    ever = (log_e_value(k, n, threshold) >= np.log(1 / alpha)).any(axis=1)
    assert 0 < ever.mean() <= alpha
    assert (wilson_lower(k, n, 0.01) > threshold).any(axis=1).mean() > 3 * 0.01


def test_the_detector_runs_at_least_its_level_before_it_errs() -> None:
    rng, threshold, level, width = np.random.default_rng(8), 0.05, 40.0, 34
    runs = []
    for _ in range(60):
        k = np.concatenate([np.zeros(width), rng.binomial(20, threshold, 400)])
        windows = np.lib.stride_tricks.sliding_window_view(k, width)[1:]
        log_e = log_e_detector(windows, np.full(windows.shape, 20.0), threshold)
        hit = np.flatnonzero(log_e >= np.log(level))
        runs.append(hit[0] + 1 if len(hit) else len(log_e))
    assert np.mean(runs) >= level


def test_a_breakdown_is_evident_within_minutes_although_the_hour_was_fine() -> None:
    def minutes(rate: float) -> int:
        k = np.concatenate([np.ones((1, 60)), np.full((1, 60), 100 * rate)], axis=1)
        n = np.full((1, 60), 100.0)
        late = (m for m in range(1, 61) if log_e_detector(k[:, m : m + 60], n, 0.05) > np.log(1e6))
        return next(late, 61)

    found = {rate: minutes(rate) for rate in (0.10, 0.12, 0.15, 0.30)}
    assert found[0.30] <= 2
    assert found[0.15] <= 5
    assert found[0.12] <= 8
    assert found[0.10] <= 13


def test_dispersion_is_found_where_it_is_and_nowhere_else() -> None:
    rng = np.random.default_rng(9)
    n = np.full((40, 96), 500.0)
    even = rng.binomial(500, 0.05, n.shape).astype(float)
    rho = 0.02
    mean = rng.beta(0.05 * (1 / rho - 1), 0.95 * (1 / rho - 1), n.shape)
    wild = rng.binomial(500, mean).astype(float)
    assert np.median(dispersion(even, n)) == pytest.approx(0.002, abs=1e-4)
    assert np.median(dispersion(wild, n)) == pytest.approx(rho, rel=0.3)


def test_dispersion_asks_for_quarters_it_may_learn_from() -> None:
    k, n = np.full((2, 8), 5.0), np.full((2, 8), 100.0)
    k[1, 1:] = np.nan
    n[1, 1:] = np.nan
    assert dispersion(k, n) == pytest.approx([0.002, 0.002])


def test_lift_is_one_for_a_part_with_the_errors_of_its_traffic() -> None:
    assert lift(array(5, 15), array(50, 150), 200) == pytest.approx([1, 1])
    assert lift(array(20, 0, 3), array(20, 160, 0), 200) == pytest.approx([20 / 23 * 10, 0, 0])


def test_a_count_is_expected_from_the_traffic_it_is_of() -> None:
    rng = np.random.default_rng(10)
    then = rng.uniform(200, 2_000, (200, 96))
    calm = rng.poisson(0.02 * then).astype(float)
    size = 4.0
    wild = rng.poisson(0.02 * then * rng.gamma(size, 1 / size, then.shape)).astype(float)
    calm[:, ::7] = np.nan
    mean, fitted = expected_count(calm, then, np.full(200, 500.0))
    assert np.median(mean) == pytest.approx(10, rel=0.05)
    assert np.median(fitted) > 100  # Poisson: traffic that varies is no dispersion
    mean, fitted = expected_count(wild, then, np.full(200, 500.0))
    assert np.median(mean) == pytest.approx(10, rel=0.05)
    assert np.median(fitted) == pytest.approx(size, rel=0.3)


def test_a_count_that_never_was_is_half_an_event_of_all_its_traffic() -> None:
    mean, _ = expected_count(np.zeros((1, 96)), np.full((1, 96), 100.0), np.array([100.0]))
    assert mean == pytest.approx([0.5 / 96])
