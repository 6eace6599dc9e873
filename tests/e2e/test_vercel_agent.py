"""The real Vercel AI SDK on Node loops, and the alert is on the topic while its run is open.

The SDK has no handoffs: an agent that another one calls is a tool of it there and returns to its
caller. So no handoff is shown here, and none is claimed; `test_openai_agents.py` shows real ones.

Without Node the recorded messages of the same service stand in, re-dated, and the test says so;
they run beside the real ones in any case.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tocsin.bus.kafka import KafkaBus
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.types import SEP, Record
from world import World

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "deploy" / "examples" / "vercel_service"
RECORDED = ROOT / "tests" / "golden" / "vercel"
HEALTHY, STUCK, LOOKUP_S = 2, 36, 0.5
#: What the mock model says each call used.
USED = {"in": 120, "out": 30, "cr": 20, "rs": 10}
#: npm's words for a registry that is out of reach, as opposed to packages that are wrong.
_OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


def packages() -> tuple[Path | None, str]:
    """Give the folder of the packages the lock file names, installed once; else why there is none.

    Anything but a missing Node or an unreachable registry is a failure of the example.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None, "node or npm is not on PATH (the service needs Node 20.19 or newer)"
    digest = hashlib.sha256((SERVICE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = ROOT / ".cache" / f"vercel-service-{digest}"
    if folder.is_dir():
        return folder / "node_modules", ""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SERVICE / name, partial)
    installed = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
         "--fetch-retry-mintimeout=1000"],
        cwd=partial, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if installed.returncode != 0:
        shutil.rmtree(partial)
        if any(code in installed.stderr for code in _OFFLINE):
            return None, "npm ci found no registry"
        raise AssertionError(f"npm ci failed in a copy of {SERVICE}:\n{installed.stderr}")
    if folder.is_dir():  # another session was faster
        shutil.rmtree(partial)
    else:
        partial.rename(folder)
    return folder / "node_modules", ""


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print on the terminal even if the test passes."""
    with capsys.disabled():
        print(f"\n{line}", flush=True)


def serve(world: World, entry: str, modules: Path) -> subprocess.Popen[str]:
    """The example, as its README starts it."""
    copy = world.folder / "service"
    shutil.copytree(SERVICE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(modules)
    return subprocess.Popen(
        ["node", f"{entry}.js", "--bootstrap", world.bootstrap,
         "--topic", world.config().topics.spans, "--questions", str(HEALTHY), "--every", "0.1",
         "--stuck", str(STUCK), "--delay", str(LOOKUP_S)],
        cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


async def replay(world: World, entry: str) -> None:
    """Publish what the service once sent, as if it had just happened."""
    values = [(RECORDED / f"{entry}.{run}.binpb").read_bytes() for run in ("answer", "loop")]
    messages = [TracesData.FromString(value) for value in values]
    spans = [
        span
        for message in messages
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    later = time.time_ns() - max(span.end_time_unix_nano for span in spans)
    for span in spans:
        span.start_time_unix_nano += later
        span.end_time_unix_nano += later
    producer = KafkaBus(world.config().kafka).producer()
    await producer.start()
    try:
        for message in messages:
            trace_id = message.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
            await producer.send(
                world.config().topics.spans,
                value=message.SerializeToString(),
                key=trace_id.encode(),
            )
        await producer.flush()
    finally:
        await producer.stop()


async def sums(world: World) -> Counter[tuple[str, str, str]]:
    """(view, dimensions after env and service, field) -> its sum over the last minutes."""
    now = int(time.time()) // 60 * 60
    total: Counter[tuple[str, str, str]] = Counter()
    for (_, series), counts in (await world.windows(range(now - 300, now + 61, 60))).items():
        view, env, service, *dims = series.split(SEP)
        assert (env, service) == ("prod", "ai-agent")
        for field, value in counts.items():
            total[view, " ".join(dims), field] += value
    return total


async def first_alert(world: World, agent: subprocess.Popen[str] | None) -> AlertEvent:
    async def alerts() -> list[Record]:
        if agent is not None:
            assert agent.poll() in (None, 0), agent.communicate()[1]
        return await world.read(world.config().topics.alerts)

    records = await world.until(alerts, 60, "the loop alert")
    return AlertEvent.decode(records[0].value or b"")


def check_alert(event: AlertEvent) -> None:
    assert (event.rule, event.status, event.series) == ("runaway_loop", "firing", "run")
    assert (event.env, event.service) == ("prod", "ai-agent")
    assert event.dims["agent"] == "ai-agent-main"
    assert event.dims["tool"] == "lookup_order"
    assert event.observed is not None
    assert event.observed >= 3


async def check_series(world: World, runs: int, lookups: int) -> None:
    """Every span is on the books, and the series say what the service did: no more, no less."""
    calls = lookups + runs  # the model asks for each lookup, and answers each question
    spans = runs + calls + lookups

    async def counted() -> bool:
        return (await world.account())["aggregated"] >= spans

    await world.until(counted, 30, "all spans on the books")
    assert (await world.account()).total() == spans, "a span was refused, late or doubled"
    total = await sums(world)
    assert total["runs_by_agent", "ai-agent-main", "n"] == runs
    assert total["tools_by_agent_tool", "ai-agent-main lookup_order", "n"] == lookups
    for view, dims in (
        ("calls_by_model", "gpt-5-mini-2025-08-07"),
        ("calls_by_provider", "openai"),
        ("calls_by_agent", "ai-agent-main"),
    ):
        assert total[view, dims, "n"] == calls
        for field, used in USED.items():
            assert total[view, dims, field] == calls * used, (view, field)


@pytest.mark.parametrize("entry", ["opentelemetry", "sentry"])
async def test_a_looping_vercel_agent_is_told_of_while_its_run_is_open(
    world: World, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    modules, missing = packages()
    world.start("up")
    if modules is None:
        say(capsys, f"NOT RUN on Node: {missing}; recorded spans stand in for {entry}.js")
        await replay(world, entry)
        check_alert(await first_alert(world, None))
        await check_series(world, runs=2, lookups=1 + 4)
        return
    agent = serve(world, entry, modules)
    try:
        event = await first_alert(world, agent)
        assert agent.poll() is None, "the run was over before anybody knew of it"
        check_alert(event)
        said, complaints = agent.communicate(timeout=60)
    finally:
        agent.kill()
        agent.communicate()
    assert agent.returncode == 0, complaints
    assert f"({STUCK} lookups)" in said
    # Sentry lost nothing by it.
    assert (f"given {HEALTHY + 1} transactions" in said) == (entry == "sentry")
    await check_series(world, runs=HEALTHY + 1, lookups=HEALTHY + STUCK)


@pytest.mark.parametrize("entry", ["opentelemetry", "sentry"])
async def test_its_recorded_spans_with_all_content_say_the_same(world: World, entry: str) -> None:
    world.start("up")
    await replay(world, entry)
    check_alert(await first_alert(world, None))
    await check_series(world, runs=2, lookups=1 + 4)


def test_without_a_broker_the_service_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modules, missing = packages()
    if modules is None:
        say(capsys, f"NOT RUN on Node: {missing}; agent.js was only read")
        assert "no broker at" in (SERVICE / "agent.js").read_text()
        return
    shutil.copytree(SERVICE, tmp_path / "s", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "s" / "node_modules").symlink_to(modules)
    for entry in ("opentelemetry", "sentry"):
        agent = subprocess.run(
            ["node", f"{entry}.js", "--bootstrap", "127.0.0.1:1"],
            cwd=tmp_path / "s", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert agent.returncode == 2
        assert agent.stderr.startswith("no broker at 127.0.0.1:1: ")
        assert len(agent.stderr.splitlines()) == 1
