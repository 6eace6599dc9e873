"""The fingerprint of tool content: the same for the same, and nothing to look up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.decode.fingerprint import VOLATILE, fingerprint
from tocsin.flow.decode.limits import RefusedError
from tocsin.types import Reason

KEY = b"key"
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


def _of(content: Any) -> str:
    return fingerprint(content, KEY, 32)


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shuffled(value[name]) for name in reversed(value)}
    return [_shuffled(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_spacing_key_order_and_wrapping_do_not_matter(value: Any) -> None:
    texts = [
        json.dumps([value]),
        json.dumps(_shuffled([value]), indent=3),
        json.dumps([value]).encode(),
        json.dumps(json.dumps([value])),
    ]
    assert len({*map(_of, texts), _of([value])}) == 1


@given(JSON)
def test_it_is_sixteen_hex_digits_that_depend_on_the_key(value: Any) -> None:
    text = json.dumps(value)
    made = _of(text)
    assert len(made) == 16
    assert made == f"{int(made, 16):016x}"
    assert made != fingerprint(text, b"other key", 32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"city":"Rome"}', '{"city":"Bonn"}'),
        ('{"a":1}', '{"b":1}'),
        ("[1,2]", "[2,1]"),
        ("1", '"a"'),
        ("plain words", "other words"),
        ('{"id":7}', '{"id":8}'),
        ('{"id":"order-7"}', '{"id":"order-8"}'),
    ],
)
def test_other_content_has_another_fingerprint(one: str, other: str) -> None:
    assert _of(one) != _of(other)


@pytest.mark.parametrize("name", [*sorted(VOLATILE), "request_id", "Request-Id", "nextToken"])
def test_what_changes_with_every_attempt_is_masked(name: str) -> None:
    deep = [{"query": "x", "meta": [{name: value}]} for value in (1, "2", None, [3])]
    assert len({_of(json.dumps(value)) for value in deep}) == 1
    assert _of(json.dumps({"query": "x"})) != _of(json.dumps({"query": "x", name: 1}))


def test_an_id_is_masked_only_if_it_looks_drawn_at_random() -> None:
    drawn = ("550e8400-e29b-41d4-a716-446655440000", "call_a8Xk29dkfjw83jdkf", "9f86d081884c7d65")
    assert len({_of(json.dumps({"id": value})) for value in drawn}) == 1


def test_depth_is_limited() -> None:
    assert fingerprint("[[[1]]]", KEY, 3)
    for deep in ("[[[[1]]]]", "[" * 100_000 + "]" * 100_000, "[" * 900 + "]" * 900):
        with pytest.raises(RefusedError) as refused:
            fingerprint(deep, KEY, 3)
        assert refused.value.reason is Reason.TOO_DEEP


@pytest.mark.parametrize("content", [b"\xff", b'"\xff"', b'{"a":"\xff"}', "\ud800"])
def test_what_is_no_utf8_is_refused(content: bytes | str) -> None:
    with pytest.raises(RefusedError) as refused:
        fingerprint(content, KEY, 3)
    assert refused.value.reason is Reason.BAD_UTF8


def test_integers_of_any_size_have_one() -> None:
    assert len({_of("9" * digits) for digits in (3, 30, 300, 9_000)}) == 4


def test_the_digest_never_changes() -> None:
    """Loops span deployments: a new release must not see every call as new."""
    assert _of('{"b": [1, "x"], "a": true}') == "bd7cee54bb9628c5"
