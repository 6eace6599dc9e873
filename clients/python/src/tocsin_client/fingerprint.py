"""Tool arguments and results to keyed fingerprints, so that loops show and content does not.

The same 16 hex digits that Tocsin's ingest makes of the same content, so that it does not matter
who hashes; a law in tests/unit/test_client_fingerprint.py compares the two. HMAC-SHA256, because
arguments are often guessable (an e-mail address, a city) and a plain hash could be looked up.
"""

from __future__ import annotations

import hmac
import math
import re
from json.encoder import encode_basestring
from typing import Any, Final

from tocsin_client.jsonable import jsonable, parsed

#: Keys whose value differs between two attempts at the same thing; compared without _ and -.
VOLATILE: Final = frozenset({
    "callid", "correlationid", "createdat", "cursor", "idempotencykey", "nexttoken", "nonce",
    "now", "pagetoken", "requestid", "runid", "sessionid", "spanid", "time", "timestamp",
    "toolcallid", "traceid", "ts", "updatedat", "uuid",
})  # fmt: skip
#: A bare `id` is volatile only if it looks drawn at random: `{"id": 7}` names a thing.
_RANDOM_ID = re.compile(r"(?=.*\d)(?:[a-z]+[-_])?[0-9A-Za-z-]{16,}")
_MASKED = '"*"'
_DIGEST_BYTES = 8
_INT64 = 2**63
#: Nesting that ingest reads by default (limits.max_depth).
MAX_DEPTH: Final = 32


def fingerprint(content: object, key: bytes, max_depth: int = MAX_DEPTH) -> str:
    """16 hex digits of the HMAC of canonical `content`.

    Equal content gives equal fingerprints whatever the order of its keys, and whatever the
    values that change with every attempt. Text that holds JSON counts as that JSON. Raises
    TypeError for what has no form as JSON, ValueError if it is nested deeper than `max_depth`
    or is no Unicode.
    """
    value = jsonable(content)
    if isinstance(value, str):
        value = _unquoted(value)
    return hmac.digest(key, _canonical(value, max_depth).encode(), "sha256")[:_DIGEST_BYTES].hex()


def _unquoted(text: str) -> Any:
    """What the JSON in `text` says, if it is an object or an array; else text without blanks."""
    try:
        inner = parsed(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:
        return text.strip()
    return inner if isinstance(inner, dict | list) else text.strip()


def _canonical(content: object, depth: int) -> str:
    """JSON with sorted keys and no blanks, volatile values masked. Raises as `fingerprint`."""
    value = jsonable(content)
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict | list):
        if depth == 0:
            raise ValueError("nested too deep")
        if isinstance(value, list):
            return f"[{','.join(_canonical(item, depth - 1) for item in value)}]"
        if not all(isinstance(name, str) for name in value):
            raise TypeError("keys that are no text have no form as JSON")
        return f"{{{','.join(_member(name, value[name], depth - 1) for name in sorted(value))}}}"
    return _atom(value)


def _member(name: str, value: object, depth: int) -> str:
    shown = _MASKED if _is_volatile(name, value) else _canonical(value, depth)
    return f"{encode_basestring(name)}:{shown}"


def _is_volatile(name: str, value: object) -> bool:
    plain = name.lower().replace("_", "").replace("-", "")
    if plain == "id":
        text = jsonable(value)
        return isinstance(text, str) and _RANDOM_ID.fullmatch(text) is not None
    return plain in VOLATILE


def _atom(value: float | None) -> str:
    """A number, true, false or null, spelt as ingest spells it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f'"{hex(value)}"' if abs(value) >= _INT64 else int.__repr__(value)
    if not math.isfinite(value):
        return "null"
    mantissa, _, exponent = float.__repr__(value).partition("e")
    if not exponent:
        return mantissa
    if int(exponent) != -5:
        return f"{mantissa}e{int(exponent)}"
    # Python writes 1.5e-05 where ingest's encoder writes 0.000015.
    sign = "-" if value < 0 else ""
    return f"{sign}0.0000{mantissa.lstrip('-').replace('.', '')}"
