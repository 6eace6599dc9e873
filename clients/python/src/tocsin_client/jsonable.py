"""Python values as JSON has them, and JSON text as Python has it: what a fingerprint is made of."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

#: Types that `jsonable` gives back as they are.
_PLAIN = frozenset({type(None), bool, int, float, str, list, dict})


def jsonable(value: object) -> Any:
    """The JSON value `value` stands for: None, bool, int, float, str, list or dict.

    One level only: what is inside a list or dict is as it was. Dataclasses, attrs classes and
    pydantic models are dicts of their fields, sets are sorted lists, times are ISO 8601, bytes
    are base64, an enum is its value. Raises TypeError for anything else: it has no form that is
    the same in every process.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(jsonable(item) for item in value)
    if isinstance(value, str | int | float):
        return value
    return _scalar(value) if not isinstance(value, type) else _no_form(value)


def _scalar(value: object) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID | Decimal | dt.timedelta):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if (fields := getattr(type(value), "__attrs_attrs__", None)) is not None:
        return {field.name: getattr(value, field.name) for field in fields}
    if callable(dump := getattr(value, "model_dump", None)):
        return jsonable(dump(mode="json"))
    return _no_form(value)


def _no_form(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no form as JSON")


def parsed(text: str) -> Any:
    """The JSON value in `text`. Raises ValueError if it is none; RecursionError if too nested.

    Stricter than `json.loads` by default: NaN, Infinity, a number beyond a double and half of a
    surrogate pair are no JSON, as Tocsin reads it.
    """
    value = json.loads(text, parse_constant=_not_json, parse_float=_finite)
    if "\\u" in text:
        # A lone surrogate survives json.loads, but has no encoding: UnicodeEncodeError is a
        # ValueError.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _not_json(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number
