"""The same hour, call by call, through the live code: decode, fold, merge, tick, judge.

`azure_conv_2023_calls.csv.gz` holds every call (source and licence in its head). Warm-up is
cut to 20 windows, so the whole second half is judged.
"""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

from native import encode
from spans import span
from tocsin.config import Config
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.replay import Tally, replay

_START_NS = 1_700_158_500_000_000_000  # 2023-11-16T18:15:00Z


def messages() -> list[bytes]:
    raw = gzip.decompress((Path(__file__).parent / "azure_conv_2023_calls.csv.gz").read_bytes())
    out = []
    for number, line in enumerate(raw.decode().splitlines()):
        if line.startswith("#"):
            continue
        ms, tokens_in, tokens_out = map(int, line.split(","))
        end = _START_NS + ms * 1_000_000
        fields = {
            "trace_id": f"call-{number}",
            "span_id": f"{number}",
            "service": "conversation",
            "agent": "assistant",
            "end_ns": end,
            "start_ns": end - 10_000_000 * tokens_out,  # as if 10 ms a token: any steady rate
        }
        call = span(
            **fields, kind="llm", model="gpt-4", input_tokens=tokens_in, output_tokens=tokens_out
        )
        out += [encode(call), encode(span(**fields, kind="agent") | {"span_id": f"a{number}"})]
    return out


def test_an_hour_of_real_calls_raises_no_alert() -> None:
    tally = Tally()
    config = Config(watch={"warmup_windows": 20})

    async def run() -> list[AlertEvent]:
        return [e async for e in replay(messages(), config, load_rules(), tally)]

    events = asyncio.run(run())
    assert tally.spans == 2 * 19_366
    assert (tally.late, tally.refused) == (0, 0)
    assert [(event.rule, event.status, event.summary) for event in events] == []
