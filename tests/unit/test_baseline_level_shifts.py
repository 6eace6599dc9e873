"""What is anomalous is not learned; what stays so becomes the new normal, once and for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tocsin.flow.alerts.annotate import ChangeTable
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.baseline.expect.counts import expect
from tocsin.flow.baseline.history import level_shifts
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.baseline.history.history import History
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.series import EPOCH, frame_of, frames_of
from tocsin.flow.rule_tests.stored_hours import blobs_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import Change, WindowFrame, join_series

RULES = [rule for rule in load_rules() if rule.id in {"spike_runs", "drop_runs", "flatline"}]
SHOP = join_series("runs_by_service", "prod", "shop")
SETTINGS = DetectSettings(window_s=300, warmup_windows=24)
HOUR, DAY = 12, 288  # windows


def frames(text: str, seed: int = 1, start: int = EPOCH) -> list[WindowFrame]:
    return frames_of({"runs_by_service": text}, window_s=300, seed=seed, start=start)


class Run:
    """An evaluator that is fed frames, its store beside it."""

    def __init__(
        self, weekly: Sequence[float] = (), settings: DetectSettings = SETTINGS, start: int = EPOCH
    ) -> None:
        self.settings, self.start = settings, start
        self.blobs: dict[str, bytes] = {}
        if weekly:
            past = {(SHOP, "n"): weekly}
            calendar = settings.calendar
            self.blobs = blobs_of(past, start=start, weeks=4, calendar=calendar)
        self.events: list[AlertEvent] = []
        self.resume()

    def resume(self) -> None:
        self.evaluator = ShardEvaluator(RULES, self.settings)
        self.evaluator.restore(self.blobs)

    def feed(self, windows: Sequence[WindowFrame], changes: ChangeTable | None = None) -> Run:
        for frame in windows:
            result = self.evaluator.evaluate_window(frame, changes)
            self.events += result.events
            for key, value in result.blobs.items():
                if value is None:
                    self.blobs.pop(key, None)
                else:
                    self.blobs[key] = value
        return self

    def openings(self) -> list[tuple[str, int]]:
        """(rule, window) of each alert that opened."""
        return [
            (event.rule, (event.onset // 1000 - self.start) // 300)
            for event in self.events
            if event.reason == "opened"
        ]


@pytest.mark.parametrize("weekly", [(), [480.0] * 24])
def test_six_bad_hours_neither_blind_nor_is_the_return_news(weekly: list[float]) -> None:
    calm, bad = "~40/30", "~800/30"
    run = Run(weekly).feed(
        frames(f"{calm}x{DAY - 1} {bad}x{6 * HOUR - 1} {calm}x{6 * HOUR - 1} {bad}x2")
    )
    assert run.openings() == [("spike_runs", DAY), ("spike_runs", DAY + 12 * HOUR)]


@pytest.mark.slow
def test_after_six_bad_hours_no_more_false_alarms_than_without() -> None:
    """Five days each: bursty traffic with a daily shape, with and without an incident."""
    told = []
    for bad in (False, True):
        rng = np.random.default_rng(4)
        shape = 60 * (1.2 + np.sin(np.arange(5 * DAY) / DAY * 2 * np.pi))
        counts = rng.negative_binomial(8, 8 / (8 + shape))
        if bad:
            counts[3 * DAY : 3 * DAY + 6 * HOUR] *= 15
        run = Run().feed(frames(" ".join(map(str, counts))))
        told.append([o for o in run.openings() if o[1] >= 3 * DAY + 6 * HOUR])
    assert len(told[1]) <= 1.1 * len(told[0])


@pytest.mark.parametrize("weekly", [(), [480.0] * 24])
@pytest.mark.parametrize(
    ("level", "rule"),
    [pytest.param(800, "spike_runs", marks=pytest.mark.slow), (25, "drop_runs")],
)
def test_a_new_level_is_told_once_and_is_normal_within_a_day(
    weekly: list[float], level: int, rule: str
) -> None:
    calm = 40 if level > 40 else 80
    weekly = [12.0 * calm] * 24 if weekly else []
    text = f"~{calm}/30x{6 * HOUR - 1} ~{level}/30x{30 * HOUR - 1}"
    run = Run(weekly).feed(frames(text, seed=3))
    assert [name for name, _ in run.openings()] == [rule]
    (end,) = [event for event in run.events if event.status == "resolved"]
    assert end.at // 1000 - EPOCH <= (6 + 24 + 4) * 3600  # a day, and to clear
    assert _expected(run) == pytest.approx(level, rel=0.25)


def test_an_acknowledged_level_is_normal_at_once() -> None:
    run = Run([480.0] * 24).feed(frames(f"~40/30x{6 * HOUR - 1} ~800/30x{2 * HOUR - 1}", seed=3))
    (state,) = run.evaluator.alerts.states.values()
    run.evaluator.alerts._states = {
        state.fingerprint: msgspec.structs.replace(state, status="acknowledged")
    }
    later = frames(f"~800/30x{3 * HOUR - 1} ~9000/30x2", start=EPOCH + 8 * 3600, seed=5)
    run.feed(later)
    assert [name for name, _ in run.openings()] == ["spike_runs"] * 2
    assert run.openings()[1][1] == 11 * HOUR


@pytest.mark.parametrize("told", [True, False])
def test_a_deploy_at_the_onset_explains_a_new_level(*, told: bool) -> None:
    at_ms = (EPOCH + 6 * 3600) * 1000
    deploy = Change(at_ms, "deploy", "prod", "shop" if told else "other", "shop", "v2", "ci", at_ms)
    run = Run([480.0] * 24).feed(
        frames(f"~40/30x{6 * HOUR - 1} ~800/30x{5 * HOUR - 1}", seed=3), ChangeTable([deploy])
    )
    expected = 800 if told else 40
    assert _expected(run) == pytest.approx(expected, rel=0.3)


@pytest.mark.slow
def test_a_restart_at_any_time_of_a_level_shift_changes_nothing() -> None:
    windows = frames(f"~40/30x{6 * HOUR - 1} ~800/30x{27 * HOUR - 1} ~40/30x{2 * HOUR - 1}", seed=6)
    one, two = Run([480.0] * 24), Run([480.0] * 24)
    one.feed(windows)
    for i in range(0, len(windows), 41):
        two.feed(windows[i : i + 41])
        two.resume()
    assert [e.encode() for e in one.events] == [e.encode() for e in two.events]
    assert one.blobs == two.blobs


@pytest.mark.parametrize("start", ["2023-10-29T22:00", "2023-03-26T22:00"])
def test_habits_move_with_the_clocks(start: str) -> None:
    """Monday after daylight saving began or ended: the day's tenfold rise comes by the wall."""
    calendar = Calendar("Europe/Berlin")
    at = round(np.datetime64(start, "s").astype(int))
    weekly = [240.0] * 8 + [9600.0] * 10 + [240.0] * 6
    hours = [weekly[calendar.slot(at + i * 3600) % 24] for i in range(24)]
    text = " ".join(f"~{hour / 12:.0f}/60x11" for hour in hours)
    run = Run(weekly, replace(SETTINGS, calendar=calendar), at).feed(frames(text, start=at))
    assert run.openings() == []
    utc = Run([*weekly[1:], weekly[0]], SETTINGS, at).feed(frames(text, start=at))
    assert utc.openings() or start.startswith("2023-10")


