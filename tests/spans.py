"""Spans for tests: hypothesis strategies and plain builders, as rows of SPAN_SCHEMA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from hypothesis import strategies as st

from tocsin.types import SPAN_SCHEMA, Kind

#: 2026-01-01T00:00:00Z in ns, on a window's edge.
T0_NS = 1_767_225_600 * 1_000_000_000


def span(**fields: Any) -> dict[str, Any]:
    """A row of SPAN_SCHEMA: a successful one-second model call, but for what is given."""
    row: dict[str, Any] = dict.fromkeys(SPAN_SCHEMA)
    row |= {
        "row": 0,
        "trace_id": "t1",
        "span_id": "s1",
        "kind": "llm",
        "env": "prod",
        "service": "shop",
        "start_ns": T0_NS,
        "end_ns": T0_NS + 1_000_000_000,
        "error": False,
        "timeout": False,
    }
    return row | fields


def frame(rows: Sequence[dict[str, Any]], partition: int = 0) -> pl.DataFrame:
    """Spans as ingest places them: SPAN_SCHEMA plus partition, offset, ref_ms."""
    spans = pl.DataFrame(list(rows), schema=dict(SPAN_SCHEMA), orient="row")
    return spans.with_columns(
        partition=pl.lit(partition, pl.Int32),
        offset=pl.int_range(pl.len(), dtype=pl.Int64),
        ref_ms=pl.lit(T0_NS // 1_000_000 + 86_400_000, pl.Int64),
    )


def _maybe(*values: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid span within two hours of T0."""
    end = T0_NS + draw(st.integers(0, 7_200_000_000_000))
    error = draw(st.booleans())
    tokens = st.none() | st.integers(0, 200_000)
    return span(
        trace_id=draw(st.sampled_from(["t1", "t2", "t3"])),
        span_id=draw(st.sampled_from([f"s{i}" for i in range(9)])),
        kind=draw(st.sampled_from([kind.value for kind in Kind])),
        end_ns=end,
        start_ns=end - draw(st.integers(0, 300_000_000_000)),
        env=draw(st.sampled_from(["prod", "test"])),
        service=draw(st.sampled_from(["shop", "desk", "ärzte"])),
        agent=draw(_maybe("planner", "writer")),
        route=draw(_maybe("refund", "track")),
        stage=draw(_maybe("plan", "act")),
        provider=draw(_maybe("openai")),
        model=draw(_maybe("small", "large")),
        tool=draw(_maybe("search", "fetch")),
        prompt_name=draw(_maybe("p")),
        prompt_version=draw(_maybe("1", "2")),
        error=error,
        error_class=draw(st.sampled_from(["timeout", "429"])) if error else None,
        timeout=error and draw(st.booleans()),
        input_tokens=draw(tokens),
        output_tokens=draw(tokens),
        cache_read_tokens=draw(tokens),
        cost_nano=draw(st.none() | st.integers(0, 10**12)),
        ttft_ns=draw(st.none() | st.integers(0, 10**11)),
        finish_reason=draw(_maybe("stop", "length")),
        args_hash=draw(_maybe("a" * 16, "b" * 16)),
        result_hash=draw(_maybe("c" * 16)),
        handoff_from=draw(_maybe("planner")),
        handoff_to=draw(_maybe("writer")),
        score_name=draw(_maybe("helpful")),
        score=draw(st.none() | st.integers(0, 20).map(lambda n: n / 20)),
    )
