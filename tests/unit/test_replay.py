"""The replay laws: the same bytes again, however it is cut, and the same as live."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from memory_world import ROWS
from native import encode, fleet
from spans import T0_NS, span
from tocsin.config import Config
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.replay import Tally, replay
from tocsin.run.replay import engine as module

SAME = {"trace_id": "loop", "tool": "search", "args_hash": "a" * 16, "result_hash": "b" * 16}
CALM = {"service": "svc1", "agent": "a", "error": False, "error_class": None}
TOOLS = [row for row in fleet(9, T0_NS + 120_000_000_000, 60, 8) if row["kind"] == "tool"]
LOOP = [row | SAME | CALM for row in TOOLS[:7]]
SPANS = [encode(row) for row in sorted([*ROWS, *LOOP], key=lambda row: row["end_ns"])]


RULES = load_rules()
OF_RUNS = tuple(rule for rule in RULES if rule.id.startswith("run_"))


def replayed(
    values: Iterable[bytes], rules: tuple[Rule, ...] = RULES, **settings: object
) -> list[AlertEvent]:
    async def run() -> list[AlertEvent]:
        config = Config(**settings)  # type: ignore[arg-type]
        return [event async for event in replay(values, config, rules, Tally())]

    return asyncio.run(run())


def told(events: list[AlertEvent]) -> list[bytes]:
    return [event.encode() for event in events]


def test_the_same_file_gives_the_same_bytes() -> None:
    first = replayed(SPANS)
    assert {event.rule for event in first} == {"runaway_loop"}
    assert told(replayed(SPANS)) == told(first)


@pytest.mark.parametrize("records", [pytest.param(1, marks=pytest.mark.slow), 7, 100])
def test_what_is_told_does_not_depend_on_how_the_file_is_cut(
    records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = SPANS[220:300]
    whole = replayed(some)
    monkeypatch.setattr(module, "_RECORDS", records)
    cut = replayed(some)
    assert {event.alert_id for event in cut} == {event.alert_id for event in whole}
    assert cut[0].encode() == whole[0].encode()


@pytest.mark.parametrize("shards", [1, 4, 16])
def test_what_is_told_does_not_depend_on_the_number_of_shards(shards: int) -> None:
    assert sorted(told(replayed(SPANS, shards=shards))) == sorted(told(replayed(SPANS)))


def test_what_cannot_be_read_is_counted_and_spoils_nothing() -> None:
    tally = Tally()

    async def run() -> list[AlertEvent]:
        bad = [b"{", b"\xff", *SPANS, b"null"]
        return [event async for event in replay(bad, Config(), RULES, tally)]

    assert told(asyncio.run(run())) == told(replayed(SPANS))
    assert (tally.records, tally.spans, tally.refused) == (len(SPANS) + 3, len(SPANS), 3)


def test_a_long_loop_in_one_batch_is_told_as_early_as_live() -> None:
    """More steps of one run than its ring holds: no batch may hide the first of them."""
    calm = {"service": "svc1", "agent": "a", "error": False, "error_class": None}
    tools = [row for row in fleet(9, T0_NS, 400, 4) if row["kind"] == "tool"]
    loop = [encode(row | SAME | calm) for row in tools]
    assert len(loop) > 200
    first = replayed(loop)[0]
    assert (first.rule, first.observed) == ("runaway_loop", 3.0)
    assert first.encode() == replayed(loop[:3])[0].encode()


def long_runs(ended: int, *, tied: bool = False) -> list[bytes]:
    """Three runs of ninety model calls side by side, of odd prices: what they burn is told.

    The agent's own span comes so many steps before the last: the others are stragglers. If
    `tied`, the first of them ends in the same instant as the agent's span.
    """
    agents = 90 - ended
    ends = [i - 3 if tied and i // 3 == agents + 1 else i for i in range(270)]
    return [
        encode(
            span(
                kind="agent" if i // 3 == agents else "llm",
                trace_id=f"long-{i % 3}",
                span_id=f"s{i}",
                agent="a",
                end_ns=T0_NS + end * 700_000_000,
                start_ns=T0_NS + end * 700_000_000 - 500_000_000,
                model="small",
                input_tokens=500 + i,
                output_tokens=7,
                cost_nano=1_234_567 + 1_111 * i,
            )
        )
        for i, end in enumerate(ends)
    ]


@pytest.mark.parametrize(
    ("ended", "tied"),
    [
        *(pytest.param(ended, False, marks=pytest.mark.slow) for ended in (0, 1)),
        pytest.param(8, False, marks=pytest.mark.slow),
        (8, True),
    ],
)
def test_what_long_runs_have_burnt_does_not_depend_on_how_the_file_is_cut(
    ended: int, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = long_runs(ended, tied=tied)
    whole = replayed(recording)
    assert {event.rule for event in whole} == {"run_burn"}
    monkeypatch.setattr(module, "_RECORDS", 5)
    assert sorted(told(replayed(recording))) == sorted(told(whole))


HOUR_NS = 3_600_000_000_000


def a_run(trace: str, end_ns: int, steps: int, **call: object) -> list[dict[str, Any]]:
    """Model calls a second apart in one agent, over at `end_ns`."""
    starts = [end_ns - (steps - i) * 1_000_000_000 for i in range(steps)]
    calls = [
        span(trace_id=trace, span_id=f"{trace}{at}", parent_id=trace, kind="llm", agent="a",
             model="m", output_tokens=1, start_ns=at, end_ns=at + 500_000_000, **call)
        for at in starts
    ]  # fmt: skip
    root = span(trace_id=trace, span_id=trace, kind="agent", start_ns=starts[0], end_ns=end_ns)
    return [*calls, root | {"agent": "a"}]


def nested(trace: str, end_ns: int) -> list[dict[str, Any]]:
    """A run of agents in agents, five deep."""
    return [
        span(
            trace_id=trace, span_id=f"{trace}{d}", parent_id=f"{trace}{d - 1}" if d else None,
            kind="agent", agent=f"a{d}", start_ns=end_ns - 10_000_000_000,
            end_ns=end_ns - d * 1_000_000_000,
        )
        for d in range(5)
    ]  # fmt: skip


def far_apart(usual: str) -> list[bytes]:
    """Five hours of runs, then three hours of nothing, then a few that are held against them.

    One of the few is so long that a batch is cut into parts.
    """
    begun = [T0_NS + i * 2 * 60_000_000_000 for i in range(150)]
    later = T0_NS + 8 * HOUR_NS
    if usual == "small":
        rows = [row for i, at in enumerate(begun) for row in a_run(f"b{i}", at, 2, input_tokens=i)]
        rows += a_run("burns", later, 30, input_tokens=5_000)
    else:
        ends = [*begun, *(later + i * 60_000_000_000 for i in range(3))]
        rows = [row for i, at in enumerate(ends) for row in nested(f"b{i}", at)]
    rows += a_run("long", later + HOUR_NS // 3, 45, input_tokens=10, service="another")
    return [encode(row) for row in sorted(rows, key=lambda row: row["end_ns"])]


@pytest.mark.parametrize(("usual", "rules"), [("small", {"run_burn"}), ("deep", set())])
def test_what_is_known_of_other_runs_does_not_depend_on_how_the_file_is_cut(
    usual: str, rules: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of many hours: its last runs are held against its first, as live."""
    recording = far_apart(usual)
    whole = replayed(recording, OF_RUNS, shards=1)
    since = (T0_NS + 7 * HOUR_NS) // 1_000_000
    assert {event.rule for event in whole if event.at > since} == rules
    monkeypatch.setattr(module, "_RECORDS", 100)
    assert sorted(told(replayed(recording, OF_RUNS, shards=1))) == sorted(told(whole))
