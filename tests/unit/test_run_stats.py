"""Laws of the stats of runs: additive, lagging, restorable, slow to accept what broke a limit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.baseline.history.run_stats import (
    HELD_PERIODS,
    LAG_S,
    MIN_RUNS,
    PERIOD_S,
    PERIODS,
    QUANTITIES,
    RunStats,
    bucket_of,
    value_of,
)

T0_MS = 1_700_006_400_000 // (PERIOD_S * 1_000) * PERIOD_S * 1_000
PERIOD_MS, LAG_MS = PERIOD_S * 1_000, LAG_S * 1_000
KNOWN_MS = T0_MS + PERIOD_MS + LAG_MS


def learn(stats: RunStats, value: int, at_ms: int = T0_MS, *, held: bool = False) -> None:
    stats.learn(at_ms, "prod", "shop", "planner", [value] * len(QUANTITIES), held=held)


@given(st.integers(0, 10**12))
def test_a_bucket_holds_its_value_within_five_percent(value: int) -> None:
    upper = value_of(bucket_of(value))
    assert value <= upper <= value * 1.05
    assert value > 20 or upper == value


@given(st.lists(st.integers(0, 10**6), min_size=MIN_RUNS, max_size=300), st.integers(0, 99))
def test_order_and_a_restore_change_nothing(values: list[int], seed: int) -> None:
    one, other = RunStats(), RunStats()
    for value in values:
        learn(one, value)
    random.Random(seed).shuffle(values)
    for value in values:
        learn(other, value)
    blobs = {key: raw for key, raw in one.blobs(KNOWN_MS).items() if raw}
    assert blobs == other.blobs(KNOWN_MS)
    again = RunStats()
    again.restore(blobs)
    for quantity in QUANTITIES:
        level = one.level(KNOWN_MS, "prod", "shop", quantity)
        assert level == other.level(KNOWN_MS, "prod", "shop", quantity)
        assert level == again.level(KNOWN_MS, "prod", "shop", quantity)


def test_a_cell_is_read_an_hour_after_its_end_and_for_fourteen_days() -> None:
    stats = RunStats()
    for _ in range(MIN_RUNS):
        learn(stats, 7)
    assert stats.level(KNOWN_MS - 1, "prod", "shop", "depth") is None
    for agent in ("", "planner"):
        level = stats.level(KNOWN_MS, "prod", "shop", "depth", agent)
        assert level is not None
        assert (level.n, level.p50, level.p99) == (MIN_RUNS, 7, 7)
    assert stats.level(KNOWN_MS + (PERIODS - 1) * PERIOD_MS, "prod", "shop", "depth") is not None
    assert stats.level(KNOWN_MS + PERIODS * PERIOD_MS, "prod", "shop", "depth") is None
    gone = stats.blobs(KNOWN_MS + PERIODS * PERIOD_MS)
    assert list(gone.values()) == [None]


def test_too_few_runs_say_nothing() -> None:
    stats = RunStats()
    for _ in range(MIN_RUNS - 1):
        learn(stats, 7)
    assert stats.level(KNOWN_MS, "prod", "shop", "tokens") is None


def test_runs_that_broke_a_limit_count_after_seven_days() -> None:
    stats = RunStats()
    for _ in range(MIN_RUNS):
        learn(stats, 3)
        learn(stats, 9, held=True)
    now = stats.level(KNOWN_MS, "prod", "shop", "depth")
    later = stats.level(KNOWN_MS + HELD_PERIODS * PERIOD_MS, "prod", "shop", "depth")
    assert now is not None
    assert later is not None
    assert (now.p99, later.p99) == (3, 9)


def test_runs_that_looped_or_were_left_are_counted_and_not_learnt() -> None:
    stats = RunStats()
    for ended in (True, True, False):
        stats.note(T0_MS, "prod", "shop", "planner", ended=ended)
    assert stats.ends(KNOWN_MS, "prod", "shop") == (2, 1)
    assert stats.level(KNOWN_MS, "prod", "shop", "depth") is None


def test_a_book_of_another_version_is_refused() -> None:
    stats = RunStats()
    learn(stats, 1)
    (key, raw), *_ = stats.blobs(T0_MS).items()
    assert raw is not None
    with pytest.raises(ValueError, match="version 9"):
        RunStats().restore({key: raw.replace(b"\x92\x01", b"\x92\x09", 1)})
