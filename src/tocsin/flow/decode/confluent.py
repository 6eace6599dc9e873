"""What Confluent's serializers put before a value, taken off.

Byte 0, the id of a schema in their registry (4 bytes, big-endian), then the value: JSON as it
is; protobuf behind the path of its message in the schema's file, as zigzag varints, a count
first, where a single 0 stands for the first message. Source: the wire format of Confluent's
Schema Registry documentation. The schema itself is not needed: both formats say what they
are. Avro does not, and is refused. Newer serializers put the id in the header
`__value_schema_id` instead, and leave the value alone.
"""

from typing import Final

from tocsin.flow.decode.limits import RefusedError
from tocsin.types import Reason

_MAGIC, _HEAD, _BLANK = b"\x00", 5, b" \t\r\n"
_FIELD_1 = 0x0A  # length-delimited: the repeated message of OTLP and Zipkin, Jaeger's trace id
#: Messages nest in a schema's file only so deep, and files hold only so many.
_DEEPEST: Final = 16


def is_framed(value: bytes) -> bool:
    """Whether it looks so. Neither JSON nor protobuf ever begins with a zero byte."""
    return value[:1] == _MAGIC and len(value) > _HEAD


def unframed(value: bytes) -> bytes:
    """The JSON or protobuf within. Raises RefusedError for anything else, such as Avro."""
    rest = value[_HEAD:]
    if rest.lstrip(_BLANK)[:1] in {b"{", b"["}:
        return rest
    at = _after_path(value)
    if at is None or not _is_protobuf(value, at):
        schema = int.from_bytes(value[1:_HEAD])
        detail = f"Confluent framing, schema id {schema}, not JSON/protobuf"
        raise RefusedError(Reason.UNKNOWN_FORMAT, detail)
    return value[at:]


def _after_path(value: bytes) -> int | None:
    """Where the path of the protobuf message ends; None if there is none."""
    count, at = _varint(value, _HEAD)
    if count is None or count % 2 or count // 2 > _DEEPEST:  # odd is negative
        return None
    for _ in range(count // 2):
        index, at = _varint(value, at)
        if index is None:
            return None
    return at


def _is_protobuf(value: bytes, at: int) -> bool:
    """Whether what follows is fields numbered 1 and up, one after another to the very end."""
    if value[at : at + 1] != bytes((_FIELD_1,)):
        return False
    while at < len(value):
        tag, at = _varint(value, at)
        if tag is None or not tag >> 3:
            return False
        match tag & 7:
            case 0:
                skipped, at = _varint(value, at)
                if skipped is None:
                    return False
            case 1:
                at += 8
            case 2:
                size, at = _varint(value, at)
                if size is None:
                    return False
                at += size
            case 5:
                at += 4
            case _:
                return False
    return at == len(value)


def _varint(value: bytes, at: int) -> tuple[int | None, int]:
    """An unsigned varint of at most ten bytes, and where it ends; None if it is none."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(value):
            return None, at
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    return None, at
