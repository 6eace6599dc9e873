"""Spans a second through a replay, and where its time goes: decode, fold, merge and tick.

    python tests/bench/bench_replay.py [minutes]

Goal: 200,000 spans/s (design, section 14). Seconds are CPU of all threads, so that what else
runs on the machine does not count. Three recordings: a quiet fleet of runs of eight spans; a
fleet of teams, whose runs are agents with workers, ten to forty spans each; services of which
each goes wrong in its own way at the end, with few spans a window.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest's `pythonpath` does

from kpis import rows
from native import encode, fleet
from spans import T0_NS, span
from tocsin.config import Config
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.replay import Tally, engine, replay
from tocsin.run.tick import ShardOwner
from tocsin.store.memory import MemoryStore

_MINUTE_NS, _MS = 60_000_000_000, 1_000_000
#: What is timed: stage -> where it is done. Windows and runs are parts of the tick.
_STAGES: tuple[tuple[str, Any, str], ...] = (
    ("decode, place", engine, "place_batch"),
    ("fold windows", engine, "fold_windows"),
    ("fold runs", engine, "fold_run_parts"),
    ("merge", MemoryStore, "_merge"),
    ("tick", ShardOwner, "tick"),
)


def teams(seed: int, minutes: int) -> list[dict[str, Any]]:
    """Eight services, forty runs a minute each: a planner that hands over to up to two workers."""
    rng = random.Random(seed)
    found: list[dict[str, Any]] = []
    for number in range(8 * 40 * minutes):
        at = T0_NS + rng.randrange(minutes * 60_000) * _MS
        common = {"trace_id": f"{rng.getrandbits(128):032x}", "service": f"team-{number % 8}"}
        root = f"{rng.getrandbits(64):016x}"
        now, mine = _turns(rng, {**common, "agent": "planner"}, root, at)
        found += mine
        for worker in range(rng.randint(0, 2)):
            below, name = f"{rng.getrandbits(64):016x}", f"worker{worker}"
            begun = now
            now, mine = _turns(rng, {**common, "agent": name}, below, now)
            found += mine
            ended = {"span_id": below, "parent_id": root, "start_ns": begun, "end_ns": now}
            found.append(span(**common, agent=name, kind="agent", **ended))
        ended = {"span_id": root, "start_ns": at, "end_ns": now + 20 * _MS}
        found.append(span(**common, agent="planner", kind="agent", **ended))
    return sorted(found, key=lambda row: row["end_ns"])


def _turns(
    rng: random.Random, common: dict[str, Any], parent: str, now: int
) -> tuple[int, list[dict[str, Any]]]:
    """One to four turns of an agent, each a model call and one to three tool calls."""
    made = []
    for turn in range(rng.randint(1, 4)):
        begun, now = now, now + int(900 * rng.lognormvariate(0, 0.4)) * _MS
        tokens = 900 + 200 * turn + rng.randrange(300)
        made.append(span(
            **common, span_id=f"{rng.getrandbits(64):016x}", parent_id=parent, kind="llm",
            start_ns=begun, end_ns=now, provider="openai", model=rng.choice(("small", "large")),
            input_tokens=tokens, output_tokens=tokens // 6, ttft_ns=(now - begun) // 4,
            finish_reason="tool_calls", cost_nano=tokens * 2_000,
        ))  # fmt: skip
        for _ in range(rng.randint(1, 3)):
            begun, now = now, now + int(150 * rng.lognormvariate(0, 0.5)) * _MS
            made.append(span(
                **common, span_id=f"{rng.getrandbits(64):016x}", parent_id=parent, kind="tool",
                start_ns=begun, end_ns=now, tool=rng.choice(("search", "fetch", "write")),
                args_hash=f"{rng.getrandbits(64):016x}", result_hash=f"{rng.getrandbits(64):016x}",
            ))  # fmt: skip
    return now, made


class Clock:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrap(self, stage: str, holder: Any, name: str) -> Callable[[], None]:
        """Time a function wherever it is called; gives what puts it back."""
        inner = getattr(holder, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self._add(stage, began)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return await inner(*args, **kwargs)
            finally:
                self._add(stage, began)

        setattr(holder, name, awaited if asyncio.iscoroutinefunction(inner) else timed)
        return lambda: setattr(holder, name, inner)

    def _add(self, stage: str, began: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - began


async def measure(name: str, values: list[bytes]) -> float:
    """Replay a recording, print what it took; spans a second of CPU time."""
    tally, clock, told = Tally(), Clock(), 0
    config, rules = Config(), load_rules()
    back = [clock.wrap(*stage) for stage in _STAGES]
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        async for _ in replay(values, config, rules, tally):
            told += 1
    finally:
        for put_back in back:
            put_back()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"{name}: {tally.spans:,} spans, {told} events; {tally.spans / cpu:,.0f} spans/s of CPU "
        f"time, {tally.spans / wall:,.0f} of the clock"
    )
    clock.seconds["the rest"] = cpu - sum(clock.seconds.values())
    for stage, seconds in clock.seconds.items():
        print(f"  {stage:<14}{seconds / tally.spans * 1e6:6.2f} us a span{seconds / cpu:6.0%}")
    return tally.spans / cpu


def recordings(minutes: int) -> Iterator[tuple[str, list[bytes]]]:
    """Each recording as its lines."""
    yield "quiet fleet", [encode(row) for row in fleet(1, T0_NS, 60 * minutes, 100)]
    yield "teams", [encode(row) for row in teams(2, minutes)]
    until = T0_NS + 4 * minutes * _MINUTE_NS
    yield "services with faults", [encode(r) for r in rows(5, until, 4 * minutes - 15, 15)]


if __name__ == "__main__":
    for title, lines in recordings(int(sys.argv[1]) if len(sys.argv) > 1 else 30):
        asyncio.run(measure(title, lines))
