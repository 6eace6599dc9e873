"""`tocsin_client`: what is published decodes to what was meant, and holds no content."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from memory_broker import MemoryBroker
from memory_bus import MemoryBus
from tocsin.bus.base import TopicSpec
from tocsin.flow.decode import Limits, decode
from tocsin.types import SPAN_SCHEMA, Kind
from tocsin_client import Publisher, Settings, SettingsError, Span
from unit.decode_samples import END_NS, KEY, native
from unit.decode_samples import encode as encoded
from unit.decode_samples import one as only

SETTINGS = Settings(fingerprint_key=KEY.decode())
TOPIC = SETTINGS.spans_topic
SECRET = "jane@example.com asked for a refund"


def memory(partitions: int = 2) -> MemoryBus:
    bus = MemoryBus()
    bus.create(TopicSpec(TOPIC, partitions))
    return bus


def publisher(bus: MemoryBus, **more: Any) -> Publisher:
    ticks, broker = count(END_NS, 1_000_000), MemoryBroker(bus)
    given: dict[str, Any] = {"service": "shop", "settings": SETTINGS, "now_ns": lambda: next(ticks)}
    return Publisher(broker=broker, **(given | more))


def spans(bus: MemoryBus) -> list[dict[str, Any]]:
    """The decoded spans in the order they ended, without what is not known of them."""
    decoded = decode(bus.records(TOPIC), Limits(), KEY)
    assert decoded.rejects == ()
    rows = decoded.spans.drop("row").sort("end_ns").iter_rows(named=True)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


async def test_what_is_published_decodes_to_what_was_meant() -> None:
    bus = memory()
    async with publisher(bus, env="prod", release="7.1") as out:  # noqa: SIM117
        async with out.run(agent="planner", workflow="care", route="refund") as run:
            async with run.tool("search", arguments={"q": SECRET}) as tool:
                tool.result([SECRET])
            async with run.step("act") as step, step.llm("gpt-5", provider="openai") as call:
                call.usage(
                    input_tokens=100, output_tokens=20, cache_read_tokens=40, cache_write_tokens=1,
                    reasoning_tokens=5, cost_usd=0.25, ttft_ms=12.5, finish_reason="stop",
                    model="gpt-5-mini",
                )  # fmt: skip
            run.handoff("billing")
            async with run.agent("billing") as agent:
                agent.score("csat", 0.5)
    assert out.counts.published == 7
    assert (out.counts.dropped, out.counts.invalid) == (0, 0)
    tool_span, call_span, step_span, handoff, score, agent_span, run_span = spans(bus)
    common = {
        "trace_id": run.trace_id, "env": "prod", "service": "shop", "release": "7.1",
        "agent": "planner", "workflow": "care", "route": "refund", "error": False,
        "timeout": False,
    }  # fmt: skip

    def meant(span: Span, kind: Kind, parent: Span | None, begin: int, end: int) -> dict[str, Any]:
        times = {"start_ns": END_NS + begin * 1_000_000, "end_ns": END_NS + end * 1_000_000}
        own = {"span_id": span.span_id, "kind": kind.value}
        return common | times | own | ({"parent_id": parent.span_id} if parent else {})

    def took(span: dict[str, Any]) -> tuple[int, int]:
        return tuple((span[at] - END_NS) // 1_000_000 for at in ("start_ns", "end_ns"))

    arguments = only(encoded(native(tool_arguments={"q": SECRET}, tool_result=[SECRET])))
    assert tool_span == meant(tool, Kind.TOOL, run, *took(tool_span)) | {
        "tool": "search", "args_hash": arguments["args_hash"],
        "result_hash": arguments["result_hash"],
    }  # fmt: skip
    assert call_span == meant(call, Kind.LLM, step, *took(call_span)) | {
        "stage": "act", "provider": "openai", "model": "gpt-5-mini", "model_requested": "gpt-5",
        "input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 40,
        "cache_write_tokens": 1, "reasoning_tokens": 5, "cost_nano": 250_000_000,
        "ttft_ns": 12_500_000, "finish_reason": "stop",
    }  # fmt: skip
    assert step_span == meant(step, Kind.STEP, run, *took(step_span)) | {"stage": "act"}
    assert handoff["kind"] == Kind.HANDOFF
    assert (handoff["handoff_from"], handoff["handoff_to"]) == ("planner", "billing")
    assert (score["score_name"], score["score"], score["agent"]) == ("csat", 0.5, "billing")
    assert agent_span == meant(agent, Kind.AGENT, run, *took(agent_span)) | {"agent": "billing"}
    assert run_span == meant(run, Kind.AGENT, None, *took(run_span))
    assert all(span["end_ns"] > span["start_ns"] for span in (tool_span, call_span, run_span))
    assert {record.key for record in bus.records(TOPIC)} == {run.trace_id.encode()}
    assert SPAN_SCHEMA.keys() >= run_span.keys()


async def test_no_content_is_in_the_bytes_whatever_happens() -> None:
    bus = memory()
    async with publisher(bus) as out:
        with pytest.raises(ValueError, match="jane"):  # noqa: PT012 - what raises is the block
            async with out.run(agent="a") as run, run.tool("t", arguments=SECRET) as call:
                call.result({"deep": [SECRET]})
                raise ValueError(SECRET)
    assert len(bus.records(TOPIC)) == 2
    for record in bus.records(TOPIC):
        for word in ("jane", "example.com", "refund"):
            assert word.encode() not in (record.value or b"") + (record.key or b"")
        assert not {"tool_arguments", "tool_result"} & json.loads(record.value or b"").keys()


@pytest.mark.parametrize(
    ("error", "timeout"),
    [(KeyError("x"), False), (TimeoutError(), True), (asyncio.CancelledError(), False)],
)
async def test_an_exception_is_an_error_of_its_class_and_goes_on(
    error: BaseException, timeout: bool
) -> None:
    bus = memory()
    async with publisher(bus) as out:
        with pytest.raises(type(error)):
            async with out.run(workflow="w"):
                raise error
        async with out.run(workflow="w") as run:
            run.fail("quota")
    raised, said = spans(bus)
    assert (raised["error"], raised["timeout"]) == (True, timeout)
    assert raised["error_class"] == type(error).__name__
    assert raised["kind"] == Kind.WORKFLOW
    assert (said["error"], said["error_class"]) == (True, "quota")


async def test_what_is_against_the_contract_is_counted_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = memory()
    async with publisher(bus) as out, out.run(agent="ab-" * 100_000) as run:
        for tokens in (-1, "many", float("nan"), True):
            async with run.llm("m") as call:
                call.usage(input_tokens=tokens)  # type: ignore[arg-type]
        async with run.tool("\ud800"):
            pass
    assert (out.counts.invalid, out.counts.published) == (5, 1)
    [span] = spans(bus)
    assert span["agent"] == ("ab-" * 100)[: Limits().max_string]
    assert "input_tokens" in caplog.text
    assert "many" not in caplog.text


@pytest.mark.slow
async def test_a_broker_that_is_away_costs_spans_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = replace(SETTINGS, bootstrap="localhost:1", connect_timeout_s=0.2)
    out = Publisher(service="shop", settings=away, buffer=10, close_timeout_s=0.5)
    loop = asyncio.get_running_loop()
    with caplog.at_level(logging.WARNING, "tocsin_client"):
        async with out:
            began = loop.time()
            for _ in range(25):
                async with out.run(agent="a"):
                    pass
            assert loop.time() - began < 0.5, "nobody waits for the broker"
            assert out.counts.dropped == 15
            await asyncio.sleep(0.5)
            closing = loop.time()
    assert loop.time() - closing < 2
    assert (out.counts.published, out.counts.dropped) == (0, 25)
    said = [r.getMessage() for r in caplog.records if r.name == "tocsin_client"]
    assert sum("localhost:1" in sentence for sentence in said) == 1
    assert len(said) == 3, "each thing once, not once a span"


async def test_spans_wait_for_a_topic_that_comes_later() -> None:
    bus = MemoryBus()
    async with publisher(bus) as out:
        async with out.run(agent="a"):
            pass
        await asyncio.sleep(0.05)
        assert out.counts.published == 0
        bus.create(TopicSpec(TOPIC, 1))
    assert (out.counts.published, out.counts.dropped) == (1, 0)


async def test_after_the_close_spans_are_dropped_and_closing_again_is_harmless() -> None:
    bus = memory()
    async with publisher(bus) as out:
        run = out.run(agent="a")
    await out.close()
    async with run:
        pass
    run.end()
    assert (out.counts.published, out.counts.dropped) == (0, 1)


async def test_a_run_can_go_on_elsewhere() -> None:
    bus = memory()
    async with publisher(bus) as out:
        async with out.run(agent="a") as here:
            pass
        async with out.run(agent="b", trace_id=here.trace_id, parent_id=here.span_id):
            pass
    first, second = spans(bus)
    assert second["trace_id"] == first["trace_id"]
    assert second["parent_id"] == first["span_id"]


def test_two_ways_to_name_the_broker_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match="not both"):
        Publisher("kafka:9092", service="shop", settings=SETTINGS)
