"""Where the fuzzer begins: every format, from the samples and the recorded traces beside them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from fuzz.laws import pack
from unit.decode_samples import TRANSPORTS, encode, native, otlp
from unit.test_decode_changes import CDEVENT, DEPLOY, cloudevent
from unit.test_decode_formats import SPANS
from unit.wire_samples import MANY, MESSAGES, openai_agents

_TESTS = Path(__file__).parents[1]
REGRESSIONS = Path(__file__).parent / "regressions"


def seeds() -> Iterator[bytes]:
    """Inputs, each a batch of records; about two hundred, of at most some 30 KB."""
    for value in _values():
        yield pack(value)
    for transport in TRANSPORTS:
        yield pack(otlp(transport, *SPANS.values()), headers=2 if transport == "protobuf" else 1)
    good, bad = encode(native()), encode(native(input_tokens=-1))
    yield pack(good, otlp("protobuf", SPANS["a call"]), bad, encode(CDEVENT))
    yield pack(encode(cloudevent(CDEVENT)), encode([cloudevent(DEPLOY)]), headers=3)
    yield pack(encode(CDEVENT), encode(DEPLOY), headers=4)


def _values() -> Iterator[bytes]:
    call = native(
        start_time="2025-10-09T08:53:19Z", parent_id="a", cost_usd=0.5, score=1, model="m",
        input_tokens=5, cache_read_tokens=2, ttft_ms=3.5, finish_reason="stop",
    )  # fmt: skip
    tool = native(
        kind="tool", tool="transfer_to_billing", tool_arguments={"a": [1, {"b": "2"}]},
        tool_result='{"id": "0123456789abcdef"}', status="timeout", error_class="E",
    )  # fmt: skip
    yield from (encode(call), encode(tool), encode([call, tool]))
    yield encode(call) + b"\n" + encode(tool)
    for span in SPANS.values():
        for transport in TRANSPORTS:
            yield otlp(transport, span)
        for message in MESSAGES.values():
            yield message(span)
    for name in MANY:
        yield MESSAGES[name](*SPANS.values())
    for kind in ("agent", "function", "generation", "response", "handoff", "guardrail", "custom"):
        data = {
            "type": kind, "name": "n", "input": '{"a": 1}', "output": "x", "model": "m",
            "usage": {"input_tokens": 3, "output_tokens": 4}, "from_agent": "a", "to_agent": "b",
            "data": {"sdk_span_type": "turn", "turn": 2, "agent_name": "a"},
        }  # fmt: skip
        yield encode({"data": [openai_agents(data, error={"message": "m", "data": {}})]})
    for value in (encode(call), b"\x00" + otlp("protobuf", *SPANS.values())):
        yield b"\x00" + struct.pack(">I", 7) + value
    yield from _recorded()


def _recorded() -> Iterator[bytes]:
    golden = _TESTS / "golden"
    for path in sorted(golden.glob("decode/*.otlp.json")):
        traces = json.loads(path.read_text(encoding="utf-8"))
        for scope in traces["resourceSpans"][0]["scopeSpans"][:2]:
            del scope["spans"][2:]
        yield encode(traces)
    for path in sorted(golden.glob("decode/raw/*.json")):
        tree = json.loads(path.read_text(encoding="utf-8"))
        for name in ("spans", "observations"):
            if name in tree:
                del tree[name][2:]
        yield encode(tree)
    yield from (path.read_bytes() for path in sorted(golden.glob("vercel/*.answer.binpb")))
    yield (_TESTS / "unit" / "pydantic_ai_spans" / "v6.otlp").read_bytes()


def regressions() -> list[Path]:
    """Inputs that broke a law once."""
    return sorted(REGRESSIONS.glob("*.bin"))
