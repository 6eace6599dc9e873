"""Laws of a shard's detection: causal, restartable, blind to flush timing, calm in calm."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings, ShardDetector
from tocsin.flow.rule_tests.series import EPOCH, frames_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import ChangedSeries, WindowFrame

RULES = load_rules()
SETTINGS = DetectSettings(warmup_windows=60, allowed_models=("gpt-*",))
#: One of everything: calm, then a spike, a silence, a shift, a strange model, slow calls.
INCIDENTS = {
    "runs_by_service": "~60@4000~0.5x229 ~900@4000~0.5x3 ~60@4000~0.5x59 _x12 ~60@4000~0.5x59",
    "runs_by_agent agent=planner": "~30x229 ~850x3 ~30x59 _x12 ~30x59",
    "calls_by_service": "~120x365",
    "calls_by_service.in": "~120000x365",
    "calls_by_model model=gpt-5": "~60@800~0.4x219 ~20@1300~0.4x145",
    "calls_by_model model=gpt-5-mini": "~60@300~0.4x219 ~100@300~0.4x145",
    "calls_by_model model=rogue": "_x300 1",
}


def told(events: list[AlertEvent]) -> list[bytes]:
    return [event.encode() for event in events]


def run(
    frames: list[WindowFrame],
    rules: tuple[Rule, ...] = RULES,
    settings: DetectSettings = SETTINGS,
    restart_every: int = 0,
    early: bool = False,
) -> list[AlertEvent]:
    """Events of all frames; optionally restarted from blobs, optionally seen while open."""
    evaluator, blobs = ShardEvaluator(rules, settings), dict[str, bytes]()
    events: list[AlertEvent] = []

    def keep(outcome_blobs: dict[str, bytes | None]) -> None:
        for key, value in outcome_blobs.items():
            if value is None:
                blobs.pop(key, None)
            else:
                blobs[key] = value

    for i, frame in enumerate(frames):
        if restart_every and i and i % restart_every == 0:
            evaluator = ShardEvaluator(rules, settings)
            evaluator.restore(blobs)
        if early:
            for part in (0.3, 0.7, 1.0):
                result = evaluator.evaluate_open(changed(frame, part), [], {}, frame.start * 1000)
                events += result.events
                keep(dict(result.blobs))
        result = evaluator.evaluate_window(frame)
        events += result.events
        keep(dict(result.blobs))
    return events


def changed(frame: WindowFrame, part: float) -> list[ChangedSeries]:
    counts: dict[str, dict[str, int]] = {}
    for owner, field, value in zip(frame.owner, frame.field, frame.value, strict=True):
        name = frame.fields[field]
        if ":" not in name:
            counts.setdefault(frame.series[owner], {})[name] = int(np.ceil(value * part))
    return [ChangedSeries(frame.start, name, found) for name, found in counts.items()]


@pytest.fixture(scope="module")
def frames() -> list[WindowFrame]:
    return frames_of(INCIDENTS, seed=11)


@pytest.fixture(scope="module")
def events(frames: list[WindowFrame]) -> list[AlertEvent]:
    return run(frames)


def test_each_incident_is_told_and_nothing_else(events: list[AlertEvent]) -> None:
    opened = {event.rule for event in events if event.reason == "opened"}
    assert opened == {
        "spike_runs", "flatline", "share_shift", "latency_calls", "unexpected_model",
    }  # fmt: skip


def test_a_spike_names_who_drove_it(events: list[AlertEvent]) -> None:
    spike = next(event for event in events if event.rule == "spike_runs")
    assert spike.onset == (EPOCH + 230 * 60) * 1000
    assert spike.at_least
    assert spike.observed is not None
    assert spike.observed == spike.bound


@pytest.mark.slow
def test_the_same_frames_give_the_same_events(
    frames: list[WindowFrame], events: list[AlertEvent]
) -> None:
    assert told(run(frames)) == told(events)


@pytest.fixture(scope="module")
def spike(frames: list[WindowFrame]) -> list[WindowFrame]:
    """The frames about the spike: a third of them, and no less odd."""
    return frames[140:240]


@pytest.fixture(scope="module")
def of_spike(spike: list[WindowFrame]) -> list[bytes]:
    events = run(spike)
    assert [(event.rule, event.reason) for event in events][:1] == [("spike_runs", "opened")]
    return told(events)


def test_nothing_about_a_spike_depends_on_chance_restarts_or_flush_timing(
    spike: list[WindowFrame], of_spike: list[bytes]
) -> None:
    """What the three slow tests below ask of every incident."""
    assert told(run(spike)) == of_spike
    assert told(run(spike, restart_every=46)) == of_spike
    assert told(run(spike, early=True)) == of_spike


@pytest.mark.slow
@pytest.mark.parametrize("every", [29, 113])
def test_a_restart_changes_nothing(
    frames: list[WindowFrame], events: list[AlertEvent], every: int
) -> None:
    assert told(run(frames, restart_every=every)) == told(events)


@pytest.mark.slow
def test_a_restart_in_the_middle_of_an_incident_changes_nothing(
    frames: list[WindowFrame], events: list[AlertEvent]
) -> None:
    part = frames[150:236]
    assert told(run(part, restart_every=1)) == told(run(part))


@pytest.mark.parametrize(
    "cut", [231, *(pytest.param(i, marks=pytest.mark.slow) for i in (300, 340))]
)
def test_no_score_depends_on_the_future(
    frames: list[WindowFrame], events: list[AlertEvent], cut: int
) -> None:
    until = (frames[cut - 1].start + 60) * 1000
    assert told(run(frames[:cut])) == told([event for event in events if event.at <= until])


@pytest.mark.slow
def test_flush_timing_changes_nothing(frames: list[WindowFrame], events: list[AlertEvent]) -> None:
    assert told(run(frames, early=True)) == told(events)


@pytest.fixture(scope="module")
def odd() -> list[WindowFrame]:
    """Twice the runs and the tokens: too little for any rule but those of the residual bank."""
    series = {
        "runs_by_service": "~100/1000x399 ~200/1000x29",
        "calls_by_service": "~300/1000x429",
        "calls_by_service.in": "~300000/1000x399 ~600000/1000x29",
    }
    return frames_of(series, seed=12, window_s=180)


@pytest.mark.slow
def test_what_is_odd_by_all_of_its_past_is_told_the_same_whatever_the_restarts(
    odd: list[WindowFrame],
) -> None:
    settings = DetectSettings(window_s=180, warmup_windows=60)
    whole = run(odd, settings=settings)
    assert "residual_runs" in {event.rule for event in whole if event.reason == "opened"}
    assert told(run(odd, settings=settings, restart_every=37)) == told(whole)
    assert told(run(odd, settings=settings, early=True)) == told(whole)
    assert told(run(odd[:410], settings=settings)) == told(
        [event for event in whole if event.at <= (odd[409].start + 180) * 1000]
    )


def test_an_open_window_is_judged_once_it_crosses_its_bound(frames: list[WindowFrame]) -> None:
    evaluator = ShardEvaluator(RULES, SETTINGS)
    for frame in frames[:230]:
        evaluator.evaluate_window(frame)
    spike = frames[230]
    now_ms = (spike.start + 20) * 1000
    assert not evaluator.evaluate_open(changed(spike, 0.1), [], {}, now_ms).events
    (event,) = evaluator.evaluate_open(changed(spike, 0.9), [], {}, now_ms).events
    assert (event.rule, event.at_least) == ("spike_runs", True)


def test_detection_needs_no_alert_state_but_the_groups_it_is_handed(
    frames: list[WindowFrame],
) -> None:
    detector = ShardDetector(RULES, SETTINGS)
    for frame in frames[:230]:
        detector.update(detector.detect_window(frame, {}, {}), {}, lambda *_: False)
    spike = changed(frames[230], 0.9)
    (finding,) = detector.detect_open(spike, [], {}, {}).findings
    assert (finding.rule, finding.breach) == ("spike_runs", True)
    assert detector.detect_open(spike, [], {}, {"spike_runs": {finding.group}}).findings == ()


def test_a_window_too_far_ahead_is_not_judged_early(frames: list[WindowFrame]) -> None:
    evaluator = ShardEvaluator(RULES, SETTINGS)
    for frame in frames[:200]:
        evaluator.evaluate_window(frame)
    ahead = frames[230]
    assert not evaluator.evaluate_open(changed(ahead, 1.0), [], {}, ahead.start * 1000).events


def test_windows_that_were_left_out_are_unknown_and_no_silence() -> None:
    evaluator = ShardEvaluator(RULES, SETTINGS)
    calm = frames_of({"runs_by_service": "50x99 _x10 50x4"})
    for frame in [*calm[:100], *calm[110:]]:
        result = evaluator.evaluate_window(frame)
        assert not result.events


def test_our_own_outage_is_no_silence() -> None:
    """Windows nobody evaluated, then a quiet minute by chance: three runs a minute go on."""
    frames = frames_of({"runs_by_service": "~3x299 _x4 ~3x59"}, seed=5)
    events = run([*frames[:200], *frames[300:]])
    assert [event.rule for event in events] == []


@pytest.mark.slow
def test_an_anomaly_of_six_hours_neither_blinds_nor_flags_the_return() -> None:
    text = "~40/30x399 ~600/30x359 ~40/30x239 ~600/30x2"
    events = run(frames_of({"runs_by_service": text}, seed=2))
    openings = [e for e in events if e.rule == "spike_runs" and e.reason == "opened"]
    assert [(e.onset // 1000 - EPOCH) // 60 for e in openings] == [400, 1000]
    assert {e.rule for e in events if e.reason == "opened"} == {"spike_runs"}


@pytest.mark.slow
def test_all_is_calm_where_nothing_happens() -> None:
    """A/A: 24 services of many kinds of traffic, 10 hours each: 1,400 series-hours, no alert."""
    rng = np.random.default_rng(20)
    text: dict[str, str] = {}
    for i in range(24):
        rate, size = float(rng.choice([0.3, 2, 8, 40, 200])), float(rng.choice([3, 10, 100]))
        a, b, at = 0.7 * rate, 0.3 * rate, f"service=s{i}"
        slow = f"@{rng.integers(300, 4000)}~{rng.choice([0.4, 0.8])}"
        text[f"runs_by_service {at}"] = f"~{rate}/{size}{slow}x599"
        text[f"runs_by_agent {at} agent=one"] = f"~{a:.2f}/{size}x599"
        text[f"calls_by_service {at}"] = f"~{3 * rate:.2f}/{size}x599"
        text[f"calls_by_service.in {at}"] = f"~{3000 * rate:.2f}/{size}x599"
        text[f"calls_by_model {at} model=gpt-a"] = f"~{2 * a:.2f}/{size}{slow}x599"
        text[f"calls_by_model {at} model=gpt-b"] = f"~{2 * b:.2f}/{size}{slow}x599"
    events = run(frames_of(text, seed=21), settings=DetectSettings(warmup_windows=120))
    assert [(event.rule, event.service, event.summary) for event in events] == []
