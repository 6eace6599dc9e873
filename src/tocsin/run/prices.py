"""The user's own prices, from a YAML file: model -> USD per million tokens, by kind.

    my-finetune: {input: 1.5, output: 6, cache_read: 0.15}
    text-embedding-own: {input: 0.02}

A model named here is priced by it, whatever its provider; all others by the list prices.
"""

import difflib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tocsin.errors import UserError
from tocsin.flow.windows.pricing import Prices, flat_rates
from tocsin.settings import read_yaml

_Usd = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False, strict=True)]


class _Price(BaseModel):
    """One model's price. Cached tokens cost as input where they have no price of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: _Usd
    output: _Usd | None = None
    cache_read: _Usd | None = None
    cache_write: _Usd | None = None
    reasoning: _Usd | None = None


_PriceList = TypeAdapter(dict[str, _Price])


def load_prices(path: Path | None) -> Prices:
    """The prices in force; only the list prices if `path` is None. Raises UserError."""
    if path is None:
        return Prices()
    data = read_yaml(path, "prices_file", "check the path")
    try:
        listed = _PriceList.validate_python(data or {})
    except ValidationError as error:
        raise UserError(f"prices_file {path}: {_sentence(error)}") from None
    return Prices(
        {
            model.lower(): flat_rates(price.input, **price.model_dump(exclude={"input"}))
            for model, price in listed.items()
        }
    )


def _sentence(error: ValidationError) -> str:
    """What to mend first, as one sentence."""
    # A misspelt kind is named before the kind that is missing for it.
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        kinds = list(_Price.model_fields)
        close = difflib.get_close_matches(str(first["loc"][-1]), kinds, n=1)
        hint = f"did you mean {close[0]}?" if close else f"use {', '.join(kinds)}."
        return f"{where} is no kind of token; {hint}"
    if first["type"] == "missing":
        return f"{where} is missing; give USD per million tokens, such as `input: 2.5`."
    if len(first["loc"]) < 2 or first["loc"][-1] == "[key]":
        at = f"{first['loc'][0]}: " if where else ""
        return f"{at}write prices by model, such as `my-model: {{input: 2.5, output: 10}}`."
    return f"{where} must be USD per million tokens, a number from 0 to 1,000,000."
