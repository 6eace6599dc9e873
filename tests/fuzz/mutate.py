"""Mutations that keep the shape: a JSON value or a protobuf field is replaced, the rest stays.

Bytes flipped at random hardly ever leave a message readable, so they test the parsers of
others. These reach what decode does with values that parse and make no sense.
"""

from __future__ import annotations

import json
import random
from typing import Any, Final

from fuzz.laws import SEPARATOR

#: Values at the edges of types, units and ranges.
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30,
    0.5, -0.0, 1e308, 5e-324, 1e999, 1.5e18, "", " ", "0", "-1", "NaN", "1e999", "a" * 300,
    "\u0000", "\u001f", "\ud83d\ude00", "é", "\u2028", "0" * 32, "f" * 32, "0x" + "1" * 16,
    "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-10-09T08:53:20.123456789+14:00",
    "1760000000000000000", "error", "timeout", "transfer_to_agent", "handoff_to_", "llm",
    "[" * 50, '{"a": {"a": 1}}', [], {}, [[]], [None], {"": None}, [1, "a", {"b": []}],
    {"stringValue": "x"}, {"intValue": "99999999999999999999"}, {"doubleValue": "NaN"},
    {"arrayValue": {"values": [{"kvlistValue": {"values": []}}]}}, {"bytesValue": "AA=="},
)  # fmt: skip
#: A value is mostly replaced by one of its own kind: that goes further in.
_LIKE: Final[dict[type, tuple[Any, ...]]] = {
    kind: tuple(value for value in VALUES if type(value) is kind) + VALUES[:25]
    for kind in (int, float, list, dict)
}
_NUMBERS: Final = (0, 1, 127, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)


def mutate(data: bytes, rng: random.Random) -> bytes | None:
    """The input with one record changed in its shape; None if none of it has one."""
    parts = data.split(SEPARATOR)
    at = rng.randrange(len(parts))
    head, value = parts[at][:1], parts[at][1:]
    changed = _json(value, rng) if value.lstrip()[:1] in {b"{", b"["} else _protobuf(value, rng)
    if changed is None:
        return None
    parts[at] = head + changed
    return SEPARATOR.join(parts)


def _json(value: bytes, rng: random.Random) -> bytes | None:
    try:
        tree = json.loads(value)
    except (ValueError, RecursionError):
        return None
    places: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack and len(places) < 5_000:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in items:
            places.append((node, key))
            if isinstance(child, dict | list):
                stack.append(child)
    if not places:
        return json.dumps(rng.choice(VALUES)).encode()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _change(*rng.choice(places), places, rng)
    try:
        return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode()
    except (ValueError, RecursionError):  # half a surrogate, or a value put into itself
        return None


def _change(node: Any, key: Any, places: list[tuple[Any, Any]], rng: random.Random) -> None:
    held = key in node if isinstance(node, dict) else key < len(node)
    if not held:
        return
    match rng.randrange(6):
        case 0:
            del node[key]
        case 1:
            other, name = rng.choice(places)
            if (name in other) if isinstance(other, dict) else (name < len(other)):
                node[key] = json.loads(json.dumps(other[name]))
        case 2 if isinstance(node, dict):
            node[str(rng.choice(places)[1])] = node.pop(key)
        case 3 if isinstance(node, list):
            node.extend(node[key : key + 1] * rng.choice((1, 2, 60)))
        case _:
            value = rng.choice(_LIKE.get(type(node[key]), VALUES))
            if isinstance(node[key], str) and rng.random() < 0.5:
                value = str(value)  # OTLP and Zipkin write numbers as text
            node[key] = json.loads(json.dumps(value))


def _protobuf(value: bytes, rng: random.Random) -> bytes | None:
    """One field, at any depth, gets another value; the lengths around it are made right."""
    fields = _fields(value)
    if not fields:
        return None
    chosen = rng.randrange(len(fields))
    number, kind, body = fields[chosen]
    deeper = _protobuf(body, rng) if kind == 2 and rng.random() < 0.85 else None
    if deeper is not None:
        fields[chosen] = number, kind, deeper
    else:
        fields[chosen : chosen + 1] = _another(number, kind, body, rng)
    return b"".join(_encoded(field) for field in fields)


_Field = tuple[int, int, bytes]  # number, wire type, the bytes of its value


def _another(number: int, kind: int, body: bytes, rng: random.Random) -> list[_Field]:
    match rng.randrange(6):
        case 0:
            return []
        case 1:
            return [(number, kind, body)] * rng.choice((2, 3, 60))
        case 2:
            return [(rng.randint(1, 17), kind, body)]
        case 3:
            return [(number, 2, str(rng.choice(VALUES)).encode(errors="replace"))]
        case 4:
            return [(number, 0, _varint(rng.choice(_NUMBERS)))]
        case _:
            size = 8 if kind == 1 else len(body)
            return [(number, kind if kind in {1, 2} else 2, rng.randbytes(min(size, 64)))]


def _encoded(field: _Field) -> bytes:
    number, kind, body = field
    size = _varint(len(body)) if kind == 2 else b""
    return _varint(number << 3 | kind) + size + body


def _fields(value: bytes) -> list[_Field]:
    """The fields of a message, or none if it is no message."""
    found: list[_Field] = []
    at = 0
    while at < len(value):
        tag, at = _read(value, at)
        kind = tag & 7
        if kind == 2:
            size, at = _read(value, at)
        elif kind == 0:
            size = _read(value, at)[1] - at
        else:
            size = {1: 8, 5: 4}.get(kind, -1)
        if tag >> 3 == 0 or size < 0 or at + size > len(value):
            return []
        found.append((tag >> 3, kind, value[at : at + size]))
        at += size
    return found


def _read(value: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(value):
            return 0, at + 1
        number |= (value[at] & 0x7F) << shift
        at += 1
        if value[at - 1] < 0x80:
            break
    return number, at


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes((number & 0x7F | 0x80,)), number >> 7
    return out + bytes((number,))
