"""The brute-force oracle: windows counted one span at a time, in plain Python.

It shares the table of views with the product and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from tocsin.flow.windows.views import VIEWS
from tocsin.types import MODEL_CALL_KINDS, NONE, SEP

Windows = dict[tuple[int, str], Counter[str]]
GAMMA = 1.01 / 0.99


def bucket(value: float) -> int:
    return 0 if value <= 1 else math.ceil(math.log(value) / math.log(GAMMA))


def count(spans: Iterable[Mapping[str, Any]], window_s: int = 60) -> Windows:
    """Counters of every series-window; `spans` are rows of SPAN_SCHEMA, none of them late."""
    windows: Windows = defaultdict(Counter)
    for row in spans:
        span = {**row, "substituted": _substituted(row), "input_size": _input_size(row)}
        window = span["end_ns"] // 1_000_000_000 // window_s * window_s
        for view in VIEWS:
            if span["kind"] not in view.kinds:
                continue
            if view.needs and span[view.needs] is None:
                continue
            values = [NONE if span[dim] is None else span[dim] for dim in view.dims]
            fields = _fields(span)
            if view.tags:
                fields = Counter({n: c for n, c in fields.items() if n.startswith(view.tags)})
            elif "error_class" in view.dims:
                fields[f"u:{_cell(span['trace_id'])}"] += 1
            if fields:
                windows[window, SEP.join([view.name, *values])].update(fields)
    return {key: Counter(_not_zero(counter)) for key, counter in windows.items()}


def _cell(trace_id: str) -> int:
    """Which of 64 cells a trace falls in."""
    return int(pl.Series([trace_id]).hash()[0]) % 64


def _not_zero(counter: Counter[str]) -> dict[str, int]:
    return {field: count for field, count in counter.items() if count}


def _substituted(span: Mapping[str, Any]) -> str | None:
    """The model that was asked for, where one of another family answered."""
    asked, answered = span["model_requested"], span["model"]
    if asked is None or answered is None:
        return None
    same = answered.split("/")[-1].startswith(asked.split("/")[-1])
    return None if same else asked


def _input_size(span: Mapping[str, Any]) -> str | None:
    """The class of prompts that take about as long to read."""
    tokens = span["input_tokens"]
    if tokens is None:
        return None
    below = {2_000: "under 2k", 16_000: "2k to 16k"}
    return next((name for end, name in below.items() if tokens < end), "16k and more")


def _fields(span: Mapping[str, Any]) -> Counter[str]:
    is_call = span["kind"] in MODEL_CALL_KINDS
    duration_us = (span["end_ns"] - span["start_ns"]) / 1_000
    tokens = (span["input_tokens"] or 0) + (span["output_tokens"] or 0)
    fields = Counter(
        {
            "n": 1,
            "err": int(span["error"]),
            "to": int(span["timeout"]),
            "in": span["input_tokens"] or 0,
            "out": span["output_tokens"] or 0,
            "cr": span["cache_read_tokens"] or 0,
            "cw": span["cache_write_tokens"] or 0,
            "rs": span["reasoning_tokens"] or 0,
            "cost": span["cost_nano"] or 0,
            "un": int(is_call and span["cost_nano"] is None),
            "sc": round(min(max((span["score"] or 0) * 1_000, -(2**40)), 2**40)),
        }
    )
    if duration_us > 0:
        fields[f"d:{bucket(duration_us)}"] += 1
    if span["ttft_ns"] is not None:
        fields[f"t:{bucket(span['ttft_ns'] / 1_000)}"] += 1
    if is_call and tokens:
        fields[f"k:{bucket(tokens)}"] += 1
    if span["score"] is not None:
        fields[f"s:{round(span['score'] * 100)}"] += 1
    for prefix, name in (("e:", "error_class"), ("f:", "finish_reason")):
        if span[name] is not None:
            fields[prefix + span[name]] += 1
    return fields


def split_late(
    logs: Mapping[int, Iterable[Mapping[str, Any]]], lateness_s: float = 30, window_s: int = 60
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """On-time and late spans of each partition's log, by the watermark law.

    Assumes that no event time lies ahead of the broker's clock.
    """
    kept: list[Mapping[str, Any]] = []
    late: list[Mapping[str, Any]] = []
    for log in logs.values():
        high = -math.inf
        for span in log:
            at_ms = span["end_ns"] // 1_000_000
            end_ms = (at_ms // 1_000 // window_s + 1) * window_s * 1_000
            (late if end_ms <= high - lateness_s * 1_000 else kept).append(span)
            high = max(high, at_ms)
    return kept, late
