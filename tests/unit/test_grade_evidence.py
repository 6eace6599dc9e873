"""Evidence keeps its promises: no look wears it out, and its price is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom, norm

from tocsin.flow.fold import bucket
from tocsin.flow.grade import sketch
from tocsin.flow.grade.evidence import DRIFT, RHO_UNKNOWN, mixture_e, needed, spread_of
from tocsin.flow.grade.shares import over_dispersion
from tocsin.flow.grade.sketch import WIDTH, Sketches

SEED = 20231113


@given(st.floats(-8, 8), st.floats(1e-4, 0.5), st.floats(0.05, 1.0))
def test_the_e_value_is_the_likelihood_ratio_of_a_half_normal_mixture(
    z: float, var: float, tau: float
) -> None:
    rise = z * math.sqrt(var)

    def weighted(theta: float) -> float:
        prior = 2 * math.exp(-0.5 * (theta / tau) ** 2) / (tau * math.sqrt(2 * math.pi))
        return prior * math.exp(theta * (2 * rise - theta) / (2 * var))

    peak = max(rise, 0) * tau**2 / (tau**2 + var)
    width = 10 * tau * math.sqrt(var / (tau**2 + var))
    exact, _ = quad(weighted, max(peak - width, 0), peak + width, points=[peak], limit=200)
    assert mixture_e(np.array([rise]), np.array([var]), tau)[0] == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("drift", [0.0, 0.03])
def test_with_nothing_wrong_it_reaches_e_less_than_once_in_e_whenever_one_looks(
    drift: float,
) -> None:
    """Ville's inequality, for looks at every minute of a day on 4,000 series."""
    rng = np.random.default_rng(SEED)
    series, looks, sigma, a_minute = 4_000, 1_440, 0.6, 30
    level = drift * rng.standard_normal(series)
    total, most = np.zeros(series), np.zeros(series)
    for look in range(1, looks + 1):
        total += a_minute * level + sigma * math.sqrt(a_minute) * rng.standard_normal(series)
        n = look * a_minute
        var = np.full(series, sigma**2 / n + drift**2)
        most = np.maximum(most, mixture_e(total / n, var, math.log(1.2)))
    for e in (5.0, 20.0, 100.0):
        chance = (most >= e).mean()
        assert chance <= 1 / e + 2.6 * math.sqrt(1 / e / series), (SEED, e, chance)


def test_a_regression_of_a_fifth_is_sure_at_a_few_hundred_observations() -> None:
    n, sigma = 700, 0.6
    e = mixture_e(np.array([math.log(1.2)]), np.array([sigma**2 / n + 0.02**2]), math.log(1.2))
    assert e[0] >= 1e4


@pytest.mark.parametrize(
    ("ratio", "sigma", "n"),
    [
        (1.2, 0.4, 333), (1.2, 0.6, 794), (1.2, 0.8, 1411), (1.2, 1.0, 2276),
        (1.5, 0.4, 50), (1.5, 0.6, 126), (1.5, 0.8, 249), (1.5, 1.0, 404),
    ],
)  # fmt: skip
def test_what_a_p95_needs_is_what_the_catalogue_says(ratio: float, sigma: float, n: int) -> None:
    shifted = norm.sf(norm.isf(0.05) - math.log(ratio) / sigma)
    found = needed(np.array([0.05]), np.array([shifted]), 1e-3)[0]
    assert found == pytest.approx(n, rel=0.12)


@given(st.floats(0.01, 0.1), st.floats(1.3, 5.0), st.sampled_from([1e-3, 1e-4]))
def test_what_is_needed_has_the_power_it_promises(p0: float, times: float, alpha: float) -> None:
    p1 = min(p0 * times, 0.5)
    n = int(needed(np.array([p0]), np.array([p1]), alpha)[0])
    around = np.linspace(n, 1.1 * n, 12).astype(int)  # power is a saw-tooth in n
    power = binom.sf(binom.isf(alpha, around, p0), around, p1).mean()
    assert 0.84 <= power <= 0.96


def test_over_dispersion_takes_more_and_at_last_no_volume_suffices() -> None:
    p0, p1 = np.array([0.05]), np.array([0.09])
    plain = needed(p0, p1, 1e-4)[0]
    assert plain < needed(p0, p1, 1e-4, rho=2e-4)[0] < np.inf
    assert needed(p0, p1, 1e-4, rho=0.01)[0] == np.inf
    assert needed(p1, p0, 1e-4)[0] == np.inf


def quarters(values: list[np.ndarray]) -> list[Sketches]:
    """One row 0 sketch a quarter-hour, from microseconds."""
    found = []
    for part in values:
        key, count = np.unique([bucket(float(v)) for v in part], return_counts=True)
        found.append(Sketches(key.astype(np.int64), count.astype(np.int64)))
    return found


def test_quarters_that_wander_are_told_from_quarters_that_are_small() -> None:
    rng = np.random.default_rng(SEED)
    rows = np.array([0])
    steady = [rng.lognormal(13, 0.5, 60) for _ in range(80)]
    wild = [rng.lognormal(13 + 0.1 * rng.standard_normal(), 0.5, 300) for _ in range(80)]
    cut = np.array([bucket(math.exp(13 + 0.5 * norm.isf(0.05)))])
    for given_, low, high in ((steady, DRIFT, 0.04), (wild, 0.08, 0.12)):
        parts = quarters(given_)
        rho, drift = spread_of(parts, rows, cut)
        slow = np.array([sketch.above(part, rows, cut)[0] for part in parts])
        n = np.array([sketch.counts(part, rows)[0] for part in parts])
        assert rho[0] == pytest.approx(over_dispersion(slow, n), rel=1e-6)
        assert low <= drift[0] <= high, SEED


def test_too_few_quarters_say_nothing() -> None:
    parts = quarters([np.full(30, 1e6)] * 5 + [np.full(5, 1e6)] * 40)
    rho, drift = spread_of(parts, np.array([0]), np.array([bucket(1e6)]))
    assert (rho[0], drift[0]) == (RHO_UNKNOWN, DRIFT)


def test_the_row_beyond_all_has_an_empty_past() -> None:
    empty = Sketches(np.array([WIDTH + 3]), np.array([1]))
    assert sketch.counts(empty, np.array([0, 1, 9])).tolist() == [0, 1, 0]