def test_windows_that_are_missing_and_come_together_are_no_alarm() -> None:
    windows = frames("~40/30x59 ~9/30 ~80/30 ~40/30x29 ~4/30x1 ~120/30 ~40/30x29")
    assert Run().feed([*windows[:70], *windows[75:]]).openings() == []


@pytest.mark.slow
def test_birth_is_silent_and_death_is_told_once() -> None:
    run = Run().feed(frames(f"_x30 ~40/30x{2 * DAY - 1} _x{2 * DAY}"))
    assert [rule for rule, _ in run.openings()] == ["flatline"]


def test_series_may_be_born_at_any_time_between_hours() -> None:
    """What the clock expects is worked out once an hour, for the series of that hour."""
    history = History(900, ["n"], {})
    for i in range(5 * 96):
        names = [f"{SHOP}{k}" for k in range(1 + i // 3)][-40:]
        frame = frame_of(EPOCH + i * 900, 900, {name: {"n": 90} for name in names})
        rows = history.rows(frame.series)
        expect(history, "n", rows, at=frame.start, warmup=4)
        history.learn(frame, {})


def test_noise_about_a_new_mean_is_a_level_and_a_ramp_is_not_yet() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(0, 0.2, 100)
    assert level_shifts.is_new_level(before, rng.normal(1.5, 0.2, 16))
    assert not level_shifts.is_new_level(before, np.linspace(0.2, 4, 16))
    assert not level_shifts.is_new_level(before, rng.normal(1.5, 0.2, 15))
    assert not level_shifts.is_new_level(before, np.where(np.arange(16) % 2, 1.5, -1.5))


def _expected(run: Run) -> float:
    history = run.evaluator.detector.history
    row = history.rows([SHOP])
    assert history.last is not None
    found = expect(history, "n", row, at=history.last + 300, warmup=24)
    assert found.ready.all()
    return float(found.high[0])
