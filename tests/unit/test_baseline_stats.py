"""Evidence stays valid however often it is checked, and its price is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom, norm

from tocsin.flow.baseline.stats import sketch
from tocsin.flow.baseline.stats.e_values import (
    DRIFT,
    DRIFT_YOUNG,
    PRIOR_H,
    PRIOR_LATER_H,
    mixture_e,
    needed,
    spread_of,
)
from tocsin.flow.baseline.stats.shares import over_dispersion
from tocsin.flow.baseline.stats.sketch import WIDTH, Sketches
from tocsin.flow.windows.fold import bucket

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
    """Ville's inequality, for checks at every minute of a day on 4,000 series."""
    rng = np.random.default_rng(SEED)
    series, checks, sigma, a_minute = 4_000, 1_440, 0.6, 30
    level = drift * rng.standard_normal(series)
    total, most = np.zeros(series), np.zeros(series)
    for check in range(1, checks + 1):
        total += a_minute * level + sigma * math.sqrt(a_minute) * rng.standard_normal(series)
        n = check * a_minute
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
    power = float(np.mean(binom.sf(binom.isf(alpha, around, p0), around, p1)))
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


@pytest.mark.parametrize(("level", "a_quarter", "least", "most"), [
    (0.0, 60, DRIFT, 0.03), (0.1, 300, 0.08, 0.12),
])  # fmt: skip
def test_quarters_that_wander_are_told_from_quarters_that_are_small(
    level: float, a_quarter: int, least: float, most: float
) -> None:
    rng = np.random.default_rng(SEED)
    parts = quarters(
        [rng.lognormal(13 + level * rng.standard_normal(), 0.5, a_quarter) for _ in range(80)]
    )
    rows, cut = np.array([0]), np.array([bucket(math.exp(13 + 0.5 * norm.isf(0.05)))])
    rho, drift = spread_of(parts, sketch.add(parts), rows, cut, np.array([0.0]))
    slow = np.array([sketch.above(part, rows, cut)[0] for part in parts])
    n = np.array([sketch.counts(part, rows)[0] for part in parts])
    assert rho[0] >= over_dispersion(slow, n) - 1e-4
    assert least <= drift[0] <= most, SEED


@given(st.floats(0.3, 1.0))
def test_a_level_that_drifts_makes_the_share_beyond_a_quantile_drift(sigma: float) -> None:
    """To first order: Var(share) / (p (1 - p)) with the density of the log at the quantile."""
    samples = np.exp(13 + sigma * norm.ppf((np.arange(4_000) + 0.5) / 4_000))
    rows, cut = np.array([0]), np.array([bucket(math.exp(13 + sigma * norm.isf(0.05)))])
    (base,) = quarters([samples])
    rho, found = spread_of([], base, rows, cut, np.array([1.0]))
    assert found[0] == pytest.approx(DRIFT_YOUNG)
    density = norm.pdf(norm.isf(0.05)) / sigma
    expected = max((density * DRIFT_YOUNG) ** 2, (0.2 * 0.05) ** 2) / 0.0475
    assert rho[0] == pytest.approx(expected, rel=0.35)


def test_what_a_series_shows_of_itself_outweighs_what_is_taken_of_the_young() -> None:
    rng = np.random.default_rng(SEED)
    parts = quarters([rng.lognormal(13, 0.5, 200) for _ in range(80)])
    rows, cut, base = np.array([0]), np.array([bucket(1e6)]), sketch.add(parts)
    weights = (0.0, PRIOR_LATER_H, PRIOR_H, 1e6)
    drifts = [spread_of(parts, base, rows, cut, np.array([w]))[1][0] for w in weights]
    assert drifts == sorted(drifts)
    assert drifts[1] < 0.03 < drifts[2]
    assert drifts[-1] == pytest.approx(DRIFT_YOUNG, rel=1e-3)


def test_too_few_quarters_say_nothing() -> None:
    parts = quarters([np.full(30, 1e6)] * 5 + [np.full(5, 1e6)] * 40)
    cut = np.array([bucket(1e6)])
    _, drift = spread_of(parts, sketch.add(parts), np.array([0]), cut, np.array([PRIOR_H]))
    assert drift[0] == DRIFT_YOUNG


def test_the_row_beyond_all_has_an_empty_past() -> None:
    empty = Sketches(np.array([WIDTH + 3]), np.array([1]))
    assert sketch.counts(empty, np.array([0, 1, 9])).tolist() == [0, 1, 0]
