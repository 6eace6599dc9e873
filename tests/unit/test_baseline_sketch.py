"""Sketches of many series at once answer like numpy does for each alone."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tocsin.flow.baseline.stats import sketch
from tocsin.flow.baseline.stats.sketch import WIDTH, Sketches
from tocsin.flow.rule_tests.series import frame_of
from tocsin.flow.windows.fold import SKETCH_GAMMA, bucket, bucket_value

_ROWS = st.lists(st.lists(st.integers(0, 1500), min_size=1, max_size=40), min_size=1, max_size=5)


def of(buckets: list[list[int]]) -> Sketches:
    keys = [row * WIDTH + b for row, found in enumerate(buckets) for b in found]
    key, count = np.unique(np.array(keys, np.int64), return_counts=True)
    return Sketches(key, count.astype(np.int64))


@given(_ROWS, st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_the_ranked_bucket_of_its_row(buckets: list[list[int]], q: float) -> None:
    value, found = sketch.quantile(of(buckets), np.arange(len(buckets)), q)
    for row, mine in enumerate(buckets):
        expected = int(np.quantile(mine, q, method="inverted_cdf"))
        assert found[row] == expected
        assert value[row] == pytest.approx(bucket_value(expected))


@given(_ROWS, st.integers(0, 1500))
def test_above_counts_what_lies_beyond(buckets: list[list[int]], cut: int) -> None:
    rows = np.arange(len(buckets))
    found = sketch.above(of(buckets), rows, np.full(len(rows), cut))
    assert found.tolist() == [sum(b > cut for b in mine) for mine in buckets]


@given(_ROWS)
def test_moments_are_those_of_the_log(buckets: list[list[int]]) -> None:
    found = sketch.moments(of(buckets), np.arange(len(buckets)))
    for row, mine in enumerate(buckets):
        logs = np.log([bucket_value(b) for b in mine])
        assert found.n[row] == len(mine)
        assert found.mean[row] == pytest.approx(logs.mean(), abs=1e-9)
        assert found.var[row] == pytest.approx(logs.var(), abs=1e-7)


@given(_ROWS, _ROWS)
def test_what_was_added_can_be_taken_away(left: list[list[int]], right: list[list[int]]) -> None:
    whole = sketch.add([of(left), of(right)])
    back = sketch.subtract(whole, of(right))
    assert np.array_equal(back.key, of(left).key)
    assert np.array_equal(back.count, of(left).count)
    assert whole.count.sum() == sum(map(len, left)) + sum(map(len, right))


def test_a_row_without_observations_has_no_quantile() -> None:
    value, found = sketch.quantile(of([[3], []]), np.array([1, 7]), 0.5)
    assert np.isnan(value).all()
    assert (found == -1).all()
    assert np.isnan(sketch.moments(sketch.EMPTY, np.array([0])).mean).all()


def test_values_are_within_one_percent_after_the_way_through_a_frame() -> None:
    rng = np.random.default_rng(7)
    micros = rng.lognormal(13, 0.8, 5_000)
    counts: dict[str, int] = {"n": 5_000}
    for value in micros:
        name = f"d:{bucket(float(value))}"
        counts[name] = counts.get(name, 0) + 1
    frame = frame_of(0, 60, {"s": counts})
    held = sketch.of_frame(frame, np.array([4]))
    for q in (0.5, 0.95, 0.99):
        got, _ = sketch.quantile(held, np.array([4]), q)
        exact = np.quantile(micros, q, method="inverted_cdf")
        assert got[0] == pytest.approx(exact, rel=SKETCH_GAMMA - 1)
