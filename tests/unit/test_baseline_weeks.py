"""Six weeks by the hour: what is read is what was stored, on the wall clock, within bounds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.hour_codec import HOURS, HourBlock
from tocsin.flow.baseline.history.hour_values import STATISTICS
from tocsin.flow.baseline.history.weeks import Weeks
from tocsin.flow.detect.evaluate import weekly
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.rule_tests.series import frame_of
from tocsin.types import QuietHours, WindowFrame, join_series

SHOP = join_series("runs_by_service", "prod", "shop")
OFFICE = join_series("runs_by_service", "prod", "office")
#: Monday, 2023-11-13 00:00 UTC.
MONDAY = 1_699_833_600
QUARTER, HOUR, DAY = 900, 3_600, 86_400


def quarters(weeks: float, start: int = MONDAY) -> Iterator[WindowFrame]:
    """Windows of a quarter: a shop whose hours are 100, 101, ..., an office that has weekends."""
    for i in range(round(weeks * 7 * 96)):
        at = start + i * QUARTER
        hour = (at - MONDAY) // HOUR
        cells = {SHOP: {"n": 25 + hour % 168, "in": 2_500_000, "d:600": 25}}
        if (at // DAY + 3) % 7 < 5:
            cells[OFFICE] = {"n": 8, "in": 800}
        yield frame_of(at, QUARTER, cells)


def empty(calendar: Calendar | None = None) -> History:
    return History(QUARTER, ["n", "tokens"], {"duration": None}, calendar)


def live(
    history: History, frames: Iterator[WindowFrame], bad: int | None = None
) -> dict[str, bytes]:
    """Learn frames; `bad` is a window that is excluded for every series. Gives the store."""
    store: dict[str, bytes] = {}
    for frame in frames:
        rows = history.rows(frame.series)
        out = {"n": rows, "tokens": rows} if frame.start == bad else {}
        for key, value in history.learn(frame, out).items():
            if value is None:
                store.pop(key, None)
            else:
                store[key] = value
    return store


def test_an_hour_is_the_total_of_its_quarters() -> None:
    history = empty()
    live(history, quarters(0.2))
    rows = history.rows([SHOP])
    until = MONDAY + 20 * HOUR
    values = history.weeks.hours("n", rows, until, 5)[0]
    assert values == pytest.approx([4 * (25 + h) for h in range(15, 20)], rel=1e-3)
    assert history.weeks.hours("duration.p95", rows, until + 1_800, 1)[0, 0] == pytest.approx(
        history.weeks.hours("duration.p50", rows, until, 1)[0, 0]
    )


def test_before_birth_beyond_the_newest_and_past_six_weeks_is_unknown() -> None:
    _, weeks = pushed(Weeks(Catalog(), Calendar(), {"n": None}), [5.0] * 24, 10)
    values = weeks.hours("n", np.array([0]), MONDAY + 36 * HOUR, 36)[0]
    assert np.isnan(values[:10]).all()
    assert np.isnan(values[-2:]).all()
    assert np.isfinite(values[10:-2]).all()
    _, weeks = pushed(weeks, [6.0] * HOURS, 34)
    values = weeks.hours("n", np.array([0]), MONDAY + (HOURS + 34) * HOUR, HOURS + 1)[0]
    assert np.isnan(values[0])
    assert values[1:] == pytest.approx(np.full(HOURS, 6.0), rel=1e-3)


def test_what_is_excluded_is_left_out_and_the_rest_of_its_hour_stands_for_it() -> None:
    history = empty()
    live(history, quarters(0.1), bad=MONDAY + 5 * HOUR + QUARTER)
    assert history.weeks.hours("n", history.rows([SHOP]), MONDAY + 6 * HOUR, 1)[0, 0] == (
        pytest.approx(4 * 30, rel=1e-3)
    )


def test_an_hour_nobody_evaluated_is_unknown_and_a_silent_one_is_zero() -> None:
    history = empty()
    frames = [f for f in quarters(1) if not MONDAY + 5 * HOUR <= f.start < MONDAY + 6 * HOUR]
    live(history, iter(frames))
    rows = history.rows([SHOP, OFFICE])
    assert np.isnan(history.weeks.hours("n", rows, MONDAY + 6 * HOUR, 1)).all()
    sunday = history.weeks.hours("n", rows, MONDAY + 7 * DAY, 24)
    assert (sunday[1] == 0).all()
    assert np.isnan(history.weeks.hours("duration.p95", rows, MONDAY + 7 * DAY, 24)[1]).all()


@pytest.mark.slow
def test_a_series_that_pauses_for_the_weekend_finds_its_weeks_again() -> None:
    history = empty()
    live(history, quarters(3.2))
    rows = history.rows([OFFICE])
    assert history.age(rows, MONDAY + 22 * DAY)[0] > 21 * DAY
    same = history.weeks.same_hour("n", rows, MONDAY + 22 * DAY + 9 * HOUR, weeks=4)[0]
    assert same[1:] == pytest.approx([32, 32, 32], rel=1e-3)
    assert np.isnan(same[0])


def test_same_hours_come_oldest_week_first_with_their_neighbours() -> None:
    history = empty()
    live(history, quarters(3))
    at = MONDAY + 21 * DAY
    same = history.weeks.same_hour("n", history.rows([SHOP]), at + 5 * HOUR, weeks=2, around=1)[0]
    assert same == pytest.approx([4 * 29, 4 * 30, 4 * 31] * 2, rel=1e-3)


def test_days_are_totals_of_24_hours_back_from_now() -> None:
    history = empty()
    live(history, quarters(1))
    days = history.weeks.days("n", history.rows([OFFICE]), MONDAY + 7 * DAY, 8)[0]
    assert np.isnan(days[0])
    assert days[1:] == pytest.approx([768, 768, 768, 768, 768, 0, 0], rel=2e-3)


@pytest.mark.parametrize("weeks", [0.1, 1.003])
def test_a_restored_past_reads_the_same_and_goes_on_the_same(weeks: float) -> None:
    frames = list(quarters(weeks + 0.05))
    cut = round(weeks * 7 * 96)
    one = empty()
    store = live(one, iter(frames[:cut]), bad=frames[cut // 2].start)
    two = empty()
    two.restore(store)
    names, until = [SHOP, OFFICE], frames[cut - 1].start + QUARTER
    for name in one.weeks.names:
        mine = one.weeks.hours(name, one.rows(names), until, HOURS)
        theirs = two.weeks.hours(name, two.rows(names), until, HOURS)
        assert np.array_equal(mine, theirs, equal_nan=True)
    assert np.array_equal(
        one.weeks.age(one.rows(names), until), two.weeks.age(two.rows(names), until)
    )
    assert live(one, iter(frames[cut:])) == live(two, iter(frames[cut:]))


@pytest.mark.parametrize("hours", [5, HOURS - 3, HOURS + 50])
def test_restored_weeks_are_those_that_were_pushed(hours: int) -> None:
    totals = [float(i % 97) for i in range(hours)]
    store, one = pushed(Weeks(Catalog(), Calendar(), {"n": None}), totals)
    catalog = Catalog()
    two = Weeks(catalog, Calendar(), {"n": None})
    two.restore(store)
    rows, until = catalog.rows((SHOP,)), MONDAY + hours * HOUR
    mine, theirs = one.hours("n", rows, until, HOURS), two.hours("n", rows, until, HOURS)
    assert np.array_equal(mine, theirs, equal_nan=True)
    assert one.age(rows, until) == two.age(rows, until)
    assert pushed(one, [7.0] * 30, hours) == (pushed(two, [7.0] * 30, hours)[0], one)


def test_no_more_is_stored_than_six_weeks_and_two_days() -> None:
    store, _ = pushed(Weeks(Catalog(), Calendar(), {"n": None}), [5.0] * 1_400)
    days = [int(key[2:]) for key in store]
    assert len(days) in {43, 44}
    assert max(days) - min(days) == (len(days) - 1) * DAY


def test_a_series_silent_for_six_weeks_is_forgotten() -> None:
    store, weeks = pushed(Weeks(Catalog(), Calendar(), {"n": None}), [5.0] + [0.0] * (HOURS - 1))
    rows = np.array([0])
    assert weeks.hours("n", rows, MONDAY + HOURS * HOUR, HOURS)[0, 0] == pytest.approx(5, rel=1e-3)
    later, weeks = pushed(weeks, [0.0] * 2, HOURS)
    assert np.isnan(weeks.hours("n", rows, MONDAY + (HOURS + 2) * HOUR, HOURS)).all()
    catalog = Catalog()
    back = Weeks(catalog, Calendar(), {"n": None})
    back.restore(store | later)
    assert back.own_rows(catalog.rows((SHOP,)))[0] == -1


def pushed(weeks: Weeks, totals: list[float], since: int = 0) -> tuple[dict[str, bytes], Weeks]:
    """Close hours of one series; gives the store."""
    weeks._catalog.rows((SHOP,))
    store: dict[str, bytes] = {}
    for i, total in enumerate(totals, MONDAY // HOUR + since):
        for key, blob in weeks.push(i, {"n": np.array([total])}, known=True).items():
            if blob is None:
                store.pop(key, None)
            else:
                store[key] = blob
    return store, weeks


@given(st.floats(-1e15, 1e15))
def test_a_code_is_within_a_thousandth(value: float) -> None:
    block = HourBlock("cost", None)
    (back,) = block.decode(block.encode(np.array([value])))
    assert back == pytest.approx(value, rel=1e-3, abs=2e-3)


@given(st.floats(-20, 27))
def test_a_mean_of_logs_is_within_a_thousandth_of_the_value(value: float) -> None:
    block = HourBlock(f"duration.{STATISTICS[3]}", None)
    (back,) = block.decode(block.encode(np.array([value])))
    assert np.expm1(back - value) == pytest.approx(0, abs=1e-3)


def utc(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp())


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-11-23T08:00", "2026-11-16T08:00"),
        ("2026-10-26T08:00", "2026-10-19T07:00"),  # clocks went back: nine in Berlin both times
        ("2026-03-30T07:00", "2026-03-23T08:00"),  # clocks went forward
        ("2026-10-25T01:30", "2026-10-18T00:30"),  # the second 02:30 of the night
    ],
)
def test_a_week_before_is_the_same_time_on_the_wall(now: str, then: str) -> None:
    berlin = Calendar("Europe/Berlin")
    before = berlin.weeks_before(utc(now), 1)
    assert before == utc(then)
    assert berlin.slot(before) == berlin.slot(utc(now))


@cases(200)
@given(st.integers(utc("2020-01-01T00:00"), utc("2035-01-01T00:00")), st.integers(1, 6))
def test_in_utc_a_week_is_168_hours(at: int, weeks: int) -> None:
    assert Calendar().weeks_before(at, weeks) == at - weeks * 7 * DAY


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-06:00", ("2026-11-23T05:59", "2026-11-23T22:00"), ("2026-11-23T06:00",)),
        ("sat-sun 00:00-24:00", ("2026-11-22T12:00",), ("2026-11-23T00:00", "2026-11-20T23:00")),
        ("fri 20:00-07:00", ("2026-11-21T06:00",), ("2026-11-20T06:00", "2026-11-21T20:00")),
        ("sat-mon 12:00-13:00", ("2026-11-23T12:30",), ("2026-11-24T12:30",)),
    ],
)
def test_quiet_hours_are_ranges_of_the_wall_clock(
    text: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    calendar = Calendar(quiet_hours=(QuietHours.parse(text),))
    assert all(calendar.is_quiet(utc(at)) for at in inside)
    assert not any(calendar.is_quiet(utc(at)) for at in outside)


@pytest.mark.parametrize("text", ["", "22-6", "xyz 10:00-11:00", "10:00-10:00", "10:61-11:00"])
def test_what_is_no_range_of_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range of hours|no day"):
        QuietHours.parse(text)


def test_a_holiday_counts_as_a_weekend() -> None:
    calendar = Calendar("Europe/Berlin", (dt.date(2026, 12, 25),))
    assert calendar.is_holiday(utc("2026-12-24T23:30"))
    assert calendar.is_weekend(utc("2026-12-25T12:00"))
    assert not calendar.is_weekend(utc("2026-12-24T12:00"))


def test_hours_are_kept_of_what_rules_read_and_events_of_all_that() -> None:
    views = weekly(load_rules())
    assert "runs_by_service" in views["n"]
    assert all(found <= views["n"] for found in views.values())
    assert "tools_by_tool" not in views["tokens"]
