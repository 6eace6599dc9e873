"""What nobody may find in anything that Tocsin writes, and how it is looked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tocsin.flow.decode.semantics import EVENT_TABLE, RESOURCE_TABLE, SPAN_TABLE
from tocsin.flow.decode.span_v1 import SpanV1
from unit.decode_samples import END_NS, Otlp, encode, native, otlp
from unit.wire_samples import MESSAGES, openai_agents

#: Personal data and secrets that are told by their form, wherever they stand.
MARKERS: Mapping[str, str] = {
    "email": "jane.doe+x@mail.example.com",
    "email in a route": "/users/jane.doe@mail.example.com/orders",
    "full-width email": "ｊａｎｅ.ｄｏｅ＠ｅｘａｍｐｌｅ.ｃｏｍ",
    "email with invisible characters": "jane.\u200bdoe@exam\u00adple.com",
    "card": "4111111111111111",
    "spaced card": "5555 5555 5555 4444",
    "card in a name": "tool-378282246310005",
    "card in Arabic digits": "٤١١١١١١١١١١١١١١١",
    "telephone": "+49 170 5550199",
    "social security": "078-05-1120",
    "openai key": "sk-proj-Q7wErTyUiOpAsDfGhJkLzXcVbNm",
    "github token": "ghp_Q7wErTyUiOpAsDfGhJkLzXcVbNm012345",
    "aws key": "AKIAIOSFODNN7EXAMPLE",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.Q7wErTyUiOpAsDf",
    "password": "postgres://jane:hunter2@db/shop",
    "query": "/search?q=rash+on+arm",
    "blob": "Q7wErTyUiOpAsDfGhJkLzXcVbNm" * 3,
    "prompt": "Please cancel the last order of Jane Doemarker at once",
    "question": "Has Jane Doemarker paid?",
    "message": "could not parse 'Jane Doemarker' as an order",
    "prompt in Han": "请立即取消多伊女士的最后一个订单并退款给她谢谢您",
    "prompt in kana": "ドーさんのさいごのちゅうもんをすぐにとりけしてください",
    "prompt in Cyrillic": "Пожалуйста отмените последний заказ госпожи Доу немедленно",
}
#: What no form tells: it may only stand where content goes, which is never read.
NAMES: Mapping[str, str] = {"name": "Doemarker", "two": "Jane Doemarker", "hän": "Dœmärker"}

ALL: Mapping[str, str] = {**MARKERS, **NAMES}


def needles(markers: Iterable[str]) -> set[bytes]:
    """The markers and their telling parts, in every way that bytes might carry them."""
    found: set[bytes] = set()
    for marker in markers:
        parts = {marker, max(marker.split(), key=len)}
        for part in parts:
            raw = part.encode()
            escaped = json.dumps(part)[1:-1].encode()
            found |= {raw, escaped, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")[:-1]}
            found.add(repr(part)[1:-1].encode())
    return {needle.lower() for needle in found if len(needle) > 6}


def found_in(data: bytes, markers: Iterable[str]) -> set[bytes]:
    """Which needles are in the data, whatever their case."""
    lower = data.lower()
    return {needle for needle in needles(markers) if needle in lower}


def content(marker: str, **fields: Any) -> Otlp:
    """A span with a marker in every place that holds content, or that nobody has heard of."""
    kept = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    return Otlp(
        kept | {
            "gen_ai.tool.call.arguments": json.dumps({"q": marker, marker: [marker]}),
            "gen_ai.tool.call.result": marker, "input.value": marker, "output.value": [marker],
            "gen_ai.input.messages": json.dumps([{"role": "user", "content": marker}]),
            "gen_ai.output.messages": marker, "gen_ai.system_instructions": marker,
            "gen_ai.prompt.0.content": marker, "llm.input_messages.0.message.content": marker,
            "ai.prompt": marker, "exception.message": marker, "exception.stacktrace": marker,
            "user.email": marker, "user.id": marker, "session.id": marker,
            "feature_flag.result.value": marker, "http.request.header.authorization": marker,
            marker: marker, "nested": {marker: {"a": [marker]}},
        },
        name=marker, status=2,
        events=[
            ("exception", END_NS - 1, {
                "exception.type": "ValueError", "exception.message": marker,
                "exception.stacktrace": f'File "x.py"\n  raise ValueError({marker!r})',
            }),
            (marker, END_NS - 1, {marker: marker, "gen_ai.prompt": marker}),
        ],
        **fields,
    )  # fmt: skip


_KINDS = {
    "tool": {"gen_ai.operation.name": "execute_tool"},
    "llm": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
    "agent": {"gen_ai.operation.name": "invoke_agent"},
    "handoff": {"gen_ai.operation.name": "execute_tool", "gen_ai.handoff.to_agent": "b"},
    "step": {"gen_ai.operation.name": "plan"},
}


def named(marker: str, **fields: Any) -> Iterator[Otlp]:
    """Spans with a marker in the place of each name that is read: one by one, then all."""
    for attribute in SPAN_TABLE:
        for kind in (_KINDS["tool"], _KINDS["llm"]):
            yield Otlp(kind | {attribute: marker}, status=2, **fields)
    for kind in _KINDS.values():
        yield Otlp(dict.fromkeys(SPAN_TABLE, marker) | kind, status=2, **fields)
        for attribute in EVENT_TABLE:
            event = "exception" if attribute.startswith("exception") else "gen_ai.evaluation.result"
            events = [(event, END_NS - 1, {attribute: marker})]
            yield Otlp(kind, status=2, events=events, **fields)
    for name in ("invoke_agent {}", "execute_tool {}", "handoff from {} to {}", "handoff to {}"):
        yield Otlp(_KINDS["tool"], name=name.format(marker, marker), **fields)
        yield Otlp(_KINDS["agent"], name=name.format(marker, marker), **fields)
        yield Otlp(_KINDS["handoff"], name=name.format(marker, marker), **fields)


def resources(marker: str) -> list[dict[str, Any]]:
    """Resources with a marker in the place of each name, and in places nobody has heard of."""
    odd = {"service.name": "shop", "host.name": marker, marker: marker, "process.owner": marker}
    return [odd, *({"service.name": "shop", name: marker} for name in RESOURCE_TABLE)]


def agents(marker: str) -> Iterator[bytes]:
    """What the OpenAI Agents SDK exports, with a marker in every text."""
    data = {
        "name": marker, "input": marker, "output": [marker], "model": marker,
        "model_config": {marker: marker}, "from_agent": marker, "to_agent": marker,
        "handoffs": [marker], "tools": [marker], "mcp_data": marker, "triggered": True,
        "usage": {"input_tokens": 5, marker: marker}, "response_id": marker,
    }  # fmt: skip
    custom = {"agent_name": marker, "workflow_name": marker, marker: marker, "turn": 1}
    error = {"message": marker, "data": {marker: marker}}
    trace = {"object": "trace", "id": "trace_1", "workflow_name": marker, "group_id": marker,
             "metadata": {marker: marker}}  # fmt: skip
    for kind in ("agent", "function", "generation", "response", "handoff", "guardrail", "mcp_tools",
                 "transcription", "speech", "custom", "task", "turn"):  # fmt: skip
        nested = {"data": custom | {"sdk_span_type": kind}} if kind in {"task", "turn"} else {}
        shown = "custom" if nested else kind
        span = openai_agents(data | {"type": shown} | nested, error=error, trace_id="trace_1")
        yield encode({"data": [trace, span]})


def natives(marker: str, end_ns: int = END_NS) -> Iterator[dict[str, Any]]:
    """Native spans with a marker in each text field, in the content, and in an unknown field."""
    base = native(kind="tool", tool="search", end_time=end_ns, start_time=end_ns - 10**9)
    texts = [
        name for name, field in SpanV1.model_fields.items()
        if "str" in str(field.annotation) and name not in {"status", "kind"}
        and not name.endswith("_time")
    ]  # fmt: skip
    for name in texts:
        for kind in ("tool", "llm", "agent", "handoff", "other"):
            error = {"status": "error"} if name == "error_class" else {}
            yield base | {"kind": kind, name: marker} | error
    yield base | {
        "tool_arguments": {"q": marker, marker: marker}, "tool_result": marker, marker: marker,
        "prompt": marker, "messages": [{"content": marker}],
    }  # fmt: skip
    yield base | {"kind": marker}


def messages(marker: str, spans: Sequence[Otlp]) -> Iterator[tuple[str, bytes]]:
    """The spans in every format that carries attributes: format, message."""
    shown = json.dumps(marker)[1:-1].encode()
    for name, write in MESSAGES.items():
        many = [write(span) for span in spans]
        for message in many:
            yield name, message if "protobuf" in name else message.replace(b"MARK", shown)
    for transport in ("json", "protobuf"):
        for resource in resources(marker)[: 1 if marker in NAMES.values() else None]:
            yield f"otlp_{transport}", otlp(transport, *spans[:1], resource=resource)
        yield f"otlp_{transport}", otlp(transport, *spans)


def refused(marker: str, now_ns: int) -> dict[str, list[bytes | None]]:
    """Messages full of a marker, by the reason they are refused for (max_spans is 100)."""
    span = native(end_time=now_ns, tool_arguments=marker, prompt=marker, agent=marker)
    text = encode(span | {"secret": marker})
    raw = json.dumps(span, ensure_ascii=False).encode()
    tool = Otlp({"gen_ai.operation.name": "execute_tool", "tool_arguments": "[" * 40 + marker})
    deep = "[" * 40 + json.dumps(marker) + "]" * 40
    day = 86_400 * 10**9
    repeated = marker.encode() * (400_000 // len(marker.encode()))
    return {
        "empty": [None],
        "too_large": [raw[:-1] + b', "x": "' + repeated + b'"}'],
        "bad_utf8": [raw.replace(b"shop", b"\xff\xfe")],
        "bad_json": [raw[:-1], text[: len(text) // 2], b"{" + marker.encode() + b"}"],
        "bad_protobuf": [otlp("protobuf", content(marker))[:-1], b"\n" + b"\x7f" + marker.encode()],
        "too_deep": [
            encode(span)[:-1] + b', "tool_result": ' + deep.encode() + b"}",
            otlp("json", Otlp(dict(tool.attributes) | {"tool_arguments": deep})),
        ],
        "unknown_format": [
            marker.encode(), encode({marker: marker}),
            encode({"specversion": "1.0", "data": marker}),
            b"\x00\x00\x00\x00\x01" + marker.encode(), encode([{marker: 1}])[1:-1],
        ],
        "missing_field": [
            encode({k: v for k, v in span.items() if k != "service"}),
            otlp("protobuf", content(marker, span_id="")),
        ],
        "wrong_type": [
            encode(span | {"input_tokens": marker}), encode(span | {"cost_usd": {marker: 1}}),
        ],
        "bad_value": [
            encode(span | {"output_tokens": -1}), encode(span | {"status": marker}),
            encode(span | {"end_time": marker}), encode(span | {"trace_id": marker * 60}),
            otlp("json", Otlp({"gen_ai.usage.input_tokens": -5, "gen_ai.prompt": marker})),
        ],
        "too_many_spans": [encode([span] * 101)],
        "future": [encode(span | {"end_time": now_ns + day})],
        "too_old": [encode(span | {"end_time": now_ns - day, "start_time": None})],
    }  # fmt: skip


def everything(now_ns: int) -> Iterator[bytes | None]:
    """Records that are read and records that are refused, full of every marker."""
    at = {"start_ns": now_ns - 10**9, "end_ns": now_ns}
    for i, marker in enumerate(MARKERS.values()):
        trace = f"{i:032x}".replace("0", "a")
        for j in range(6):  # the same call again and again: an alert that names the tool
            span = native(trace_id=marker if j % 2 else trace, span_id=f"{i}-{j}", kind="tool",
                          end_time=now_ns + j, tool=marker, agent=marker, service="shop",
                          tool_arguments={"q": marker}, tool_result=marker)  # fmt: skip
            yield encode(span)
        for _, value in messages(marker, list(named(marker, **at))[-12:]):
            yield value
        for span in natives(marker, now_ns):
            yield encode(span)
    for marker in ALL.values():
        for _, value in messages(marker, [content(marker, **at)]):
            yield value
        filled = {"tool_arguments": {marker: marker}, "tool_result": marker, marker: marker}
        yield encode(native(kind="tool", tool="search", end_time=now_ns) | filled)
        for values in refused(marker, now_ns).values():
            yield from values
