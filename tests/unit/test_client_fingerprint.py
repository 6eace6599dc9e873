"""The client's hashes are the server's: it must not matter who hashes a tool's arguments."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel

from tocsin.flow.decode import Limits
from tocsin.flow.decode import fingerprint as server
from tocsin.flow.decode.limits import RefusedError
from tocsin_client import fingerprint as client
from unit.decode_samples import KEY, encode, native, one

DEPTH = Limits().max_depth
#: Names that are masked, nearly masked, and not; and values that look drawn at random.
NAMES = st.text() | st.sampled_from([*server.VOLATILE, "id", "ID", "Trace-Id", "call_id", "q"])
TEXTS = st.text() | st.sampled_from(
    ["", " x ", "call_0123456789abcdef", "7", "1e400", "NaN", "[1e400]", '["\\ud800"]', "[-0]",
     '["\\ud83d\\ude00"]', '{"id": "call_0123456789abcdef"}', '[{"ts": 1}] ', '"[1]"', "\x7f\u2028"]
)  # fmt: skip
#: The powers of ten at which the spelling of a float changes, and what is around them.
SPELT = st.builds(
    lambda m, e: float(f"{m}e{e}"), st.integers(-(10**6), 10**6), st.integers(-30, 30)
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | SPELT
ATOMS = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | FLOATS | TEXTS
JSON = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def hashed(content: object) -> str:
    return client.fingerprint(content, KEY)


def by_server(text: bytes) -> str:
    return server.fingerprint(text, KEY, DEPTH)


@given(JSON)
def test_a_value_has_the_fingerprint_the_server_makes_of_its_json(content: object) -> None:
    assert hashed(content) == by_server(json.dumps(content).encode())
    assert hashed(content) == by_server(msgspec.json.encode(content))


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_json_in_a_text_has_the_fingerprint_the_server_makes(
    content: object, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=ascii_only)
    assert hashed(text) == by_server(json.dumps(text).encode())


@given(st.text(alphabet='[]{}",:0123456789.eE+- \\udtrufalsn\t\n'))
def test_what_is_nearly_json_is_read_as_the_server_reads_it(text: str) -> None:
    assert hashed(text) == by_server(json.dumps(text).encode())


@pytest.mark.parametrize(
    "text",
    ["[NaN]", '{"a": Infinity}', "[-Infinity]", "[1e400]", "[1e-400]", "[-0]", "[-0.0]",
     '["\\ud800"]', '["\\udc00"]', '["\\ud83d\\ude00"]', '["\\ud83d\\u0041"]', '["\\\\ud800"]',
     '{"a": 1, "a": 2}', "[01]", "[1.]", "[1] x", "[1,]", '["\t"]', "\ufeff[1]", "\u00a0[1]",
     f"[{'9' * 4300}]", f"[{'9' * 4301}]", f"[{2**63}]", f"[{-(2**63)}]", "", " \u2003x"],
)  # fmt: skip
def test_the_edges_of_json_are_where_the_server_has_them(text: str) -> None:
    assert hashed(text) == by_server(json.dumps(text).encode())


@given(JSON.filter(lambda value: value is not None))
def test_a_fingerprint_is_the_one_ingest_makes_of_the_arguments(content: object) -> None:
    span = one(encode(native(kind="tool", tool="t", tool_arguments=content)))
    assert hashed(content) == span["args_hash"]


def test_the_same_keys_are_volatile_and_the_same_depth_is_read() -> None:
    assert client.VOLATILE == server.VOLATILE
    assert client.MAX_DEPTH == DEPTH


@pytest.mark.parametrize("depth", [DEPTH - 1, DEPTH, DEPTH + 1, 100])
def test_what_the_server_refuses_as_too_deep_has_no_fingerprint(depth: int) -> None:
    content: Any = "x"
    for _ in range(depth):
        content = [content]
    text = json.dumps(content)
    if depth <= DEPTH:
        assert hashed(content) == hashed(text) == by_server(text.encode())
        return
    for same in (content, text):
        with pytest.raises(RefusedError):
            by_server(json.dumps(same).encode())
        with pytest.raises(ValueError, match="too deep"):
            hashed(same)


def test_text_that_nests_without_end_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ValueError, match="too deep"):
        hashed("[" * 100_000)


@dataclass
class _Query:
    q: str


class _Model(BaseModel):
    q: str
    of: _Query | None = None


class _Root(RootModel[str]):
    pass


class _Word(StrEnum):
    YES = "yes"


class _Number(Enum):
    TWO = 2


MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 600_000)  # noqa: DTZ001 - one without a zone, on purpose
IN_DELHI = MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize(
    "value",
    [
        _Query("x"), [_Query("x")], (1, "2"), {"b", "a", "10", "9"}, frozenset({10, 9, -1}),
        {(1, 2), (0, 1)}, _Word.YES, {"a": _Number.TWO}, MOMENT, MOMENT.replace(tzinfo=dt.UTC),
        IN_DELHI, MOMENT.date(), MOMENT.time(), UUID(int=5), Decimal("1.50"), b"\x00\xff",
        bytearray(b"x"), memoryview(b"x"), float("nan"), [float("inf"), -0.0, -1.5e-5], 2**63,
        -(2**63), "\x00", {"id": _Word.YES},
    ],
)  # fmt: skip
def test_python_values_are_hashed_as_the_json_they_are_usually_sent_as(value: object) -> None:
    assert hashed(value) == by_server(msgspec.json.encode(value, order="deterministic"))


def test_models_have_the_fingerprint_of_their_json() -> None:
    model = _Model(q="x", of=_Query("y"))
    assert hashed(model) == by_server(model.model_dump_json().encode())
    assert hashed([model]) == by_server(f"[{model.model_dump_json()}]".encode())
    assert hashed(_Root('{"a": 1}')) == hashed({"a": 1})


@pytest.mark.parametrize(
    "value", [object(), [object()], {1: 2}, _Model, {1, "a"}, lambda: 1, range(3), "\ud800"]
)
def test_what_has_no_form_as_json_has_no_fingerprint(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        hashed(value)


def test_a_loop_has_no_fingerprint() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="too deep"):
        hashed(loop)
