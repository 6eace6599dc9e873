"""An hour of a real LLM service raises no alert, and what is laid over it does.

`azure_conv_2023.csv` holds requests and tokens by minute (source and licence in its head).
Traffic swings from 201 to 502 requests a minute within the hour. Warm-up is cut to 20 windows,
a fifteenth of the shipped one, so every minute from 18:36 on is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.series import EPOCH, frame_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import join_series

_WARMUP = 20
_SERVICE = ("prod", "conversation")
_KEYS = (
    join_series("runs_by_service", *_SERVICE),
    join_series("calls_by_service", *_SERVICE),
    join_series("calls_by_model", *_SERVICE, "gpt-4"),
)
Minute = dict[str, int]


def minutes() -> list[Minute]:
    text = (Path(__file__).parent / "azure_conv_2023.csv").read_text()
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    return [
        {"n": int(n), "in": int(i), "out": int(o), "cost": int(i) * 2_500 + int(o) * 10_000}
        for _, n, i, o in rows[1:]
    ]


def replay(traffic: list[Minute]) -> list[tuple[int, AlertEvent]]:
    evaluator = ShardEvaluator(load_rules(), DetectSettings(warmup_windows=_WARMUP))
    told = []
    for number, minute in enumerate(traffic):
        cells = (
            {key: {k: v for k, v in minute.items() if v} for key in _KEYS} if minute["n"] else {}
        )
        frame = frame_of(EPOCH + number * 60, 60, cells)
        result = evaluator.evaluate_window(frame)
        told += [(number, event) for event in result.events]
    return told


def changed(traffic: list[Minute], where: slice, how: Callable[[Minute], Minute]) -> list[Minute]:
    out = list(traffic)
    out[where] = [how(minute) for minute in traffic[where]]
    return out


def test_the_fixture_is_the_trace() -> None:
    traffic = minutes()
    assert len(traffic) == 60
    assert sum(minute["n"] for minute in traffic) == 19_366
    n = np.array([minute["n"] for minute in traffic[1:-1]])
    assert (n.min(), n.max()) == (201, 502)


def test_an_hour_of_real_traffic_raises_no_alert() -> None:
    assert [(at, event.rule, event.summary) for at, event in replay(minutes())] == []


def level(traffic: list[Minute], at: int, field: str) -> float:
    """Mean of a field over the hour so far; it may be twice what the minute itself holds."""
    return float(np.mean([minute[field] for minute in traffic[1:at]]))


#: Every fourth of the hour; `make quick` takes three of them.
MINUTES = [
    pytest.param(at, marks=[pytest.mark.slow] * (at not in {25, 41, 57})) for at in range(25, 58, 4)
]


@pytest.mark.parametrize("at", MINUTES)
def test_eleven_times_the_requests_of_the_hour_are_told_in_their_window(at: int) -> None:
    traffic = minutes()
    times = 11 * level(traffic, at, "n") / traffic[at]["n"]
    told = replay(
        changed(traffic, slice(at, at + 1), lambda m: {k: round(times * v) for k, v in m.items()})
    )
    firing = [(number, event.rule) for number, event in told if event.status == "firing"]
    assert firing == [(at, "spike_runs")]


@pytest.mark.parametrize("at", MINUTES)
def test_prompts_that_grow_are_told_as_tokens_not_as_traffic(at: int) -> None:
    traffic = minutes()
    tokens = level(traffic, at, "in") + level(traffic, at, "out")
    told = replay(changed(traffic, slice(at, at + 1), lambda m: {**m, "in": round(11 * tokens)}))
    firing = [(number, event.rule) for number, event in told if event.status == "firing"]
    assert firing == [(at, "spike_tokens")]


@pytest.mark.parametrize("at", [25, 40, 50])
def test_five_minutes_of_silence_are_told_at_the_fifth(at: int) -> None:
    told = replay(changed(minutes(), slice(at, at + 6), lambda _: {"n": 0}))
    firing = [(number, event.rule) for number, event in told if event.status == "firing"]
    assert firing == [(at + 4, "flatline")]
