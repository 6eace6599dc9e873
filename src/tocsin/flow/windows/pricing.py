"""Tokens to money: the cost of model calls whose producer did not state it.

The producer's cost wins; then the user's own prices; then the list prices that ship with
genai-prices (no network, ever). A model without a price in any of them has an unknown cost:
null, and counted as such, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import polars as pl
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from tocsin.types import MODEL_CALL_KINDS, NANO

#: Prices change with the day, a few with the time of day, always on a quarter of an hour (UTC).
_SLOT_S = 900
#: Upper bound of the cost of a call, USD; beyond it the token count is taken for wrong.
_MAX_USD = 1_000_000
_MAX_TOKENS = 2**62
#: The rate of tokens that have none: one of them is too many for _MAX_USD.
_UNPRICED = 1e18
#: OTel's provider names that genai-prices spells otherwise. It knows the rest.
_PROVIDERS: Mapping[str, str] = {
    "azure.ai.inference": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}


class Rates(NamedTuple):
    """What one token costs, nano-USD, in calls of `over` < input tokens <= `until`.

    Null: there is no such price. Cached tokens are part of the input, reasoning of the
    output; each token is charged once, at its own rate. USD per million tokens * 1000.
    """

    over: int
    until: int
    input: float | None
    cache_read: float | None
    cache_write: float | None
    output: float | None
    reasoning: float | None
    call: float = 0.0  # nano-USD a request


def flat_rates(
    usd: float,
    *,
    output: float | None = None,
    cache_read: float | None = None,
    cache_write: float | None = None,
    reasoning: float | None = None,
) -> Rates:
    """Rates from USD per million tokens, whatever the size of a call; `usd` is the input's.

    Cached tokens cost as input, and reasoning as output, where they have no price of their own.
    """

    def rate(price: float | None, default: float | None = None) -> float | None:
        return default if price is None else price * 1_000

    given, made = rate(usd), rate(output)
    read, written = rate(cache_read, given), rate(cache_write, given)
    return Rates(-1, _MAX_TOKENS, given, read, written, made, rate(reasoning, made))


@dataclass(frozen=True, slots=True)
class Prices:
    """Where prices come from."""

    #: The user's own, by model in lower case; they go before the list prices.
    overrides: Mapping[str, Rates] = field(default_factory=dict)

    def rates(self, provider: str | None, model: str, slot: int) -> tuple[Rates, ...]:
        """A model's rates in quarter hour `slot` since the epoch, by size; none if unknown."""
        own = self.overrides.get(model.lower())
        return _list_rates(provider, model, slot) if own is None else (own,)


_CLASSES = ("input", "cache_read", "cache_write", "output", "reasoning")
_KEY = ("provider", "model", "slot")
_TO_PRICE = pl.all_horizontal(
    pl.col("kind").is_in([kind.value for kind in MODEL_CALL_KINDS]),
    pl.col("cost_nano").is_null(),
    pl.col("model", "input_tokens").is_not_null(),
)
_TABLE: Mapping[str, pl.DataType] = {
    "provider": pl.String(),
    "model": pl.String(),
    "slot": pl.Int64(),
    **{name: pl.Int64() for name in ("over", "until")},
    **{name: pl.Float64() for name in Rates._fields[2:]},
}


def _charged() -> pl.Expr:
    """Nano-USD of a call: every token once, at its own rate."""
    counts = {name: pl.col(f"n_{name}").fill_null(0) for name in _CLASSES}
    thought = pl.min_horizontal(counts["reasoning"], counts["output"])
    charged = counts | {
        "input": counts["input"] - counts["cache_read"] - counts["cache_write"],
        "output": counts["output"] - thought,
        "reasoning": thought,
    }
    return sum((count * pl.col(name) for name, count in charged.items()), pl.col("call"))


_CHARGED = _charged()
#: Of the rates by size one fits; a model without rates keeps its one row, without a cost.
_FITS = pl.col("n_input").is_between("over", "until", closed="right").fill_null(value=True)
_CREDIBLE = pl.col("nano").is_between(0, _MAX_USD * NANO)


def fill_costs(spans: pl.DataFrame, prices: Prices) -> pl.DataFrame:
    """Spans (SPAN_SCHEMA) with `cost_nano` filled in where it is null and can be known.

    What a span costs depends on nothing but itself and `prices`.
    """
    to_price = spans.select(_TO_PRICE.alias("to_price"))["to_price"]
    if not to_price.any():
        return spans
    calls = spans.select(
        "provider",
        "model",
        (pl.col("start_ns") // (NANO * _SLOT_S)).alias("slot"),
        *(pl.col(f"{name}_tokens").alias(f"n_{name}") for name in _CLASSES),
    ).filter(to_price)
    rows = [
        (provider, model, slot, *(_UNPRICED if rate is None else rate for rate in rates))
        for provider, model, slot in calls.select(_KEY).unique().iter_rows()
        for rates in prices.rates(provider, model, slot)
    ]
    table = pl.DataFrame(rows, schema=dict(_TABLE), orient="row")
    priced = calls.join(table, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
    charged = priced.select(nano=_CHARGED, fits=_FITS).filter("fits")
    cost = charged.select(pl.when(_CREDIBLE).then(pl.col("nano").round().cast(pl.Int64)))["nano"]
    # The n-th call to price gets the n-th cost, every other span none.
    nth = pl.when(to_price).then(to_price.cum_sum() - 1)
    return spans.with_columns(cost_nano=pl.coalesce("cost_nano", pl.lit(cost).gather(nth)))


@lru_cache(maxsize=16_384)
def _list_rates(provider: str | None, model: str, slot: int) -> tuple[Rates, ...]:
    found = _find(provider, model)
    if found is None:
        return ()
    prices = found.get_prices(datetime.fromtimestamp(slot * _SLOT_S, UTC))
    edges = (-1, *_tier_starts(prices), _MAX_TOKENS)
    sizes = (_rates_at(prices, over, until) for over, until in pairwise(edges))
    return tuple(rates for rates in sizes if rates is not None)


@lru_cache(maxsize=4_096)
def _find(provider: str | None, model: str) -> ModelInfo | None:
    # A new snapshot each time: a kept one caches every name asked for, without a bound, and
    # names come from outside.
    prices = DataSnapshot(providers, from_auto_update=False)
    try:
        known_as = provider and _PROVIDERS.get(provider, provider)
        return prices.find_provider_model(model, None, known_as, None)[1]
    except LookupError:
        return None


def _tier_starts(prices: ModelPrice) -> list[int]:
    tiered = (p for p in vars(prices).values() if isinstance(p, TieredPrices))
    return sorted({tier.start for price in tiered for tier in price.tiers})


def _rates_at(prices: ModelPrice, over: int, until: int) -> Rates | None:
    """The rates for one size of call; None if its tokens have no price (audio, images)."""

    def rate(price: Decimal | TieredPrices | None, default: float | None) -> float | None:
        if isinstance(price, TieredPrices):
            passed = [tier.price for tier in price.tiers if tier.start <= over]
            price = passed[-1] if passed else price.base
        return default if price is None else float(price * 1_000)

    given, made = rate(prices.input_mtok, None), rate(prices.output_mtok, None)
    if given is None and made is None:
        return None
    return Rates(
        over,
        until,
        given,
        rate(prices.cache_read_mtok, given),
        rate(prices.cache_write_mtok, given),
        made,
        rate(prices.output_reasoning_mtok, made),
        (rate(prices.requests_kcount, None) or 0.0) * 1_000,
    )
