"""The watermark laws: time never goes back, our own lag is not silence, clocks are not trusted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spans import T0_NS, frame, span
from tocsin.flow.windows.event_time import TimeRules, place, watermark
from tocsin.flow.windows.watermark import closed_windows, low_watermark
from tocsin.types import Position

RULES = TimeRules(window_s=60, lateness_ms=30_000, horizon_ms=7_200_000, max_future_ms=600_000)
T0_MS = T0_NS // 1_000_000
T0_S = T0_MS // 1_000


def at(*seconds: float, ref_s: float = 3_600.0) -> list[bool]:
    """Whether each span that ends at T0 + s is late, in one partition's log."""
    spans = frame([span(end_ns=T0_NS + int(s * 1e9)) for s in seconds])
    spans = spans.with_columns(ref_ms=T0_MS + int(ref_s * 1_000))
    return place(spans, {}, RULES).spans["late"].to_list()


def test_a_span_is_late_only_when_its_window_had_closed_before_it() -> None:
    assert at(10, 89, 59) == [False, False, False]  # 89 - 30 < 60: the window is open
    assert at(10, 90, 59) == [False, False, True]  # 90 - 30 >= 60: it has closed
    assert at(10, 90, 61) == [False, False, False]


def test_a_span_does_not_make_itself_late() -> None:
    assert at(0, 3_000) == [False, False]


def test_spans_ahead_of_the_clock_or_beyond_the_horizon_are_put_outside_with_a_reason() -> None:
    spans = frame([span(end_ns=T0_NS + int(s * 1e9)) for s in (0, 601, -7_201, 599)])
    timed = place(spans.with_columns(ref_ms=T0_MS), {}, RULES)
    assert timed.outside["reason"].to_list() == ["future", "too_old"]
    assert timed.spans.height == 2


def test_a_clock_that_runs_ahead_does_not_close_windows_for_the_others() -> None:
    assert at(500, 59, ref_s=0) == [False, False]  # 500 s ahead of the broker, within tolerance


@given(st.lists(st.tuples(st.integers(0, 10**7), st.none() | st.integers(0, 10**7)), min_size=1))
def test_a_watermark_never_goes_back(moves: list[tuple[int, int | None]]) -> None:
    mark, high = None, 0
    for reached, idle_at in moves:
        high = max(high, reached)
        moved = watermark(high, mark, RULES, idle_at)
        assert moved is not None
        assert mark is None or moved >= mark
        mark = moved


def test_an_idle_partition_follows_the_clock_and_a_lagging_one_does_not() -> None:
    assert watermark(T0_MS, None, RULES) == T0_MS - 30_000
    assert watermark(T0_MS, None, RULES, idle_at_ms=T0_MS + 300_000) == T0_MS + 270_000


def positions(*marks: int | None) -> dict[int, Position]:
    return {p: Position(0, None, mark, 0) for p, mark in enumerate(marks)}


def test_the_topic_is_complete_up_to_its_slowest_partition() -> None:
    assert low_watermark(positions(5, 3, 9), 3) == 3


def test_a_partition_nobody_has_read_holds_every_window_open() -> None:
    assert low_watermark(positions(5, None), 2) is None
    assert low_watermark(positions(5, 6), 3) is None
    assert low_watermark({}, 0) is None


def closed(low_s: float, **given_: object) -> list[int]:
    known: dict = {"evaluated": None, "held": (), "complete_from_ms": 0, "window_s": 60}
    return closed_windows(int(low_s * 1_000), **known | given_)


def test_a_window_closes_when_the_low_watermark_reaches_its_end_and_not_before() -> None:
    assert closed(T0_S + 59.999, held=[T0_S]) == []
    assert closed(T0_S + 60, held=[T0_S]) == [T0_S]


def test_silence_closes_windows_that_hold_nothing() -> None:
    assert closed(T0_S + 240, evaluated=T0_S) == [T0_S + 60, T0_S + 120, T0_S + 180]


def test_the_first_window_is_the_first_complete_one_that_holds_anything() -> None:
    held = [T0_S, T0_S + 60, T0_S + 120]
    start = (T0_S + 30) * 1_000
    assert closed(T0_S + 180, held=held, complete_from_ms=start) == held[1:]
    assert closed(T0_S + 180, held=[]) == []


def test_windows_that_have_expired_from_the_store_are_skipped_not_taken_for_silence() -> None:
    oldest = T0_S + 130
    assert closed(T0_S + 240, evaluated=T0_S, oldest_s=oldest) == [T0_S + 180]


def test_windows_before_the_shard_lost_its_place_in_the_log_are_skipped_too() -> None:
    start = (T0_S + 90) * 1_000
    assert closed(T0_S + 240, evaluated=T0_S, complete_from_ms=start) == [T0_S + 120, T0_S + 180]


@given(st.integers(0, 50), st.lists(st.integers(0, 4_000), min_size=1, max_size=20))
def test_every_window_is_closed_once_and_in_order(first: int, lows: list[int]) -> None:
    evaluated: int | None = first * 60
    seen: list[int] = []
    low = 0
    for move in lows:
        low = max(low, move)
        starts = closed(low, evaluated=evaluated, limit=7)
        seen += starts
        evaluated = starts[-1] if starts else evaluated
    assert seen == sorted(set(seen))
    assert all(start + 60 <= low for start in seen)
