"""A trace as Langfuse exports it: `{"trace": ..., "observations": [...]}`.

Observations that came by OpenTelemetry keep their attributes under `metadata`, which say it
best; what Langfuse made of them serves where they say nothing.
"""

import msgspec
from msgspec import Raw, Struct

from tocsin.flow.decode import plain
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.semantics import (
    FIRST_TOKEN,
    LANGFUSE_TABLE,
    RESOURCE_TABLE,
    SPAN_TABLE,
    Offer,
)
from tocsin.types import Kind


class _Export(Struct, gc=False):
    observations: list[Raw] | None = None


class _Observation(Struct, rename="camel", gc=False):
    id: str | None = None
    trace_id: str | None = None
    parent_observation_id: str | None = None
    name: str | None = None
    level: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    completion_start_time: str | None = None
    metadata: Raw = plain.ABSENT
    usage_details: Raw = plain.ABSENT
    cost_details: Raw = plain.ABSENT


_decode_export = msgspec.json.Decoder(_Export).decode
_decode_observation = msgspec.json.Decoder(_Observation).decode
_FIRST_TOKEN = min(FIRST_TOKEN)
_TOOL_PREFIX = "execute_tool "


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Raw]]:
    """The observations, undecoded. Raises RefusedError."""
    try:
        observations = _decode_export(data).observations or []
    except MALFORMED as error:
        raise plain.refused(error) from None
    plain.check_count(len(observations), limits)
    return [({}, observation) for observation in observations]


def wire_span(raw: Raw, limits: Limits) -> WireSpan:
    """Raises RefusedError if the observation cannot be used."""
    try:
        read = _decode_observation(raw)
    except MALFORMED as error:
        raise plain.refused(error) from None
    start = plain.iso_ns(read.start_time, "start_time")
    metadata = _metadata(read.metadata)
    inner = _inner(metadata, "attributes")
    limits.check_attributes(max(len(metadata), len(inner)))
    made = plain.offered(metadata, SPAN_TABLE)  # its callback handler for LangChain
    made += plain.offered(inner, SPAN_TABLE)
    made += plain.offered(_inner(metadata, "resourceAttributes"), RESOURCE_TABLE)
    first = read.completion_start_time
    return WireSpan(
        # Langfuse's own SDKs make UUIDs, so ids are taken as they are.
        trace_id=read.trace_id or "",
        span_id=read.id or "",
        parent_id=read.parent_observation_id or None,
        name=read.name or "",
        start_ns=start,
        end_ns=plain.iso_ns(read.end_time, "end_time"),
        failed=read.level == "ERROR",
        offered=made + _own(raw, read, metadata, named=any(field == "kind" for field, *_ in made)),
        events=[Event(_FIRST_TOKEN, plain.iso_ns(first, "start_time"), ())] if first else (),
    )


def _own(raw: Raw, read: _Observation, metadata: plain.Attributes, *, named: bool) -> list[Offer]:
    """What Langfuse says; `named` if the attributes say what kind of span it is."""
    fields = dict(plain.attributes(raw))
    for name, found in (
        ("usageDetails", plain.attributes(read.usage_details)),
        ("costDetails", plain.attributes(read.cost_details)),
        ("metadata", metadata),
    ):
        fields |= {f"{name}.{key}": value for key, value in found.items()}
    made = plain.offered(fields, LANGFUSE_TABLE)
    kind = next((value for field, _, value in made if field == "kind"), None)
    if kind == Kind.TOOL and read.name and not read.name.startswith(_TOOL_PREFIX):
        made.append(("tool", 0, read.name))
    if kind == Kind.AGENT and read.name and not named:
        made.append(("entity", 0, read.name))
    return [(field, rank + plain.WORST, value) for field, rank, value in made]


def _metadata(raw: Raw) -> plain.Attributes:
    """Metadata is an object, or an object as text; any other text says nothing."""
    if bytes(raw)[:1] != b'"':
        return plain.attributes(raw)
    try:
        return plain.attributes(Raw(plain.value(raw).encode()))
    except RefusedError:
        return {}


def _inner(metadata: plain.Attributes, key: str) -> plain.Attributes:
    return plain.attributes(metadata.get(key, plain.ABSENT))
