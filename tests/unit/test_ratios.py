"""Laws of ratios: units do not matter, a quiet day is not told of, a rise of half is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tocsin.flow.baseline.stats.ratios import (
    MIN_QUARTERS,
    SD_MIN,
    drift,
    log_ratio,
    ratio_baseline,
    shift,
)


def day(rng: np.random.Generator, rows: int, quarters: int = 92) -> tuple[np.ndarray, np.ndarray]:
    """Sums of tokens and calls: some 200 calls a quarter of 1000 tokens, log-sigma 0.8."""
    below = rng.negative_binomial(50, 50 / (50 + 200), (rows, quarters)).astype(float)
    scatter = np.exp(rng.normal(0, 0.8 / np.sqrt(200), below.shape))
    return below * 1_000 * scatter, below


def test_an_interval_of_the_t_distribution_is_what_scipy_gives() -> None:
    above, below = day(np.random.default_rng(1), 1)
    past = ratio_baseline(above, below, 50, is_count=False)
    logs = np.log(above / below)[0]
    assert past.mean[0] == pytest.approx(logs.mean())
    assert past.sd[0] == pytest.approx(logs.std(ddof=1))
    now = shift(np.array([2e5 * 1.5]), np.array([past.weight[0]]), past, is_count=False)
    error = logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs))
    assert now.error[0] == pytest.approx(error)
    assert now.lower(1e-3)[0] == pytest.approx(
        now.rise[0] - stats.t.isf(1e-3, len(logs) - 1) * error
    )
    p = now.p_beyond(np.log(1.2))[0]
    assert p == pytest.approx(stats.t.sf((now.rise[0] - np.log(1.2)) / error, len(logs) - 1))


@given(st.floats(1e-6, 1e9), st.floats(0.1, 10))
def test_the_unit_of_the_sum_does_not_matter(unit: float, factor: float) -> None:
    above, below = day(np.random.default_rng(2), 3)
    plain = shift(
        above[:, -1] * factor, below[:, -1], ratio_baseline(above, below, 20, is_count=False),
        is_count=False,
    )  # fmt: skip
    scaled = shift(
        above[:, -1] * factor * unit, below[:, -1],
        ratio_baseline(above * unit, below, 20, is_count=False), is_count=False,
    )  # fmt: skip
    assert scaled.rise == pytest.approx(plain.rise, abs=1e-6)
    assert scaled.error == pytest.approx(plain.error, abs=1e-6)


def test_the_lower_bound_is_missed_as_often_as_it_says() -> None:
    above, below = day(np.random.default_rng(3), 20_000, 41)
    past = ratio_baseline(above[:, :-1], below[:, :-1], 50, is_count=False)
    now = shift(above[:, -1], below[:, -1], past, is_count=False)
    for p in (0.05, 0.01, 0.001):
        assert (now.lower(p) > 0).mean() <= 1.4 * p


def test_counts_scatter_at_least_as_poisson_does() -> None:
    below = np.full((1, 20), 100.0)
    past = ratio_baseline(np.full((1, 20), 10.0), below, 50, is_count=True)
    assert past.sd[0] == SD_MIN
    now = shift(np.array([20.0]), np.array([100.0]), past, is_count=True)
    assert now.error[0] >= 1 / np.sqrt(10.5)
    assert now.lower(1e-3)[0] < 0  # ten more of ten are no evidence


def test_counts_of_busy_and_quiet_hours_wander_alike() -> None:
    rng = np.random.default_rng(7)
    below = np.tile([400.0, 4_000.0], (2_000, 24))
    above = rng.poisson(below * 0.15 * np.exp(rng.normal(0, 0.1, below.shape))).astype(float)
    past = ratio_baseline(above[:, :-1], below[:, :-1], 50, is_count=True)
    assert np.median(past.sd) == pytest.approx(0.1, rel=0.15)
    now = shift(above[:, -1], below[:, -1], past, is_count=True)
    for p in (0.05, 0.01, 0.001):
        assert (now.lower(p) > 0).mean() <= 2 * p + 0.001


def test_a_thin_window_is_trusted_less() -> None:
    above, below = day(np.random.default_rng(4), 1)
    past = ratio_baseline(above, below, 50, is_count=False)
    full, thin = (
        shift(np.array([n * 1_500.0]), np.array([n]), past, is_count=False) for n in (200.0, 50.0)
    )
    assert thin.rise == pytest.approx(full.rise)
    assert thin.error[0] == pytest.approx(full.error[0] * np.sqrt(past.weight[0] / 50), rel=0.02)


def test_nothing_is_known_of_few_quarters_or_of_thin_ones() -> None:
    above, below = day(np.random.default_rng(5), 2)
    few = ratio_baseline(
        above[:, : MIN_QUARTERS - 1], below[:, : MIN_QUARTERS - 1], 1, is_count=False
    )
    thin = ratio_baseline(above, below, 10_000, is_count=False)
    for past in (few, thin):
        assert np.isnan(past.mean).all()
        now = shift(np.array([1.0, 2.0]), np.array([1.0, 2.0]), past, is_count=False)
        assert np.isnan(now.rise).all()


@given(st.lists(st.sampled_from([np.nan, 0.0, 3.0]), min_size=4, max_size=4))
def test_the_log_of_what_is_unknown_or_nothing_is_unknown(values: list[float]) -> None:
    above, below = np.array([values[:2]]), np.array([values[2:]])
    logs = log_ratio(above, below, is_count=False)
    assert (np.isfinite(logs) == ((above > 0) & (below > 0))).all()


def test_drift_is_what_is_left_of_the_scatter_without_sampling() -> None:
    rng = np.random.default_rng(6)
    n = np.full((90, 60), 400.0)
    var = np.full(n.shape, 0.8**2)
    still = rng.normal(7, 0.8 / 20, n.shape)
    wild = still + rng.normal(0, 0.15, n.shape)
    assert np.median(drift(n, still, var)[0]) == pytest.approx(SD_MIN)
    assert np.median(drift(n, wild, var)[0]) == pytest.approx(0.15, rel=0.1)
    assert (drift(n, still, var)[1] == 90).all()
    assert (drift(np.where(n > 0, 3.0, n), still, var)[1] == 0).all()
