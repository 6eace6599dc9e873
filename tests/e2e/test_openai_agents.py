"""One agent of the real OpenAI Agents SDK hands over to another, and Redis says who to whom."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tocsin.types import SEP
from world import World

SERVICE = Path(__file__).parents[2] / "deploy" / "examples" / "openai_agents_service"
ORDERS, INVOICES = 4, 3
#: What the model says each call used.
USED = {"in": 120, "out": 30, "cr": 20, "cw": 5, "rs": 10}
#: Spans of a question that one agent answers: a task and an agent; two turns, each with a
#: call of the model; a tool call. Handed over: one more agent, turn and call, and the handoff.
ANSWERED, HANDED_OVER = 2 + 2 * 2 + 1, 3 + 3 * 2 + 1 + 1


def serve(world: World, *options: str) -> subprocess.CompletedProcess[str]:
    """The example, as its README starts it, to its end."""
    return subprocess.run(
        [sys.executable, str(SERVICE / "service.py"), "--bootstrap", world.bootstrap,
         "--topic", world.config().topics.spans, *options],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


async def sums(world: World) -> Counter[tuple[str, str, str]]:
    """(view, dimensions after env and service, field) -> its sum over the last minutes."""
    now = int(time.time()) // 60 * 60
    total: Counter[tuple[str, str, str]] = Counter()
    for (_, series), counts in (await world.windows(range(now - 300, now + 61, 60))).items():
        view, env, service, *dims = series.split(SEP)
        assert (env, service) == ("prod", "support-desk"), "a span did not say whose it was"
        for field, value in counts.items():
            total[view, " ".join(dims), field] += value
    return total


async def test_a_handoff_between_two_agents_is_a_series(world: World) -> None:
    world.start("ingest")
    agent = serve(
        world, "--questions", str(ORDERS), "--handoffs", str(INVOICES), "--every", "0.3"
    )  # fmt: skip
    assert agent.returncode == 0, agent.stderr
    assert agent.stdout.count("triage: order") == ORDERS
    assert agent.stdout.count("billing: invoice") == INVOICES
    spans = ORDERS * ANSWERED + INVOICES * HANDED_OVER

    async def counted() -> bool:
        return (await world.account())["aggregated"] >= spans

    await world.until(counted, 30, "all spans on the books")
    assert (await world.account()).total() == spans, "a span was refused, late or doubled"
    total = await sums(world)

    def n(view: str) -> dict[str, int]:
        return {d: count for (v, d, field), count in total.items() if (v, field) == (view, "n")}

    assert n("handoffs_by_service") == {"": INVOICES}
    assert n("handoffs_by_pair") == {"triage billing": INVOICES}
    assert n("tools_by_agent_tool") == {
        "triage lookup_order": ORDERS, "billing find_invoice": INVOICES,
    }  # fmt: skip
    by_agent = {"triage": 2 * ORDERS + INVOICES, "billing": 2 * INVOICES}
    assert n("calls_by_agent") == by_agent
    assert n("calls_by_model") == {"gpt-5-mini-2025-08-07": sum(by_agent.values())}
    # Tasks, turns and agents repeat the usage of the calls inside them; none of it counts twice.
    for name, calls in by_agent.items():
        for field, used in USED.items():
            assert total["calls_by_agent", name, field] == calls * used, (name, field)
    assert n("errors_by_class") == {}


async def test_nothing_that_was_said_leaves_the_process(world: World) -> None:
    agent = serve(world, "--questions", "1", "--handoffs", "1", "--every", "0")
    assert agent.returncode == 0, agent.stderr
    records = await world.read(world.config().topics.spans)
    assert records
    for said in (b"A-1", b"B-1", b"warehouse", b"Where is", b"hand over to who knows"):
        assert not [r for r in records if said in (r.value or b"")], said


def test_without_a_broker_the_service_says_so_in_one_line() -> None:
    agent = subprocess.run(
        [sys.executable, str(SERVICE / "service.py"), "--bootstrap", "127.0.0.1:1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert agent.returncode == 2
    assert "no broker at 127.0.0.1:1" in agent.stderr
    assert "Traceback" not in agent.stderr
