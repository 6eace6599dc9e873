"""Jaeger's `api_v2.Span`, as far as it is read (jaeger-idl, `proto/api_v2/model.proto`)."""

from __future__ import annotations

from typing import Any

from tocsin.flow.decode.proto import message_class

#: Bytes to a Span. Raises `google.protobuf.message.DecodeError`.
parse_span = message_class(
    "jaeger",
    "Span",
    {
        "Span": (
            "trace_id:1:bytes", "span_id:2:bytes", "operation_name:3:string",
            "references:4:Reference*", "start_time:6:Time", "duration:7:Time", "tags:8:Tag*",
            "logs:9:Log*", "process:10:Process",
        ),
        "Reference": ("trace_id:1:bytes", "span_id:2:bytes", "ref_type:3:int32"),
        "Time": ("seconds:1:int64", "nanos:2:int32"),  # Timestamp and Duration alike
        "Tag": (
            "key:1:string", "v_type:2:int32", "v_str:3:string", "v_bool:4:bool",
            "v_int64:5:int64", "v_float64:6:double",
        ),
        "Log": ("timestamp:1:Time", "fields:2:Tag*"),
        "Process": ("service_name:1:string", "tags:2:Tag*"),
    },
)  # fmt: skip
_FIELDS = ("v_str", "v_bool", "v_int64", "v_float64")  # by `v_type`; binary is never read


def tag_value(tag: Any) -> Any:
    """The value of a tag, by its type; None if it is binary."""
    return getattr(tag, _FIELDS[tag.v_type]) if 0 <= tag.v_type < len(_FIELDS) else None
