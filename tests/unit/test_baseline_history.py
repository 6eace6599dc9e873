"""The past of a shard: unknown is not zero, a restart changes nothing, memory is bounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from tocsin.flow.baseline.expect.counts import expect
from tocsin.flow.baseline.history.history import MINUTES_S, QUARTERS, History
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.rule_tests.series import EPOCH, frame_of, frames_of
from tocsin.types import WindowFrame, join_series

RUNS = join_series("runs_by_service", "prod", "shop")
OTHER = join_series("runs_by_service", "prod", "other")


def lived(
    frames: list[WindowFrame], excluded: dict[int, str] | None = None
) -> tuple[History, dict[str, bytes]]:
    history, blobs = History(60, ["n", "tokens"]), dict[str, bytes]()
    for i, frame in enumerate(frames):
        history.rows(frame.series)
        series = (excluded or {}).get(i)
        out = {"n": history.rows([series])} if series else {}
        for key, value in history.learn(frame, out).items():
            if value is None:
                blobs.pop(key, None)
            else:
                blobs[key] = value
    return history, blobs


def test_before_birth_is_unknown_and_silence_is_zero() -> None:
    history, _ = lived(frames_of({"runs_by_service": "_x3 5 _x2 7"}))
    values = history.counts.minutes("n", history.rows([RUNS]))[0, -7:]
    assert np.array_equal(values, [np.nan, np.nan, np.nan, 5, 0, 0, 7], equal_nan=True)


def test_windows_left_out_are_unknown_not_silent() -> None:
    frames = frames_of({"runs_by_service": "5x7"})
    history, _ = lived(frames[:3] + frames[5:])
    values = history.counts.minutes("n", history.rows([RUNS]))[0, -8:]
    assert np.array_equal(values, [5, 5, 5, np.nan, np.nan, 5, 5, 5], equal_nan=True)


def test_what_is_excluded_is_kept_but_not_learned() -> None:
    history, _ = lived(frames_of({"runs_by_service": "5x3 900 5"}), {4: RUNS})
    rows = history.rows([RUNS])
    assert np.isnan(history.counts.minutes("n", rows)[0, -2])
    assert history.counts.trailing("n", rows, 2)[0].tolist() == [900, 5]


def test_a_window_out_of_order_is_refused() -> None:
    frames = frames_of({"runs_by_service": "5x2"})
    history, _ = lived(frames)
    with pytest.raises(ValueError, match="not after"):
        history.learn(frames[1], {})


def test_a_window_must_divide_a_quarter_of_an_hour() -> None:
    with pytest.raises(ValueError, match="divide"):
        History(7, ["n"])


def busy_day(windows: int) -> list[WindowFrame]:
    """A steady series with durations, one that comes and goes, one that dies, one born late."""
    half = windows // 2
    return frames_of(
        {
            "runs_by_service": f"~20@300~0.5x{windows}",
            "runs_by_service service=bursts": " ".join(["9", "_x31"] * (windows // 32)),
            "runs_by_service service=dies": f"3@80x{half}",
            "runs_by_service service=late": f"_x{half} ~4@90x{windows - half}",
        }
    )


@pytest.mark.parametrize("gap", [slice(0, 0), slice(2, 11), slice(18, 19), slice(100, 160)])
@pytest.mark.parametrize("windows", [25, 200, 1_800])
def test_a_restored_history_expects_the_same(windows: int, gap: slice) -> None:
    """Also where `gap` windows were never evaluated."""
    frames = busy_day(windows)
    at = EPOCH + windows * 60
    del frames[gap]
    live, blobs = lived(frames, {len(frames) - 5: RUNS, len(frames) // 3: RUNS})
    back = History(60, ["n", "tokens"])
    back.restore(blobs)
    names = sorted(name for name in live.catalog.names if name)
    assert sorted(name for name in back.catalog.names if name) == names
    mine, theirs = live.rows(names), back.rows(names)
    for signal in ("n", "tokens"):
        for one, two in (
            (live.counts.minutes(signal, mine), back.counts.minutes(signal, theirs)),
            (live.counts.quarters(signal, mine, at), back.counts.quarters(signal, theirs, at)),
        ):
            assert np.array_equal(one, two, equal_nan=True)
    assert np.array_equal(live.age(mine, at), back.age(theirs, at))
    assert np.array_equal(live.silent_s(mine, at), back.silent_s(theirs, at))
    assert np.array_equal(live.counts.day_total("n", mine), back.counts.day_total("n", theirs))
    assert np.array_equal(
        sketch.counts(live.sketches["duration"].baseline, mine),
        sketch.counts(back.sketches["duration"].baseline, theirs),
    )
    for name in live.weeks.names:
        assert np.array_equal(
            live.weeks.hours(name, mine, at, 48),
            back.weeks.hours(name, theirs, at, 48),
            equal_nan=True,
        )
    assert np.array_equal(live.weeks.age(mine, at), back.weeks.age(theirs, at))
    for q in (0.5, 0.95):
        assert np.array_equal(
            sketch.quantile(live.sketches["duration"].baseline, mine, q)[0],
            sketch.quantile(back.sketches["duration"].baseline, theirs, q)[0],
            equal_nan=True,
        )


def test_blobs_and_series_are_bounded_by_what_is_kept() -> None:
    frames = busy_day(1_800)
    history, blobs = lived(frames)
    minutes = [key for key in blobs if key.startswith("m:")]
    quarters = [key for key in blobs if key.startswith("q:")]
    assert len(minutes) <= (MINUTES_S + QUARTER_S) // 60
    assert len(quarters) <= QUARTERS
    silent = frames_of({"runs_by_service": "1 _"}, start=frames[-1].start + 60)[1]
    for i in range(QUARTERS + 2):
        start = frames[-1].start + 60 + i * QUARTER_S
        history.learn(replace(silent, start=start), {})
    assert not [name for name in history.catalog.names if name]


def test_rows_are_reused_without_the_past_of_their_former_series() -> None:
    history, _ = lived([frame_of(EPOCH, 60, {RUNS: {"n": 50, "d:700": 50}})])
    row = int(history.rows([RUNS])[0])
    for i in range(1, QUARTERS + 3):
        history.learn(frame_of(EPOCH + i * QUARTER_S, 60, {}), {})
    last = EPOCH + (QUARTERS + 3) * QUARTER_S
    history.learn(frame_of(last, 60, {OTHER: {"n": 1}}), {})
    assert history.rows([OTHER])[0] == row
    assert np.nansum(history.counts.minutes("n", np.array([row]))) == 1
    assert history.age(np.array([row]), last)[0] < QUARTER_S


def expected_of(text: str, warmup: int = 20, signal: str = "n") -> tuple[bool, float, float]:
    frames = frames_of({"runs_by_service": text})
    history, _ = lived(frames)
    found = expect(history, signal, history.rows([RUNS]), at=frames[-1].start + 60, warmup=warmup)
    return bool(found.ready[0]), float(found.high[0]), float(found.size[0])


def test_not_ready_is_said_until_the_warm_up_is_over() -> None:
    assert not expected_of("100x59", warmup=288)[0]
    assert expected_of("100x59", warmup=20)[0]


def test_the_expected_count_is_the_local_level() -> None:
    assert expected_of("100x119 200x59")[1] == pytest.approx(200)


def test_one_burst_does_not_move_the_expected_count() -> None:
    assert expected_of("100x89 9000 100x28")[1] == pytest.approx(100)


def test_a_sparse_series_has_a_mean_not_a_median() -> None:
    ready, mean, _ = expected_of("~0.4x179")
    assert ready
    assert mean == pytest.approx(0.4, abs=0.15)


def test_dispersion_is_that_of_the_series() -> None:
    assert expected_of("~50/8x179")[2] == pytest.approx(8, rel=0.35)
    assert expected_of("~50x179")[2] > 100


def test_the_same_time_yesterday_widens_what_is_expected() -> None:
    frames = frames_of({"runs_by_service": "10x59 300x59 10x1334"})  # 24 hours and a quarter
    history, _ = lived(frames)
    rows = history.rows([RUNS])
    before = expect(history, "n", rows, at=EPOCH + 86_400 + 1_500, warmup=20)
    assert (before.low[0], before.high[0]) == pytest.approx((10, 10))
    during = expect(history, "n", rows, at=EPOCH + 86_400 + 5_400, warmup=20)
    assert (during.low[0], during.high[0]) == pytest.approx((10, 300))


@cases(40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["n", "tokens"]))
def test_whatever_crosses_a_spikes_bound_is_a_record(seed: int, signal: str) -> None:
    """The cheap first pass of `spike` loses nothing."""
    rng = np.random.default_rng(seed)
    names = [join_series("runs_by_service", "prod", f"s{i}") for i in range(8)]
    rates = rng.lognormal(2, 2, len(names))
    history = History(60, ["n", "tokens"], {})
    for i in range(80):
        counts = rng.negative_binomial(1, 1 / (1 + rates))
        cells = {
            name: {"n": int(n), "in": int(n * rng.gamma(1, 900))}
            for name, n in zip(names, counts, strict=True)
            if n
        }
        rows = history.rows(names)
        out = rows[rng.random(len(rows)) < 0.05]
        history.learn(frame_of(EPOCH + i * 60, 60, cells), {"n": out, "tokens": out})
    found = expect(history, signal, rows, at=EPOCH + 80 * 60, warmup=20, skip=1)
    value = np.maximum(np.floor(found.record) + 1, 1) + rng.integers(0, 3, len(rows))
    assert history.counts.is_record(signal, rows, value, skip=1)[found.ready].all()
