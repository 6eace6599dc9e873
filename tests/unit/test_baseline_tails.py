"""Tail probabilities against scipy's distributions and the catalogue's sanity numbers."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats
from scipy.spatial.distance import jensenshannon

from tocsin.flow.baseline.stats import tails
from tocsin.flow.baseline.stats.shares import g_test, js_distance, over_dispersion, shift_bound

_MEAN = st.floats(0.01, 1e4)
_SIZE = st.floats(0.02, 1e4)


def one(value: float) -> np.ndarray:
    return np.array([value], float)


@given(st.integers(0, 2_000), _MEAN, _SIZE)
def test_count_tails_are_the_negative_binomials(x: int, mu: float, k: float) -> None:
    oracle = stats.nbinom(k, k / (k + mu))
    assert tails.nb_upper(one(x), one(mu), one(k))[0] == pytest.approx(
        oracle.sf(x - 1), rel=1e-6, abs=1e-280
    )
    assert tails.nb_lower(one(x), one(mu), one(k))[0] == pytest.approx(
        oracle.cdf(x), rel=1e-6, abs=1e-280
    )
    assert tails.nb_zero(one(mu), one(k))[0] == pytest.approx(oracle.pmf(0), rel=1e-6, abs=1e-280)


@given(st.floats(0, 1e9), st.floats(1, 1e8), st.floats(0.02, 1e3))
def test_sum_tails_are_the_gammas(x: float, mean: float, shape: float) -> None:
    oracle = stats.gamma(shape, scale=mean / shape).sf(x)
    found = tails.gamma_upper(one(x), one(mean), one(shape))[0]
    assert found == pytest.approx(oracle, rel=1e-6, abs=1e-280)


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.001, 0.5), st.floats(0.002, 0.2))
def test_share_tails_are_the_beta_binomials(n: int, part: float, p: float, rho: float) -> None:
    k = round(part * n)
    oracle = stats.betabinom(n, p * (1 / rho - 1), (1 - p) * (1 / rho - 1)).sf(k - 1)
    found = tails.beta_binomial_upper(one(k), one(n), one(p), rho)[0]
    assert found == pytest.approx(oracle, rel=1e-5, abs=1e-12)


def test_a_large_beta_binomial_is_close_to_its_beta() -> None:
    exact = stats.betabinom(20_000, 0.05 * 499, 0.95 * 499).sf(1_499)
    found = tails.beta_binomial_upper(one(1_500), one(20_000), one(0.05), 0.002)[0]
    assert found == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize(
    ("rate", "poisson", "k5"),
    [(1, 6.7e-3, 3.1e-2), (2, 4.5e-5, 4.1e-3), (3, 3.1e-7, 9.8e-4), (5, 1.4e-11, 1.3e-4)],
)
def test_five_silent_minutes_are_as_improbable_as_the_catalogue_says(
    rate: float, poisson: float, k5: float
) -> None:
    assert tails.nb_zero(one(5 * rate), one(1e7))[0] == pytest.approx(poisson, rel=0.03)
    assert tails.nb_zero(one(5 * rate), one(5))[0] == pytest.approx(k5, rel=0.03)


def test_size_is_recovered_from_moments_within_its_bounds() -> None:
    mean, k = np.array([50.0, 50.0, 50.0]), np.array([8.0, 1e-9, 1e9])
    found = tails.nb_size(mean, mean + mean**2 / k)
    assert found == pytest.approx([8.0, tails.K_MIN, tails.K_MAX], rel=0.01)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), min_size=2, max_size=6).filter(
        lambda pairs: sum(a for a, _ in pairs) > 0
    )
)
def test_g_test_is_scipys_and_the_distance_is_jensen_shannons(
    pairs: list[tuple[int, int]],
) -> None:
    now, before = np.array(pairs, float).T
    oracle = stats.chi2_contingency(
        np.vstack([now, before]), correction=False, lambda_="log-likelihood"
    )
    assert g_test(now, before) == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-12)
    expected = jensenshannon(now, before, base=2)
    assert js_distance(now, before) == pytest.approx(expected, abs=1e-7)


def closed_forms(now: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """The test's p-value and the distance, written out with logarithms."""
    table = np.vstack([now, before])
    table = table[:, table.sum(axis=0) > 0]
    fair = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    here = table > 0
    g = 2 * (table[here] * np.log(table[here] / fair[here])).sum()
    p, q = now / now.sum(), before / before.sum()
    halves = [(x[x > 0] * np.log2(x[x > 0] / ((p + q) / 2)[x > 0])).sum() for x in (p, q)]
    chance = stats.chi2.sf(max(g, 0.0), table.shape[1] - 1) if table.shape[1] > 1 else 1.0
    return float(chance), math.sqrt(max(sum(halves) / 2, 0.0))


def test_figures_of_mixes_are_those_of_the_closed_forms_to_nine_digits() -> None:
    rng, seen_zeros, seen_tail = np.random.default_rng(7), 0, 0
    for _ in range(2_000):
        size, scale = int(rng.integers(2, 9)), 10 ** rng.uniform(0, 5, 2)
        # Small shapes of the gamma leave parts without events, now, before or both.
        now = rng.poisson(rng.gamma(0.5, scale[0], size)).astype(float)
        before = rng.poisson(rng.gamma(0.5, scale[1], size)) * rng.random()
        if not now.sum() or not before.sum():
            continue
        p, distance = closed_forms(now, before)
        assert f"{g_test(now, before):.9g}" == f"{p:.9g}"
        # Below a thousandth the divergence is lost in rounding; rules ask for 0.05.
        assert js_distance(now, before) == pytest.approx(distance, rel=5e-10, abs=1e-8)
        seen_zeros += int((now == 0).any() or (before == 0).any())
        seen_tail += int(0 < p < 1e-100)
    assert seen_zeros > 500
    assert seen_tail > 20


def test_mixes_equal_but_for_rounding_are_no_distance_apart() -> None:
    rng = np.random.default_rng(7)
    for _ in range(500):
        mix = rng.gamma(0.5, 100, 5)
        assert js_distance(mix, mix * 7 * (1 + rng.normal(0, 1e-9, 5))) < 1e-7


def test_mixes_without_events_are_no_evidence() -> None:
    assert g_test(np.zeros(3), np.ones(3)) == 1.0
    assert g_test(np.array([5.0]), np.array([7.0])) == 1.0


def test_over_dispersion_of_shares_is_recovered() -> None:
    rng = np.random.default_rng(3)
    n = np.full(400, 300.0)
    p = rng.beta(0.3 * 24, 0.7 * 24, 400)  # rho = 1 / 25
    assert over_dispersion(rng.binomial(300, p).astype(float), n) == pytest.approx(0.04, rel=0.2)
    calm = rng.binomial(300, 0.3, 400).astype(float)
    assert over_dispersion(calm, n) == pytest.approx(0.002, abs=0.001)


def test_the_bound_of_a_shift_covers_at_its_level() -> None:
    """Shares that did not move seem to have moved, beyond the bound, once in a hundred."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(4_000):
        p = rng.beta(0.3 * 499, 0.7 * 499)
        now = rng.binomial(200, p) / 200
        before = rng.binomial(5_000, 0.3) / 5_000
        hits += shift_bound(now, 200, before, 5_000, 0.002, 0.01) > 0
    assert hits / 4_000 == pytest.approx(0.02, abs=0.008)  # two-sided
