"""What the client writes is valid by the published schemas, and nothing valid is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tocsin.flow.decode import Limits, decode, instant, span_v1
from tocsin.flow.decode.changes import decode_changes
from tocsin.types import ChangeKind, Kind
from tocsin_client import contract as client
from tocsin_client import kinds
from tocsin_client.contract import ContractError
from unit.decode_samples import END_NS, KEY, Message, native

SCHEMAS = Path(__file__).parents[2] / "schemas"
SPAN_V1 = json.loads((SCHEMAS / "span.v1.json").read_text(encoding="utf-8"))
CHANGE_V1 = json.loads((SCHEMAS / "change.v1.json").read_text(encoding="utf-8"))
SPAN_VALID, CHANGE_VALID = Draft202012Validator(SPAN_V1), Draft202012Validator(CHANGE_V1)
#: Values of every kind, most of them wrong for most fields, and each bound with its neighbour.
VALUES = (
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(-2, 2**41)
    | st.floats(-2, 2e6) | st.sampled_from(
        [0, 2**40, 2**40 + 1, 1e6, 1e6 + 1, 1e9, -1e9, 1e9 + 1, 366 * 86_400_000.0, 3.2e10, 5.0,
         float("nan"), float("inf"), "ok", "error", "timeout", "x" * 201, "\x00", "\ud800", [], {},
         END_NS, END_NS - 1, END_NS + 1, instant.FIRST_NS, instant.FIRST_NS - 1, instant.LAST_NS,
         instant.LAST_NS + 1]
    )
)  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(sorted(client.SPAN)), VALUES, max_size=4)


def written(fields: dict[str, Any]) -> bytes | None:
    try:
        return client.span(fields)
    except ContractError:
        return None


@given(FIELDS)
def test_a_span_that_is_written_is_valid_and_decodes(fields: dict[str, Any]) -> None:
    value = written(native() | fields)
    if value is None:
        return
    assert SPAN_VALID.is_valid(json.loads(value)), value
    decoded = decode([Message(value)], Limits(), KEY)
    assert (decoded.rejects, decoded.spans.height) == ((), 1)


def is_allowed(span: dict[str, Any]) -> bool:
    """By the schema; and its times are the integers that the client writes, in order."""
    start, end = span.get("start_time"), span["end_time"]
    if not SPAN_VALID.is_valid(span) or isinstance(start, str) or isinstance(end, str):
        return False
    is_text = "\ud800" not in span.values()  # JSON Schema knows no surrogates
    return is_text and (start is None or start <= end)


@given(FIELDS)
def test_a_span_that_the_schema_allows_is_written(fields: dict[str, Any]) -> None:
    span = native() | fields
    if is_allowed(span):
        assert json.loads(client.span(span)) == {
            name: value[:200] if isinstance(value, str) and name != "parent_id" else value
            for name, value in span.items()
            if value is not None
        }


@pytest.mark.parametrize("name", sorted(client.SPAN))
def test_each_field_can_be_written(name: str) -> None:
    values = [value for value in ("ok", 5, 0.5, END_NS) if is_allowed(native() | {name: value})]
    assert values
    for value in values:
        assert json.loads(client.span(native() | {name: value}))[name] == value


@pytest.mark.parametrize("name", sorted(client.SPAN))
def test_true_and_digits_are_no_numbers(name: str) -> None:
    assert written(native() | {name: True}) is None
    if not is_allowed(native() | {name: "5"}):
        assert written(native() | {name: "5"}) is None


def test_the_client_knows_every_field_but_those_that_hold_content() -> None:
    assert set(client.SPAN) | {"tool_arguments", "tool_result"} == set(SPAN_V1["properties"])
    assert set(client.CHANGE) == set(CHANGE_V1["properties"])
    assert {k.name: k.value for k in kinds.Kind} == {k.name: k.value for k in Kind}
    assert {k.name: k.value for k in kinds.ChangeKind} == {k.name: k.value for k in ChangeKind}
    assert (client.FIRST_NS, client.LAST_NS) == (instant.FIRST_NS, instant.LAST_NS)
    assert Limits().max_string == client.MAX_STRING
    required = set(span_v1.SpanV1.model_json_schema()["required"])
    for name in required:
        assert written({k: v for k, v in native().items() if k != name}) is None


def test_content_is_left_out_even_where_it_is_given() -> None:
    value = client.span(native(tool_arguments="jane", tool_result="jane", prompt="jane"))
    assert b"jane" not in value


def test_what_is_wrong_is_named_without_its_value() -> None:
    with pytest.raises(ContractError, match=r"^input_tokens, score$"):
        client.span(native(input_tokens="jane", score=float("inf")))
    with pytest.raises(ContractError, match="times"):
        client.span(native(start_time=END_NS + 1))
    with pytest.raises(ContractError, match="not Unicode"):
        client.span(native(tool="\ud800"))


CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"kind": st.sampled_from([*ChangeKind, "coffee", 3])},
    optional={
        name: st.text(max_size=5) | st.sampled_from(["\ud800", 7, 1.5, True, None, []])
        for name in ("service", "env", "name", "version", "variant", "source")
    }
    | {"at": st.sampled_from([END_NS, 5, "2026-11-23T02:14:07Z", None, True])},
)


@given(CHANGES)
def test_a_change_that_is_written_is_valid_and_decodes(fields: dict[str, Any]) -> None:
    try:
        value = client.change(fields)
    except ContractError:
        return
    assert CHANGE_VALID.is_valid(json.loads(value)), value
    future_ms = 10**13
    decoded = decode_changes([Message(value)], Limits(), future_ms)
    assert (decoded.rejects, len(decoded.changes)) == ((), 1)


def test_numbers_are_welcome_as_names_of_a_change() -> None:
    assert json.loads(client.change({"kind": "deploy", "version": 7}))["version"] == "7"
    for fields in ({"kind": "coffee"}, {}, {"kind": "deploy", "version": True}):
        with pytest.raises(ContractError):
            client.change(fields)
