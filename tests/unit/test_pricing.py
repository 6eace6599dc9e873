"""Costs of calls: hand-computed ones, and genai-prices itself as the oracle of all the others."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import polars as pl
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import TimeOfDateConstraint
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spans import T0_NS, frame, rows, span
from tocsin.flow.windows.pricing import Prices, _list_rates, fill_costs, flat_rates
from tocsin.types import NANO

LIST = Prices()
OWN = Prices({"small": flat_rates(2.0, output=8.0, cache_read=0.5), "embed": flat_rates(0.1)})


def _by_token(provider: str, model: str) -> bool:
    rates = _list_rates(provider, model, 0)
    return bool(rates) and all(r.input is not None and r.output is not None for r in rates)


#: Models whose calls are priced by their tokens alone.
BY_TOKEN = [(p.id, m.id) for p in providers for m in p.models if _by_token(p.id, m.id)]


def cost(prices: Prices = LIST, **fields: Any) -> int | None:
    """Nano-USD of one call."""
    call = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1_000} | fields
    (nano,) = fill_costs(frame([span(**call)]), prices)["cost_nano"]
    return None if nano is None else int(nano)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NANO


def test_cached_tokens_are_part_of_the_input_and_charged_once() -> None:
    # 800 at 2.5, 200 cached at 1.25, 100 out at 10 USD a million: 0.002 + 0.00025 + 0.001
    assert cost(cache_read_tokens=200, output_tokens=100) == 3_250_000


def test_written_cache_costs_its_own_rate() -> None:
    # claude-sonnet-4-5: 3 in, 0.3 read, 3.75 written, 15 out
    calls: dict[str, Any] = {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "output_tokens": 10,
    }
    assert cost(**calls, cache_read_tokens=600, cache_write_tokens=300) == 100 * 3_000 + (
        600 * 300 + 300 * 3_750 + 10 * 15_000
    )


def test_a_dated_model_and_one_without_provider_are_known() -> None:
    assert cost(model="gpt-4o-2024-08-06") == cost(provider=None) == cost() == 2_500_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("x_ai", "grok-4"), ("gcp.gen_ai", "gemini-2.5-pro"), ("gcp.vertex_ai", "gemini-2.5-pro"),
        ("azure.ai.openai", "gpt-4o"), ("azure.ai.inference", "gpt-4o"),
        ("mistral_ai", "mistral-large-latest"),
        ("aws.bedrock", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("deepseek", "deepseek-chat"), ("groq", "llama-3.3-70b-versatile"),
    ],
)  # fmt: skip
def test_providers_are_known_by_their_opentelemetry_names(provider: str, model: str) -> None:
    assert cost(provider=provider, model=model)


def test_the_producers_cost_wins() -> None:
    assert cost(cost_nano=7) == 7
    assert cost(cost_nano=0) == 0
    assert cost(OWN, model="small", cost_nano=7) == 7


@pytest.mark.parametrize(
    "unknown",
    [
        {"model": "small"}, {"model": None}, {"provider": "nobody"}, {"input_tokens": None},
        {"provider": None, "model": "large"}, {"model": "whisper-1"},
        {"input_tokens": 2**40},  # more than a million dollars: a count that is wrong
    ],
)  # fmt: skip
def test_what_is_not_known_stays_null(unknown: dict[str, Any]) -> None:
    assert cost(**unknown) is None


@pytest.mark.parametrize("kind", ["tool", "agent", "workflow", "step", "handoff"])
def test_only_model_calls_are_priced(kind: str) -> None:
    assert cost(kind=kind) is None


@pytest.mark.parametrize("kind", ["llm", "embedding", "rerank"])
def test_every_kind_of_model_call_is_priced(kind: str) -> None:
    assert cost(kind=kind) == 2_500_000


def test_an_embedding_needs_no_output() -> None:
    embedding: dict[str, Any] = {"kind": "embedding", "model": "text-embedding-3-small"}
    assert cost(**embedding) == 20_000
    assert cost(**embedding, output_tokens=0) == 20_000


def test_ones_own_prices_go_before_the_list() -> None:
    assert cost(OWN, model="small", cache_read_tokens=400, output_tokens=10) == (
        600 * 2_000 + 400 * 500 + 10 * 8_000
    )
    assert cost(OWN, model="Small", provider="anything") == 2_000_000
    assert cost(Prices({"gpt-4o": flat_rates(1.0)})) == 1_000_000
    assert cost(OWN, model="gpt-4o") == 2_500_000


def test_tokens_without_a_price_make_the_cost_unknown() -> None:
    assert cost(OWN, model="embed") == 100_000
    assert cost(OWN, model="embed", output_tokens=1) is None


def test_reasoning_is_part_of_the_output() -> None:
    own = Prices({"thinker": flat_rates(1.0, output=10.0, reasoning=5.0)})
    assert cost(own, model="thinker", output_tokens=100, reasoning_tokens=60) == (
        1_000_000 + 40 * 10_000 + 60 * 5_000
    )
    assert cost(output_tokens=100, reasoning_tokens=60) == cost(output_tokens=100)


def test_a_price_changes_with_its_day() -> None:
    # o3: 10 USD a million until 9 June 2025, then 2
    o3: dict[str, Any] = {"model": "o3", "end_ns": at("2026-01-01")}
    assert cost(**o3, start_ns=at("2025-06-10") - 1) == 10_000_000
    assert cost(**o3, start_ns=at("2025-06-10")) == 2_000_000


def test_a_price_changes_with_the_time_of_day() -> None:
    # deepseek-chat: 0.27 USD a million from 0:30 to 16:30 UTC, else 0.135
    chat: dict[str, Any] = {"provider": "deepseek", "model": "deepseek-chat"}
    assert cost(**chat, start_ns=at("2026-01-01T00:29:59")) == 135_000
    assert cost(**chat, start_ns=at("2026-01-01T00:30")) == 270_000


def test_prices_by_the_time_of_day_change_on_the_quarter() -> None:
    edges = {
        edge
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(price.constraint, TimeOfDateConstraint)
        for edge in (price.constraint.start_time, price.constraint.end_time)
    }
    assert edges
    assert all(edge.minute % 15 == 0 and edge.tzinfo is UTC for edge in edges)
    assert all(edge == time(edge.hour, edge.minute, tzinfo=UTC) for edge in edges)


def test_a_long_call_pays_the_long_rate_for_every_token() -> None:
    long: dict[str, Any] = {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "output_tokens": 10,
    }
    assert cost(**long, input_tokens=200_000) == 200_000 * 3_000 + 10 * 15_000
    assert cost(**long, input_tokens=200_001) == 200_001 * 6_000 + 10 * 22_500


@given(
    which=st.sampled_from(BY_TOKEN),
    tokens=st.integers(0, 1_000_000),
    cached=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    out=st.integers(0, 100_000),
    when=st.integers(at("2024-01-01"), at("2027-06-01")),
)
@example(("perplexity", "sonar"), 1_000, (0.0, 0.0), 100, T0_NS)
@example(("deepseek", "deepseek-chat"), 1_000, (0.5, 0.0), 100, T0_NS)
def test_every_listed_model_costs_what_the_list_says(
    which: tuple[str, str], tokens: int, cached: tuple[float, float], out: int, when: int
) -> None:
    read, written = (int(tokens * share) for share in cached)
    usage = Usage(
        input_tokens=tokens, cache_read_tokens=read, cache_write_tokens=written, output_tokens=out
    )
    told = calc_price(
        usage, which[1], provider_id=which[0],
        genai_request_timestamp=datetime.fromtimestamp(when / NANO, UTC),
    )  # fmt: skip
    ours = cost(
        provider=which[0], model=which[1], input_tokens=tokens, cache_read_tokens=read,
        cache_write_tokens=written, output_tokens=out, start_ns=when, end_ns=when,
    )  # fmt: skip
    assert ours == pytest.approx(float(told.total_price) * NANO, abs=1.0, rel=1e-12)


priced_rows = rows().flatmap(
    lambda row: st.builds(
        lambda provider, model, known: (
            row
            | {
                "provider": provider,
                "model": model,
                "cost_nano": row["cost_nano"] if known else None,
            }
        ),
        st.sampled_from([None, "openai", "anthropic"]),
        st.sampled_from([None, "gpt-4o", "claude-sonnet-4-5", "small", "embed", "nobody"]),
        st.booleans(),
    )
)


@given(st.lists(priced_rows, max_size=12), st.integers(0, 12))
def test_a_cost_does_not_depend_on_how_the_log_is_cut(some: list[dict[str, Any]], cut: int) -> None:
    whole = frame(some)
    apart = pl.concat([fill_costs(whole[:cut], OWN), fill_costs(whole[cut:], OWN)])
    assert_frame_equal(fill_costs(whole, OWN), apart)


@given(st.lists(priced_rows, max_size=12))
def test_pricing_changes_nothing_but_unknown_costs(some: list[dict[str, Any]]) -> None:
    before = frame(some)
    after = fill_costs(before, OWN)
    assert_frame_equal(before.drop("cost_nano"), after.drop("cost_nano"))
    assert after["cost_nano"].dtype == pl.Int64
    known = before["cost_nano"].is_not_null()
    assert before["cost_nano"].filter(known).equals(after["cost_nano"].filter(known))
