"""OpenTelemetry's own trace schema, with one change: attributes stay encoded.

A message and a `bytes` field look the same on the wire, so the schema that parses attributes
as bytes is made of the published one by changing their type, and follows it.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_PACKAGE = "tocsin.otlp"
_ATTRIBUTE = f".{common_pb2.KeyValue.DESCRIPTOR.full_name}"


def _with_raw_attributes(message: DescriptorProto, package: str) -> None:
    for field in message.field:
        if field.type_name == _ATTRIBUTE:
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
        elif field.type_name.startswith(f".{package}."):
            field.type_name = f".{_PACKAGE}{field.type_name.removeprefix(f'.{package}')}"
    for nested in message.nested_type:
        _with_raw_attributes(nested, package)


def _traces_class() -> Any:
    traces = FileDescriptorProto()
    trace_pb2.DESCRIPTOR.CopyToProto(traces)
    for message in traces.message_type:
        _with_raw_attributes(message, traces.package)
    traces.name, traces.package = "tocsin/otlp.proto", _PACKAGE
    pool = DescriptorPool()
    for imported in (common_pb2, resource_pb2):
        pool.AddSerializedFile(imported.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(traces.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.TracesData"))


#: Bytes to `TracesData` whose spans' and events' attributes are encoded `KeyValue`s.
#: Raises `google.protobuf.message.DecodeError`.
parse_traces: Callable[[bytes], Any] = _traces_class().FromString
