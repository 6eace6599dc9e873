"""Tool arguments and results to keyed fingerprints, so that loops are seen without content.

Equal content gives equal fingerprints whatever the key order, spacing or wire format, and
whatever the values that change with every attempt. HMAC-SHA256, because arguments are
often guessable (an e-mail address, a city) and a plain hash could be looked up.
"""

import hmac
import re
from typing import Any

import msgspec

from tocsin.flow.decode.limits import RefusedError
from tocsin.types import Reason

#: Keys whose value differs between two attempts at the same thing; compared without _ and -.
VOLATILE = frozenset({
    "callid", "correlationid", "createdat", "cursor", "idempotencykey", "nexttoken", "nonce",
    "now", "pagetoken", "requestid", "runid", "sessionid", "spanid", "time", "timestamp",
    "toolcallid", "traceid", "ts", "updatedat", "uuid",
})  # fmt: skip
#: A bare `id` is volatile only if it looks drawn at random: `{"id": 7}` names a thing, and
#: walking through things is progress, not a loop.
_RANDOM_ID = re.compile(r"(?=.*\d)(?:[a-z]+[-_])?[0-9A-Za-z-]{16,}")
_MASK = "*"
#: How the JSON of a tool's start and of its end begins.
_CALLBACKS = ('{"input_str":', '{"output":')
_DIGEST_BYTES = 8
_INT64 = 2**63


def fingerprint(content: bytes | str | object, key: bytes, max_depth: int) -> str:
    """16 hex digits of the HMAC of canonical `content`.

    `content` is JSON text, any other text, or a value already parsed. Raises RefusedError
    if it is nested deeper than `max_depth` or is not UTF-8.
    """
    value = parse(content) if isinstance(content, bytes | str) else content
    if isinstance(value, str):  # JSON inside a JSON string: some encode it twice
        inner = parse(value)
        value = inner if isinstance(inner, dict | list) else value.strip()
    masked = _mask(value, max_depth)
    try:
        canonical = msgspec.json.encode(masked, order="sorted")
    except UnicodeEncodeError:
        raise RefusedError(Reason.BAD_UTF8) from None
    return hmac.digest(key, canonical, "sha256")[:_DIGEST_BYTES].hex()


def unwrapped(content: Any) -> Any:
    """What a tool was given or gave, where Traceloop or LangSmith wrote LangChain's callback.

    Its step and checkpoint change with every call, so that no two calls would be alike. Raises
    RefusedError if it is nested too deep to read.
    """
    if not isinstance(content, str) or not content.startswith(_CALLBACKS):
        return content
    value = parse(content)
    if not isinstance(value, dict):
        return content
    if "input_str" in value:
        return value.get("inputs") or value["input_str"]
    output = value["output"]
    if not isinstance(output, dict):
        return output
    message = output.get("kwargs") if "lc" in output else output
    return message.get("content", output) if isinstance(message, dict) else output


def parse(content: bytes | str) -> Any:
    """The JSON value in the text; or the text without blanks around it, if it is none.

    Raises RefusedError if it is nested too deep to read, or is not UTF-8.
    """
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        pass
    except RecursionError:
        raise RefusedError(Reason.TOO_DEEP) from None
    except UnicodeError:
        raise RefusedError(Reason.BAD_UTF8) from None
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise RefusedError(Reason.BAD_UTF8) from None
    return text.strip()


def _mask(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        # Integers beyond 64 bits have no JSON encoding here; any fixed text of them does.
        return hex(value) if isinstance(value, int) and abs(value) >= _INT64 else value
    if depth == 0:
        raise RefusedError(Reason.TOO_DEEP)
    if isinstance(value, list):
        return [_mask(item, depth - 1) for item in value]
    return {
        name: _MASK if _is_volatile(name, item) else _mask(item, depth - 1)
        for name, item in value.items()
    }


def _is_volatile(name: str, value: object) -> bool:
    plain = name.lower().replace("_", "").replace("-", "")
    if plain == "id":
        return isinstance(value, str) and _RANDOM_ID.fullmatch(value) is not None
    return plain in VOLATILE
