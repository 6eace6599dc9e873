"""The replay laws: the same bytes again, however it is cut, and the same as live."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from memory_world import ROWS
from native import encode, fleet
from spans import T0_NS, span
from tocsin.config import Config
from tocsin.flow.alert import AlertEvent
from tocsin.flow.judge.rules import load_rules
from tocsin.run.replay import Tally, replay
from tocsin.run.replay import engine as module

SAME = {"trace_id": "loop", "tool": "search", "args_hash": "a" * 16, "result_hash": "b" * 16}
CALM = {"service": "svc1", "agent": "a", "error": False, "error_class": None}
TOOLS = [row for row in fleet(9, T0_NS + 120_000_000_000, 60, 8) if row["kind"] == "tool"]
LOOP = [row | SAME | CALM for row in TOOLS[:7]]
SPANS = [encode(row) for row in sorted([*ROWS, *LOOP], key=lambda row: row["end_ns"])]


def replayed(values: Iterable[bytes], **settings: object) -> list[AlertEvent]:
    async def run() -> list[AlertEvent]:
        config = Config(**settings)  # type: ignore[arg-type]
        return [event async for event in replay(values, config, load_rules(), Tally())]

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
        return [event async for event in replay(bad, Config(), load_rules(), tally)]

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


def long_runs(ended: int) -> list[bytes]:
    """Three runs of ninety model calls side by side, of odd prices: what they burn is told.

    The agent's own span comes so many steps before the last: the others are stragglers.
    """
    return [
        encode(
            span(
                kind="agent" if i // 3 == 90 - ended else "llm",
                trace_id=f"long-{i % 3}",
                span_id=f"s{i}",
                agent="a",
                end_ns=T0_NS + i * 700_000_000,
                start_ns=T0_NS + i * 700_000_000 - 500_000_000,
                model="small",
                input_tokens=500 + i,
                output_tokens=7,
                cost_nano=1_234_567 + 1_111 * i,
            )
        )
        for i in range(270)
    ]


@pytest.mark.parametrize("ended", [0, 1, 8])
def test_what_long_runs_have_burnt_does_not_depend_on_how_the_file_is_cut(
    ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replayed(long_runs(ended))
    assert {event.rule for event in whole} == {"run_burn"}
    monkeypatch.setattr(module, "_RECORDS", 5)
    assert sorted(told(replayed(long_runs(ended)))) == sorted(told(whole))
