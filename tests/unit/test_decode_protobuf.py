"""The generated readers are of the schemas beside them, and run on every protobuf allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from tocsin.flow.decode import protobuf
from tocsin.flow.decode.protobuf import jaeger_pb2, zipkin_pb2

HERE = Path(next(iter(protobuf.__path__)))
_FIELD = re.compile(r"^  (repeated )?([\w.]+) (\w+) = (\d+);", re.MULTILINE)


def written(name: str) -> dict[str, list[tuple[str, ...]]]:
    """Message -> (repeated, type, field, number) as the schema's text has them."""
    text = (HERE / f"{name}.proto").read_text()
    parts = re.split(r"^message (\w+) \{", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], map(_FIELD.findall, parts[1::2]), strict=True))


def generated(file: FileDescriptor) -> dict[str, list[tuple[str, ...]]]:
    read = FileDescriptorProto()
    file.CopyToProto(read)
    return {
        message.name: [
            (
                "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else "",
                field.type_name.removeprefix(f".{file.package}").removeprefix(".")
                or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower(),
                field.name,
                str(field.number),
            )
            for field in message.field
        ]
        for message in read.message_type
    }


@pytest.mark.parametrize(
    ("name", "file"), [("jaeger", jaeger_pb2.DESCRIPTOR), ("zipkin", zipkin_pb2.DESCRIPTOR)]
)
def test_what_is_generated_is_current(name: str, file: FileDescriptor) -> None:
    assert written(name) == generated(file), "run `make proto`"


@pytest.mark.parametrize("name", ["jaeger", "zipkin"])
def test_no_version_of_protobuf_is_asked_for(name: str) -> None:
    # protoc 27 on writes a check that warns on, or refuses, runtimes of other versions.
    assert "runtime_version" not in (HERE / f"{name}_pb2.py").read_text()
