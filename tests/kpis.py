"""Eleven small services, one a KPI, each healthy for hours until one thing goes wrong with it.

Rows of SPAN_SCHEMA in order of end time, seeded. Every service does the same healthy work:
runs of an agent with two model calls, a tool call, sometimes a handoff and a score.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from spans import span

MINUTE_NS = 60_000_000_000
MS = 1_000_000
Row = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What a service does, on average."""

    runs: float = 12.0  # a minute
    calls: int = 2
    call_ms: float = 900.0
    tool_ms: float = 120.0
    tokens: float = 800.0
    usd_per_token: float = 2e-6
    large: float = 0.3  # share of the large model
    errors: float = 0.01
    handoffs: float = 0.2
    score: float = 0.85
    act: float = 1.0  # how much longer the act stage takes
    deep: bool = False  # agents that call agents that call agents


#: KPI -> what goes wrong.
FAULTS: dict[str, dict[str, Any]] = {
    "traffic": {"runs": 160.0},
    "models": {"large": 0.75},
    "tools": {"tool_ms": 420.0},
    "tokens": {"tokens": 2_400.0},
    "cost": {"usd_per_token": 8e-6},
    "latency": {"call_ms": 1_900.0},
    "steps": {"act": 9.0},
    "errors": {"errors": 0.25},
    "depth": {"deep": True},
    "handoffs": {"handoffs": 0.9},
    "custom": {"score": 0.45},
}


def rows(
    seed: int, until_ns: int, healthy: int, bad: int, kpis: Iterable[str] = tuple(FAULTS)
) -> Iterator[Row]:
    """Services of these KPIs: `healthy` minutes, then `bad` ones with faults, up to `until_ns`."""
    first = until_ns // MINUTE_NS - healthy - bad
    rng = random.Random(seed)
    for minute in range(healthy + bad):
        found: list[Row] = []
        for kpi in kpis:
            work = Work() if minute < healthy else replace(Work(), **FAULTS[kpi])
            found += _minute(rng, f"svc-{kpi}", work, (first + minute) * MINUTE_NS)
        yield from sorted(found, key=lambda row: row["end_ns"])


def _minute(rng: random.Random, service: str, work: Work, start_ns: int) -> Iterator[Row]:
    count = int(work.runs) + (rng.random() < work.runs % 1) + rng.choice((-2, -1, 0, 1, 2))
    for _ in range(count):
        yield from _run(rng, service, work, start_ns + rng.randrange(50_000) * MS)


def _run(rng: random.Random, service: str, work: Work, at: int) -> Iterator[Row]:
    """One run; its spans end within ten seconds of each other."""
    trace, root = f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(64):016x}"
    common = {"trace_id": trace, "service": service, "agent": "planner", "route": "chat"}
    now, parent = at, root
    chain: list[tuple[str, str]] = [(root, "")]
    if work.deep:
        for _ in range(5):
            child = f"{rng.getrandbits(64):016x}"
            chain.append((child, parent))
            parent = child
    for turn in range(work.calls):
        large = rng.random() < work.large
        tokens = max(20, int(work.tokens * rng.lognormvariate(0, 0.3)))
        took = int(work.call_ms * rng.lognormvariate(0, 0.35)) * MS
        yield _step(rng, common, parent, now, took) | {
            "kind": "llm", "stage": "plan" if turn == 0 else "act", "provider": "openai",
            "model": "large" if large else "small", "input_tokens": tokens,
            "output_tokens": tokens // 6, "ttft_ns": took // 4, "finish_reason": "stop",
            "cost_nano": int(tokens * work.usd_per_token * 1e6) * 1_000,
            **_failure(rng, work.errors),
        }  # fmt: skip
        now += took
    took = int(work.tool_ms * rng.lognormvariate(0, 0.4) * work.act) * MS
    yield _step(rng, common, parent, now, took) | {
        "kind": "tool", "tool": rng.choice(("search", "fetch")), "stage": "act",
        "args_hash": f"{rng.getrandbits(64):016x}", "result_hash": f"{rng.getrandbits(64):016x}",
        **_failure(rng, work.errors),
    }  # fmt: skip
    now += took
    if rng.random() < work.handoffs:
        yield _step(rng, common, parent, now, 2 * MS) | {
            "kind": "handoff", "handoff_from": "planner", "handoff_to": "closer",
        }  # fmt: skip
    score = min(1.0, max(0.0, rng.gauss(work.score, 0.08)))
    yield _step(rng, common, parent, now, 5 * MS) | {
        "kind": "evaluator", "score_name": "relevance", "score": round(score, 3),
    }  # fmt: skip
    for depth, (span_id, above) in enumerate(reversed(chain)):
        end = now + (20 + depth) * MS
        yield span(
            **common, span_id=span_id, parent_id=above or None, kind="agent",
            start_ns=at, end_ns=end, **_failure(rng, work.errors / 2),
        )  # fmt: skip


def _step(rng: random.Random, common: Row, parent: str, start: int, took: int) -> Row:
    return span(
        **common, span_id=f"{rng.getrandbits(64):016x}", parent_id=parent,
        start_ns=start, end_ns=start + took,
    )  # fmt: skip


def _failure(rng: random.Random, share: float) -> Row:
    if rng.random() >= share:
        return {}
    return {"error": True, "error_class": rng.choice(("429", "bad_json"))}
