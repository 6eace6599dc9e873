"""Rows of SPAN_SCHEMA as the native JSON a producer would send."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from spans import span

_SAME = (
    "trace_id", "span_id", "parent_id", "kind", "env", "service", "release", "agent", "workflow",
    "route", "stage", "provider", "model", "model_requested", "tool", "prompt_name",
    "prompt_version", "error_class", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "finish_reason", "args_hash", "result_hash",
    "handoff_from", "handoff_to", "score_name", "score",
)  # fmt: skip


def encode(row: Mapping[str, Any]) -> bytes:
    """A row as one native span message."""
    message = {name: row[name] for name in _SAME if row[name] is not None}
    message["start_time"], message["end_time"] = row["start_ns"], row["end_ns"]
    if row["error"]:
        message["status"] = "timeout" if row["timeout"] else "error"
    if row["cost_nano"] is not None:
        message["cost_usd"] = row["cost_nano"] / 1e9
    if row["ttft_ns"] is not None:
        message["ttft_ms"] = row["ttft_ns"] / 1e6
    return msgspec.json.encode(message)


def fleet(seed: int, start_ns: int, seconds: int, rate: int) -> Iterator[dict[str, Any]]:
    """Rows of a small healthy fleet in end-time order: `rate` spans a second, seeded.

    Costs are whole micro-dollars and times whole microseconds, so that they survive JSON.
    """
    rng = random.Random(seed)
    total = seconds * rate
    for i in range(total):
        end = start_ns + i * seconds * 1_000_000_000 // total // 1_000 * 1_000
        kind = ("llm", "tool", "llm", "step", "llm", "tool", "handoff", "agent")[i % 8]
        row = span(
            trace_id=f"{seed:x}-{i // 8}",
            span_id=f"{seed:x}-{i}",
            parent_id=None if kind == "agent" else f"{seed:x}-{i // 8 * 8 + 7}",
            kind=kind,
            service=f"svc{i // 8 % 5}",
            agent=f"agent{i // 8 % 3}",
            route=("refund", "track", "search")[i // 16 % 3],
            end_ns=end,
            start_ns=end - rng.randrange(1, 4_000_000) * 1_000,
        )
        if kind == "llm":
            row |= {
                "model": rng.choice(["small", "small", "large"]),
                "provider": "openai",
                "input_tokens": rng.randrange(100, 5_000),
                "output_tokens": rng.randrange(1, 800),
                "cost_nano": rng.randrange(1, 90_000) * 1_000,
                "ttft_ns": rng.randrange(50_000, 900_000) * 1_000,
                "finish_reason": "stop",
            }
        if kind == "tool":
            row |= {
                "tool": rng.choice(["search", "fetch", "write"]),
                "args_hash": f"{rng.getrandbits(64):016x}",
                "result_hash": f"{rng.getrandbits(64):016x}",
            }
        if kind == "handoff":
            row |= {"handoff_from": row["agent"], "handoff_to": "closer"}
        if rng.random() < 0.02:
            row |= {"error": True, "error_class": rng.choice(["429", "bad_json"])}
        yield row
