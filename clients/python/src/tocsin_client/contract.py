"""Spans and changes as bytes, held to `schemas/span.v1.json` and `schemas/change.v1.json`.

The rules are those of the schemas; tests/unit/test_client_contract.py compares them.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, SupportsFloat, SupportsIndex

from tocsin_client.kinds import ChangeKind

#: Names are cut here, characters; longer ids are refused: cut, they would name another.
MAX_STRING: Final = 200
#: Instants outside 2000..2200, ns since the epoch, are mistakes.
FIRST_NS: Final = 946_684_800 * 10**9
LAST_NS: Final = 7_258_118_400 * 10**9
_MAX_TOKENS = 2**40
_MAX_USD = 1_000_000.0
_MAX_SCORE = 1e9
_MAX_MS = 366 * 86_400_000.0
_STATUS = frozenset({"ok", "error", "timeout"})
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f]")

_Check = Callable[[Any], Any]


class ContractError(ValueError):
    """Against the contract. The message has names of fields, never their values."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _name(value: object) -> str:
    return _text(value)[:MAX_STRING]


def _required_name(value: object) -> str:
    name = _name(value)
    if _PRINTABLE.search(name) is None:
        raise ValueError
    return name


def _id(value: object) -> str:
    if len(_text(value)) > MAX_STRING:
        raise ValueError
    return _required_name(value)


def _status(value: object) -> str:
    if value not in _STATUS:
        raise ValueError
    return _text(value)


def _whole(least: int, most: int) -> _Check:
    """A check for whole numbers; 5.0 is one, True is none."""

    def check(value: SupportsIndex | float) -> int:
        if isinstance(value, bool):
            raise TypeError
        whole = isinstance(value, float) and value.is_integer()
        number = int(value) if whole else operator.index(value)  # type: ignore[arg-type]
        if not least <= number <= most:
            raise ValueError
        return number

    return check


def _real(least: float, most: float) -> _Check:
    def check(value: SupportsFloat) -> float:
        if isinstance(value, bool) or not isinstance(value, SupportsFloat):
            raise TypeError
        number = float(value)
        if not (math.isfinite(number) and least <= number <= most):
            raise ValueError
        return number

    return check


_TOKENS = _whole(0, _MAX_TOKENS)
_INSTANT = _whole(FIRST_NS, LAST_NS)
_MS = _real(0, _MAX_MS)
_REQUIRED = ("trace_id", "span_id", "service", "kind", "end_time")
#: Field -> what is written of its value; raises TypeError or ValueError. All that may be
#: published: `tool_arguments` and `tool_result`, which hold content, are not among them.
SPAN: Final[Mapping[str, _Check]] = (
    {"trace_id": _id, "span_id": _id, "service": _required_name, "kind": _required_name}
    | {"end_time": _INSTANT, "start_time": _INSTANT, "parent_id": _text, "status": _status}
    | dict.fromkeys(
        ("env", "release", "agent", "workflow", "route", "stage", "provider", "model",
         "model_requested", "tool", "error_class", "finish_reason", "args_hash", "result_hash",
         "handoff_from", "handoff_to", "prompt_name", "prompt_version", "score_name"), _name,
    )
    | dict.fromkeys(
        ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
         "reasoning_tokens"), _TOKENS,
    )
    | {"duration_ms": _MS, "ttft_ms": _MS, "cost_usd": _real(0, _MAX_USD)}
    | {"score": _real(-_MAX_SCORE, _MAX_SCORE)}
)  # fmt: skip


def _label(value: object) -> str:
    """A name of a change, where numbers are welcome: version=7."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return _text(value)


def _when(value: object) -> int | str:
    return value if isinstance(value, str) else int(_INSTANT(value))


CHANGE: Final[Mapping[str, _Check]] = {
    "kind": lambda value: ChangeKind(_text(value)).value,
    "at": _when,
} | dict.fromkeys(("service", "env", "name", "version", "variant", "source"), _label)


def span(fields: Mapping[str, object]) -> bytes:
    """A span as JSON. None means absent; fields that SPAN does not name are left out.

    Raises ContractError.
    """
    checked = _checked(fields, SPAN, _REQUIRED)
    if checked.get("start_time", FIRST_NS) > checked["end_time"]:
        raise ContractError("its times")
    return _encoded(checked)


def change(fields: Mapping[str, object]) -> bytes:
    """A change as JSON, likewise. Raises ContractError."""
    return _encoded(_checked(fields, CHANGE, ("kind",)))


def _checked(
    fields: Mapping[str, object], checks: Mapping[str, _Check], required: tuple[str, ...]
) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    wrong = {name for name in required if fields.get(name) is None}
    for name, value in fields.items():
        if value is not None and (check := checks.get(name)) is not None:
            try:
                checked[name] = check(value)
            except (TypeError, ValueError):
                wrong.add(name)
    if wrong:
        raise ContractError(", ".join(sorted(wrong)))
    return checked


def _encoded(fields: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ContractError("a text is not Unicode") from None
