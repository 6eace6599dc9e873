"""What it costs to fill in costs: a batch of 20,000 spans, half of them calls of ten models.

    python tests/bench/bench_cost.py

Goal: under 5 % of what it takes to decode the same batch; both as processor time of all threads,
since a few milliseconds of wall time say more about the neighbours.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest's `pythonpath` does

import msgspec

from bench.bench_decode import SPANS, native_spans
from tocsin.flow.decode import Limits, decode
from tocsin.flow.windows import pricing
from unit.decode_samples import KEY, Message

MODELS = (
    ("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("openai", "gpt-5"), ("openai", "o3"),
    ("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-3-5-haiku-latest"),
    ("gcp.gemini", "gemini-2.5-pro"), ("mistral_ai", "mistral-large-latest"),
    ("deepseek", "deepseek-chat"), ("openai", "a-finetune-nobody-knows"),
)  # fmt: skip
GOAL = 0.05


def uncosted() -> list[Message]:
    """The spans of bench_decode over ten models, without the producer's cost."""
    messages = []
    for i, value in enumerate(native_spans()):
        span = msgspec.json.decode(value)
        if span.pop("cost_usd", None) is not None:
            span["provider"], span["model"] = MODELS[i // 2 % len(MODELS)]
            span["cache_read_tokens"] = 1_000
        messages.append(Message(msgspec.json.encode(span)))
    return messages


def least_of(runs: int, work: Callable[[], object]) -> float:
    """The processor time of the run that was disturbed least, s."""
    took = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        took.append(time.process_time() - begin)
    return min(took)


def main() -> None:
    records = uncosted()
    spans = decode(records, Limits(), KEY).spans
    prices = pricing.Prices({"mine": pricing.flat_rates(1.0)})
    decoding = least_of(7, lambda: decode(records, Limits(), KEY))

    def forget_and_fill() -> None:
        pricing._find.cache_clear()
        pricing._list_rates.cache_clear()
        pricing.fill_costs(spans, prices)

    cold = least_of(60, forget_and_fill)
    warm = least_of(60, lambda: pricing.fill_costs(spans, prices))
    priced = pricing.fill_costs(spans, prices)["cost_nano"].is_not_null().sum()
    print(
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {SPANS} spans, {priced} priced"
    )
    print(f"decode {decoding * 1e3:8.2f} ms")
    for name, took in (("cold", cold), ("warm", warm)):
        share = took / decoding
        print(f"{name:<6} {took * 1e3:8.2f} ms  {share:6.1%} of decode")
    if warm > GOAL * decoding:
        sys.exit(f"over the goal of {GOAL:.0%}")


if __name__ == "__main__":
    main()
