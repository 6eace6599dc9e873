"""Spans a second through decode, one core: native JSON, OTLP protobuf, OTLP JSON.

    python tests/bench/bench_decode.py

Goals: 120,000 native spans/s through the whole pipeline, so several times that here; 60,000
OTLP protobuf spans/s in messages of 100 spans with 15 attributes. The floor printed with
each is what the parsing library alone takes in the same run. With one bad record in a hundred,
100,000 good native spans/s; the floor there is the clean batch.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest's `pythonpath` does

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tocsin.flow.decode import Limits, decode
from tocsin.flow.decode.native import decode_span
from unit.decode_samples import END_NS, KEY, Message, Otlp, encode, native, otlp

SPANS, PER_MESSAGE, BATCH, ROUNDS = 20_000, 100, 2_000, 7
POISON_EVERY = 100


def native_spans() -> list[bytes]:
    """Calls, tools and agents of a fleet, in the proportions of an agent's run."""
    rng = random.Random(1)
    return [encode(_native_span(rng, i)) for i in range(SPANS)]


def _native_span(rng: random.Random, i: int) -> dict[str, Any]:
    span = native(
        trace_id=f"{rng.getrandbits(128):032x}", span_id=f"{rng.getrandbits(64):016x}",
        parent_id=f"{rng.getrandbits(64):016x}", service=f"svc-{i % 20}", env="prod",
        release="1.2.3", agent="planner", route="/chat", end_time=END_NS + i * 1_000_000,
        start_time=END_NS + i * 1_000_000 - 900_000_000,
        kind=("llm", "tool", "llm", "agent")[i % 4],
    )  # fmt: skip
    if span["kind"] == "llm":
        span |= {
            "provider": "openai", "model": "gpt-5", "input_tokens": 1200, "output_tokens": 80,
            "cost_usd": 0.0021, "ttft_ms": 210.5, "finish_reason": "stop",
        }  # fmt: skip
    elif span["kind"] == "tool":
        span |= {"tool": "search", "args_hash": f"{rng.getrandbits(64):016x}"}
    return span


def poisoned(values: Sequence[bytes]) -> list[bytes]:
    """The same with one record in a hundred replaced by a bad one, of each kind in turn."""
    made = list(values)
    for n, at in enumerate(range(0, len(made), POISON_EVERY)):
        good = made[at]
        kinds = (
            good[: len(good) // 2], good.replace(b"svc", b"\xff\xfe"), b"hello", b"\n\x05\x01",
            good.replace(b'"service"', b'"srv"'), good[:-1] + b', "input_tokens": "many"}',
            good[:-1] + b', "output_tokens": -1}', good[:-1] + b', "score": NaN}',
            good[:-1] + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
            good[:-1] + b', "end_time": "yesterday"}', b'{"a": 1}', b"",
        )  # fmt: skip
        made[at] = kinds[n % len(kinds)]
    return made


def otlp_messages(transport: str) -> list[bytes]:
    """Messages of model calls, 15 attributes each, one of them a prompt."""
    attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5", "gen_ai.response.model": "gpt-5-2025-08-07",
        "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.cache_read.input_tokens": 1000, "gen_ai.agent.name": "planner",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "c-1",
        "gen_ai.response.id": "r-1", "gen_ai.request.temperature": 0.7,
        "server.address": "api.openai.com", "gen_ai.response.time_to_first_chunk": 0.2,
        "gen_ai.input.messages": "text " * 40,
    }  # fmt: skip
    rng = random.Random(2)
    return [
        otlp(
            transport,
            *(
                Otlp(
                    attributes,
                    trace_id=f"{rng.getrandbits(128):032x}",
                    span_id=f"{rng.getrandbits(64):016x}",
                    parent_id=f"{rng.getrandbits(64):016x}",
                )
                for _ in range(PER_MESSAGE)
            ),
        )
        for _ in range(SPANS // PER_MESSAGE)
    ]


def best_of(run: Callable[[], object]) -> float:
    """The shortest of several runs, s: the one that was disturbed least."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def _decode_all(values: Sequence[bytes], batch: int, bad: int = 0) -> Callable[[], object]:
    records = [Message(value) for value in values]
    limits = Limits()

    def run() -> None:
        refused = 0
        for first in range(0, len(records), batch):
            refused += len(decode(records[first : first + batch], limits, KEY).rejects)
        assert refused == bad

    return run


def _parse_all(values: Sequence[bytes], parse: Callable[[bytes], object]) -> None:
    for value in values:
        parse(value)


def main() -> None:
    cases: list[tuple[str, list[bytes], int, Callable[[bytes], object]]] = [
        ("native", native_spans(), BATCH, decode_span),
        ("otlp protobuf", otlp_messages("protobuf"), BATCH // PER_MESSAGE, TracesData.FromString),
        ("otlp json", otlp_messages("json"), BATCH // PER_MESSAGE, msgspec.json.decode),
    ]
    load = os.getloadavg()[0]  # beyond the number of cores, the figures say little
    print(f"load {load:.1f} on {os.cpu_count()} cores, messages of {PER_MESSAGE} OTLP spans")
    print(f"{'':<15}{'spans/s':>10}{'us/span':>9}{'floor':>8}{'ratio':>7}")
    for name, values, batch, parse in cases:
        took = best_of(_decode_all(values, batch))
        floor = best_of(partial(_parse_all, values, parse))
        print(
            f"{name:<15}{SPANS / took:>10,.0f}{took / SPANS * 1e6:>9.2f}"
            f"{floor / SPANS * 1e6:>8.2f}{took / floor:>7.1f}"
        )
    good, bad = cases[0][1], SPANS // POISON_EVERY
    clean = best_of(_decode_all(good, BATCH))
    took = best_of(_decode_all(poisoned(good), BATCH, bad))
    print(
        f"{'native, 1 % bad':<15}{(SPANS - bad) / took:>10,.0f}{took / (SPANS - bad) * 1e6:>9.2f}"
        f"{clean / SPANS * 1e6:>8.2f}{took / clean:>7.1f}"
    )


if __name__ == "__main__":
    main()
