"""What the residual bank says of the cases an operator knows. Seeds are fixed."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.flow.baseline.residual import ALERT_SCORE, ResidualBank

DAY = 1440
SEED = 23


def traffic(days: int, seed: int = SEED) -> np.ndarray:
    """A deep day with noise that grows with the level, one value a minute."""
    rng = np.random.default_rng(seed)
    t = np.arange(days * DAY)
    base = 500 - 350 * np.cos(2 * np.pi * t / DAY)
    return base * (1 + 0.03 * rng.normal(size=len(t)))


def alerts(x: np.ndarray, interval_s: float = 60.0) -> list[int]:
    out = ResidualBank(interval_s, 1).score(x[None])
    return np.flatnonzero(out.alert[0]).tolist()


@pytest.mark.slow
def test_a_healthy_week_is_quiet() -> None:
    told = [row for seed in range(8) for row in alerts(traffic(7, seed))]
    assert len([row for row in told if row >= DAY]) <= 2, told
    assert len(told) <= 8, told


def test_a_constant_series_is_silent_and_its_first_move_is_told_at_once_and_once() -> None:
    x = np.full(3 * DAY, 7.0)
    assert alerts(x) == []
    x[3000:3005] = 8.0
    assert alerts(x) == [3000]


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.6, 3.0])
def test_a_spike_or_a_dip_is_told_within_two_minutes(factor: float) -> None:
    x = traffic(8)
    x[9000:9012] *= factor
    told = [row for row in alerts(x) if 8990 <= row < 9100]
    assert told
    assert 9000 <= told[0] <= 9002
    assert len(told) <= 2


def test_a_level_that_moves_for_good_is_told_and_then_normal() -> None:
    x = traffic(12)
    x[9000:] *= 1.5
    told = [row for row in alerts(x) if row >= 8990]
    assert told[0] <= 9003
    assert [row for row in told if row > 9000 + 2 * DAY] == []


@pytest.mark.slow
def test_six_hours_of_trouble_do_not_spoil_what_was_learnt() -> None:
    healthy, x = traffic(14), traffic(14)
    x[7 * DAY : 7 * DAY + 360] *= 0.3
    after = [row for row in alerts(x) if row > 7 * DAY + 600]
    before = [row for row in alerts(healthy) if row > 7 * DAY + 600]
    assert len(after) <= len(before) + 1
    x[11 * DAY : 11 * DAY + 10] *= 0.3
    assert any(11 * DAY <= row <= 11 * DAY + 2 for row in alerts(x)), "and it still sees"


def test_a_job_at_the_same_time_every_day_is_learnt() -> None:
    x = traffic(10)
    for day in range(10):
        x[day * DAY + 700 : day * DAY + 705] *= 2
    told = [row for row in alerts(x) if row > 4 * DAY and row % DAY in range(690, 720)]
    assert len(told) <= 1
    x[9 * DAY + 900 : 9 * DAY + 905] *= 2
    assert any(9 * DAY + 900 <= row <= 9 * DAY + 902 for row in alerts(x))


def test_a_gap_is_not_an_anomaly_and_what_follows_is_judged() -> None:
    x = traffic(8)
    x[9000:9240] = np.nan
    assert [row for row in alerts(x) if 9000 <= row <= 9300] == []
    x[9300:9305] *= 3
    assert [row for row in alerts(x) if 9000 <= row <= 9310][:1] == [9300]


def test_nothing_is_said_of_the_first_values() -> None:
    x = traffic(1)
    x[100] *= 50
    out = ResidualBank(60.0, 1).score(x[None])
    assert not out.score[0, :144].any()
    assert out.score[0, 144:].all()


@pytest.mark.slow
def test_the_same_peak_over_and_over_says_less_and_less() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(50, 1, 20 * 288)
    peaks = np.arange(600, len(x), 401)
    x[peaks] += 15
    score = ResidualBank(300.0, 1).score(x[None]).score[0]
    assert score[peaks[1]] > 0.85
    assert score[peaks[-3:]].mean() < score[peaks[1]] - 0.1
    x[peaks[-1]] += 30
    assert ResidualBank(300.0, 1).score(x[None]).score[0, peaks[-1]] > ALERT_SCORE


def test_expected_is_near_the_value_and_sigma_near_its_noise() -> None:
    x = traffic(8)
    out = ResidualBank(60.0, 1).score(x[None])
    z = (x - out.expected[0])[3 * DAY :] / out.sigma[0, 3 * DAY :]
    assert 0.8 < np.std(z) < 1.25


def test_p_is_not_smaller_than_it_says_on_noise() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_t(5, (20, 10 * 288))
    p = ResidualBank(300.0, 20).score(x).p[:, 600:]
    for level in (1e-1, 1e-2, 1e-3):
        assert (p < level).mean() < 1.5 * level
