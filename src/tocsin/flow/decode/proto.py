"""Protobuf messages out of a few lines of their schema, for formats that ship no package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_SCALARS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}


def message_class(
    package: str, root: str, schema: Mapping[str, Sequence[str]]
) -> Callable[[bytes], Any]:
    """The parser of message `root`; it raises `google.protobuf.message.DecodeError`.

    Each message has its fields as `name:number:type`, where the type is a scalar (enums are
    int32) or another message; a `*` after it means repeated. What is left out is passed over.
    """
    file = FileDescriptorProto(
        name=f"tocsin/{package}.proto", package=f"tocsin.{package}", syntax="proto3"
    )
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for text in fields:
            field_name, number, kind = text.split(":")
            plain = kind.removesuffix("*")
            field = message.field.add(
                name=field_name,
                number=int(number),
                label=FieldDescriptorProto.LABEL_REPEATED
                if kind.endswith("*")
                else FieldDescriptorProto.LABEL_OPTIONAL,
            )
            if plain in _SCALARS:
                field.type = _SCALARS[plain]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".tocsin.{package}.{plain}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    made: Any = GetMessageClass(pool.FindMessageTypeByName(f"tocsin.{package}.{root}"))
    parser: Callable[[bytes], Any] = made.FromString
    return parser
