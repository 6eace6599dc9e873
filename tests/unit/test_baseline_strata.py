"""Like with like: a baseline in the mix of now is what numpy says it is."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.expect.strata import standardise
from tocsin.flow.baseline.graded import Graded, grade
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.seen_names import SeenNames
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.rule_tests.series import frames_of
from tocsin.types import WindowFrame, join_series

MODEL = join_series("calls_by_model", "prod", "shop", "gpt-5")
SHORT, LONG = "calls_by_model_input model=gpt-5 input_size=", "input_size=long"


def graded(text: dict[str, str]) -> tuple[Graded, np.ndarray]:
    """The newest window beside a past of the windows before it, and the row of the model."""
    frames: list[WindowFrame] = frames_of(text)
    history = History(60, ["n"])
    for frame in frames[:-1]:
        history.learn(frame, {})
    found = grade(history, frames[-1], SeenNames(), warmup=30)
    return found, history.catalog.rows((MODEL,))


def mix(healthy: str, now: str, short: tuple[int, int], long: tuple[int, int]) -> dict[str, str]:
    return {
        "calls_by_model model=gpt-5": f"{healthy}x239 {now}x14",
        f"{SHORT}short": f"{short[0]}@1000~0.4x239 {short[1]}@1000~0.4x14",
        f"{SHORT}long": f"{long[0]}@5000~0.4x239 {long[1]}@5000~0.4x14",
    }


TEXT = mix("500@1000~0.4&100@5000~0.4", "200@1000~0.4&400@5000~0.4", (500, 200), (100, 400))


def test_a_baseline_in_todays_mix_is_todays_distribution_where_only_the_mix_moved() -> None:
    found, rows = graded(TEXT)
    width = np.array([900])
    view, finer = "calls_by_model", "calls_by_model_input"
    like = standardise(found, "duration", rows, width, view, finer)
    for q in (0.1, 0.5, 0.9, 0.95):
        now, _ = sketch.quantile(like.now, rows, q)
        base, _ = sketch.quantile(like.base, rows, q)
        assert base[0] == pytest.approx(now[0], rel=0.05)
        plain, _ = sketch.quantile(found.history.sketches["duration"].baseline, rows, q)
        assert plain[0] < 0.9 * base[0]
    assert like.part[0] == 1.0
    assert like.n[0] == 15 * 600


def test_weights_cost_precision() -> None:
    found, rows = graded(TEXT)
    like = standardise(
        found, "duration", rows, np.array([900]), "calls_by_model", "calls_by_model_input"
    )
    whole = sketch.counts(found.history.sketches["duration"].baseline, rows)[0]
    assert 0.1 * whole < like.m[0] < 0.6 * whole


def test_strata_without_a_past_are_left_out_on_both_sides() -> None:
    text = TEXT | {f"{SHORT}huge": "_x240 300@9000~0.2x14"}
    found, rows = graded(text)
    like = standardise(
        found, "duration", rows, np.array([900]), "calls_by_model", "calls_by_model_input"
    )
    assert like.part[0] == pytest.approx(60 / 90)
    assert sketch.quantile(like.now, rows, 1.0)[0][0] < 4e7


def test_a_row_without_strata_says_so() -> None:
    found, rows = graded({"calls_by_model model=gpt-5": "20@1000~0.4x199"})
    like = standardise(
        found, "duration", rows, np.array([900]), "calls_by_model", "calls_by_model_input"
    )
    assert np.isnan(like.part[0])


def test_a_look_is_as_wide_as_its_volume_asks() -> None:
    found, rows = graded({"calls_by_model model=gpt-5": "10@1000~0.4x199"})
    asked = {100: 900, 150: 900, 151: 1800, 601: 7200, 1200: 7200, 1201: 0}
    for n, seconds in asked.items():
        assert lookback.least(found, "duration", rows, n)[0] == seconds
    merged = lookback.merged(found, "duration", rows, np.array([1800]))
    assert sketch.counts(merged, rows)[0] == 300
    cut = np.array([0])
    assert [int(v[0]) for v in lookback.above(found, "duration", rows, np.array([900]), cut)] == [
        150,
        150,
    ]
