"""Laws of the residual bank: causal, the same however cut, restored bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from tocsin.flow.baseline.residual import ALERT_SCORE, ResidualBank, Scores

FIVE_MINUTES, DAY = 300.0, 288
SEED = 11


def past(rows: int, ticks: int, seed: int = SEED) -> np.ndarray:
    """Series with a day, gaps, late births, spikes, a constant one and one of nothing."""
    rng = np.random.default_rng(seed)
    t = np.arange(ticks)
    x = 100 + 30 * np.sin(2 * np.pi * t / DAY) + rng.normal(0, 3, (rows, ticks))
    x[rng.random(x.shape) < 0.02] = np.nan
    x[rng.random(x.shape) < 0.003] *= 3
    for row in range(rows):
        x[row, : 37 * row] = np.nan
    x[-1] = np.nan
    x[-2] = 5.0
    return x


def assert_equal(one: Scores, two: Scores) -> None:
    for field in dataclasses.fields(Scores):
        a, b = getattr(one, field.name), getattr(two, field.name)
        assert np.array_equal(a, b, equal_nan=True), field.name


def joined(parts: list[Scores]) -> Scores:
    names = [f.name for f in dataclasses.fields(Scores)]
    return Scores(*(np.concatenate([getattr(p, n) for p in parts], 1) for n in names))


X = past(6, 900)
WHOLE = ResidualBank(FIVE_MINUTES, len(X)).score(X)


@cases(8)
@given(st.lists(st.integers(1, 899), max_size=12, unique=True).map(sorted))
def test_any_cutting_into_blocks_gives_the_same_bits(cuts: list[int]) -> None:
    bank = ResidualBank(FIVE_MINUTES, len(X))
    assert_equal(joined([bank.score(part) for part in np.split(X, cuts, axis=1)]), WHOLE)


def test_one_value_at_a_time_gives_the_same_bits() -> None:
    bank = ResidualBank(FIVE_MINUTES, len(X))
    assert_equal(joined([bank.score(X[:, i : i + 1]) for i in range(X.shape[1])]), WHOLE)


@cases(8)
@given(st.integers(1, 899))
def test_decoding_goes_on_with_the_same_bits(cut: int) -> None:
    bank = ResidualBank(FIVE_MINUTES, len(X))
    before = bank.score(X[:, :cut])
    blob = bank.encode()
    again = ResidualBank.decode(blob)
    assert again.encode() == blob
    assert_equal(joined([before, again.score(X[:, cut:])]), WHOLE)


@cases(8)
@given(st.integers(1, 899), st.integers(0, 2**32 - 1))
def test_no_score_depends_on_a_later_value(cut: int, seed: int) -> None:
    other = np.concatenate((X[:, :cut], past(len(X), 900, seed)[:, cut:]), 1)
    found = ResidualBank(FIVE_MINUTES, len(X)).score(other)
    assert np.array_equal(found.score[:, :cut], WHOLE.score[:, :cut])
    assert np.array_equal(found.alert[:, :cut], WHOLE.alert[:, :cut])


def test_no_score_depends_on_another_series() -> None:
    for row in range(len(X)):
        alone = ResidualBank(FIVE_MINUTES, 1).score(X[row : row + 1])
        assert np.array_equal(alone.score[0], WHOLE.score[row])


def test_rows_that_are_added_forgotten_or_dropped_do_not_disturb_the_others() -> None:
    bank = ResidualBank(FIVE_MINUTES, 4)
    parts = [bank.score(X[:4, :400]).score[:2]]
    bank.add(1)
    bank.forget(np.array([2]))
    out = bank.score(np.concatenate((X[:4, 400:600], X[:1, 400:600])))
    parts.append(out.score[:2])
    assert not out.score[2, :100].any(), "a forgotten series says nothing at first"
    bank.keep(np.array([0, 1]))
    parts.append(bank.score(X[:2, 600:]).score)
    assert np.array_equal(np.concatenate(parts, 1), WHOLE.score[:2])


def test_scores_are_in_bounds_and_alerts_are_scores_of_the_alert_line() -> None:
    assert (WHOLE.score >= 0).all()
    assert (WHOLE.score <= 1).all()
    assert (WHOLE.score[WHOLE.alert] >= ALERT_SCORE).all()
    assert (WHOLE.p > 0).all()
    assert (WHOLE.p <= 1).all()
    assert (WHOLE.sigma > 0).all()


def test_a_missing_value_says_nothing() -> None:
    assert not WHOLE.score[np.isnan(X)].any()
    assert (WHOLE.p[np.isnan(X)] == 1).all()


@pytest.mark.parametrize("unit", [2.0**-60, 2.0**-20, 2.0**20, 2.0**60])
def test_the_unit_of_a_series_does_not_matter(unit: float) -> None:
    assert np.array_equal(ResidualBank(FIVE_MINUTES, len(X)).score(X * unit).score, WHOLE.score)


@cases(20)
@given(st.lists(st.floats(), min_size=1, max_size=40), st.integers(1, 12))
def test_any_values_give_scores_in_bounds(values: list[float], repeat: int) -> None:
    block = np.tile(np.array(values), repeat * 8)[None]
    score = ResidualBank(60.0, 1).score(block).score
    assert ((score >= 0) & (score <= 1)).all()


def test_infinite_values_are_missing_values() -> None:
    odd = X.copy()
    odd[np.isnan(odd)] = np.inf
    assert_equal(ResidualBank(FIVE_MINUTES, len(X)).score(odd), WHOLE)


@pytest.mark.parametrize(
    "interval_s",
    [
        1.0,
        420.0,
        604_800.0,
        *(pytest.param(every, marks=pytest.mark.slow) for every in (60.0, 3600.0, 86_400.0)),
    ],
)
def test_every_interval_has_a_shape_that_cuts_the_same(interval_s: float) -> None:
    whole = ResidualBank(interval_s, 6).score(X[:, :300])
    bank = ResidualBank(interval_s, 6)
    assert_equal(
        joined([bank.score(part) for part in np.array_split(X[:, :300], 43, axis=1)]), whole
    )


def test_a_series_costs_at_most_eight_kib() -> None:
    assert len(ResidualBank(60.0, 100).encode()) / 100 <= 8192


@pytest.mark.parametrize("blob", [b"", b"x" * 100, ResidualBank(60.0, 1).encode()[:-1],
                                  ResidualBank(60.0, 1).encode() + b"x"])  # fmt: skip
def test_bytes_that_are_no_state_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="not the state of a residual bank"):
        ResidualBank.decode(blob)


def test_a_block_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a block is \[2, T\]"):
        ResidualBank(60.0, 2).score(np.zeros((3, 1)))


@pytest.mark.parametrize("interval_s", [0.0, -1.0, float("nan")])
def test_an_interval_is_positive(interval_s: float) -> None:
    with pytest.raises(ValueError, match="interval_s"):
        ResidualBank(interval_s, 1)
