"""Each baseline is named as what it is, at each age of a series."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.flow.baseline.expect.counts import expect
from tocsin.flow.baseline.history.history import History
from tocsin.flow.rule_tests.series import frame_of
from tocsin.types import Baseline, join_series

SHOP = join_series("runs_by_service", "prod", "shop")
#: Monday, 2023-11-13 00:00 UTC.
MONDAY = 1_699_833_600
QUARTER, HOUR, DAY = 900, 3_600, 86_400
WARMUP = 4


def baseline_at(age_s: int, unlearned_s: int = 0) -> Baseline:
    """The baseline of a series of that age, whose newest windows are kept out of baselines."""
    history = History(QUARTER, ["n"])
    at = MONDAY + age_s
    for start in range(MONDAY, at, QUARTER):
        frame = frame_of(start, QUARTER, {SHOP: {"n": 100 + start // HOUR % 24}})
        rows = history.rows(frame.series)
        history.learn(frame, {"n": rows} if start >= at - unlearned_s else {})
    rows = history.rows([SHOP])
    return Baseline(int(expect(history, "n", rows, at=at, warmup=WARMUP).baseline[0]))


@pytest.mark.parametrize(
    ("age_s", "unlearned_s", "name"),
    [
        (30 * 60, 0, "none"),
        (6 * HOUR, 0, "last 3 h"),
        (20 * HOUR, 3 * HOUR, "last 24 h"),
        (30 * HOUR, 0, "last 3 h and same time yesterday"),
        (4 * DAY, 0, "same hour of earlier days"),
        (20 * DAY, 0, "same hour of earlier days"),
        (22 * DAY, 0, "same hour of earlier weeks"),
    ],
)
def test_a_count_is_compared_with_what_its_alert_names(
    age_s: int, unlearned_s: int, name: str
) -> None:
    assert baseline_at(age_s, unlearned_s).text == name


def test_no_two_baselines_have_one_name() -> None:
    assert len({baseline.text for baseline in Baseline}) == len(Baseline)


def test_a_column_of_baselines_is_a_column_of_integers() -> None:
    column = np.where([True, False], Baseline.HOUR_OF_DAY, Baseline.NONE)
    assert [Baseline(number) for number in column.tolist()] == [Baseline.HOUR_OF_DAY, Baseline.NONE]
