"""Restarts where the past is odd: series long dead under an alert, long windows, traces of errors.

What was lived through and what was restored are the same, and what is stored is what is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.baseline.frames import decode
from tocsin.flow.baseline.history.history import QUARTERS, History
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, TRACES
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.series import frames_of
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import WindowFrame, join_series

RULES = load_rules()
_FIVE_S = 300
_DEAD, _DAY = 72, QUARTERS * QUARTER_S // _FIVE_S  # windows: six hours of life, then 26 of death
_WHO_DIES = {"runs_by_service service=dead": f"~100x{_DEAD} _x{_DAY + 20}"}
_WHO_LIVES = {"runs_by_service service=alive": f"~100x{_DEAD + _DAY + 8} ~1900x4 ~100x8"}


def lived(
    evaluator: ShardEvaluator, frames: list[WindowFrame]
) -> Iterator[tuple[list[AlertEvent], dict[str, bytes]]]:
    """After each window its events, and all that is stored."""
    blobs: dict[str, bytes] = {}
    for frame in frames:
        result = evaluator.evaluate_window(frame)
        for key, raw in result.blobs.items():
            if raw is None:
                blobs.pop(key, None)
            else:
                blobs[key] = raw
        yield list(result.events), dict(blobs)


@pytest.mark.parametrize(
    "series",
    [pytest.param(_WHO_DIES, marks=pytest.mark.slow), _WHO_DIES | _WHO_LIVES],
    ids=["alone", "beside"],
)
@pytest.mark.parametrize("until", [_DEAD + _DAY - 2, _DEAD + _DAY + 2, _DEAD + _DAY + 7])
def test_a_series_dead_for_a_day_under_an_alert_is_no_trouble_to_a_restart(
    series: dict[str, str], until: int
) -> None:
    """Just before it is forgotten, just after, and while stored quarter-hours still name it."""
    rules = [rule for rule in RULES if rule.id in ("flatline", "spike_runs", "residual_runs")]
    settings = DetectSettings(window_s=_FIVE_S, warmup_windows=60)
    frames = frames_of(series, window_s=_FIVE_S, seed=4)
    live, back = (ShardEvaluator(rules, settings) for _ in range(2))
    *_, (_, blobs) = lived(live, frames[:until])
    marks = [decode(raw)[1] for key, raw in blobs.items() if key.startswith("q:")]
    assert any("service\x1fprod\x1fdead" in name for out in marks for name in out.get("n", ()))
    back.restore(blobs)
    one, other = live.detector.history, back.detector.history
    names = sorted(name for name in one.catalog.names if name)
    assert sorted(name for name in other.catalog.names if name) == names
    at = frames[until].start
    lived_day, stored_day = (h.counts.quarters("n", h.rows(names), at) for h in (one, other))
    assert np.array_equal(lived_day, stored_day, equal_nan=True)
    said = [
        [event.encode() for events, _ in lived(evaluator, frames[until:]) for event in events]
        for evaluator in (live, back)
    ]
    assert said[0] == said[1]
    assert len(said[0]) >= len(series)  # the old alert ends, the new one is told


@pytest.mark.parametrize("window_s", [450, 900])
def test_odd_values_are_told_whatever_the_length_of_the_windows(window_s: int) -> None:
    """Of windows so long fewer are kept than the usual traffic is the mean of else."""
    rules = [rule for rule in RULES if rule.id == "residual_runs"]
    settings = DetectSettings(window_s=window_s, warmup_windows=60)
    frames = frames_of({"runs_by_service": "~100/1000x299 ~400/1000x11"}, window_s=window_s)
    live = ShardEvaluator(rules, settings)
    events = [event for told, _ in lived(live, frames) for event in told]
    assert [(event.rule, event.reason) for event in events] == [("residual_runs", "opened")]


def test_cells_of_traces_are_stored_by_the_window_only() -> None:
    """Beside them all is as if there were none; what is restored looks back as what was lived."""
    calls = {"calls_by_service": "~9@400x199", "errors_by_class error_class=timeout": "3x199"}
    cells = calls | {"errors_by_class.traces error_class=timeout": "9x199"}
    live, blobs = learned(cells)
    _, plain = learned(calls)
    assert [key for key in blobs if not key.startswith("m:")] == [
        key for key in plain if not key.startswith("m:")
    ]
    assert all(blobs[key] == plain[key] for key in plain if not key.startswith("m:"))
    back = History(60, ["n"], _KEPT)
    back.restore(blobs)
    assert not [name for name in live.weeks.names if name.startswith(TRACES)]
    one, other = (history.sketches[TRACES] for history in (live, back))
    for past in (one, other):
        assert past.baseline is sketch.EMPTY
        assert not past.quarters()
    row = live.rows([join_series("errors_by_class", "prod", "shop", "timeout")])
    assert live.last is not None
    at = live.last + 60
    (lived_cells,), (stored_cells,) = (past.stacks(sketch.EMPTY, at, 9) for past in (one, other))
    assert sketch.counts(lived_cells.only(row), row).tolist() == [9 * 9]
    assert np.array_equal(lived_cells.only(row).key, stored_cells.only(row).key)


_KEPT = {"duration": None, TRACES: None}


def learned(series: dict[str, str]) -> tuple[History, dict[str, bytes]]:
    history, blobs = History(60, ["n"], _KEPT), dict[str, bytes]()
    for frame in frames_of(series, seed=9):
        for key, raw in history.learn(frame, {}).items():
            if raw is None:
                blobs.pop(key, None)
            else:
                blobs[key] = raw
    return history, blobs
