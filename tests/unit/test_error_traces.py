"""A new class of errors is news from three runs on: from spans to the alert."""

from __future__ import annotations

import pytest

from native import encode
from spans import T0_NS, span
from tocsin.config import Config
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.replay import replay

_MINUTE_NS = 60_000_000_000
_CALM, _BAD = 40, 10
_RULES = tuple(rule for rule in load_rules() if rule.id == "error_class_new")


def values(traces: int) -> list[bytes]:
    """Forty calm minutes of calls, then ten with a failing one each, of so many runs in turn.

    One threesome in 21 shares a cell, and a fourth is waited for; these three do not.
    """
    rows = []
    for minute in range(_CALM + _BAD + 2):
        end = T0_NS + minute * _MINUTE_NS
        bad = _CALM <= minute < _CALM + _BAD
        call = {"kind": "llm", "service": "shop", "model": "m", "start_ns": end - 1_000_000_000}
        rows.append(span(trace_id=f"calm-{minute}", span_id=f"c{minute}", end_ns=end, **call))
        if bad:
            rows.append(
                span(
                    trace_id=f"retry-{minute % traces}",
                    span_id=f"b{minute}",
                    end_ns=end + 1_000_000,
                    error=True,
                    error_class="schema_mismatch",
                    **call,
                )
            )
    return [encode(row) for row in rows]


@pytest.mark.parametrize(("traces", "told"), [(1, 0), (2, 0), (3, 1), (10, 1)])
async def test_ten_errors_of_a_new_class_ring_from_three_runs_on(traces: int, told: int) -> None:
    config = Config(watch={"warmup_windows": 30})
    events = [event async for event in replay(values(traces), config, _RULES)]
    opened = [event for event in events if event.reason == "opened"]
    assert len(opened) == told
    assert all("runs or more" in event.summary for event in opened)
