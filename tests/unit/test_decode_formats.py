"""What holds for every foreign format: it reads as OTLP does, keeps no content, loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.decode import Limits
from tocsin.flow.decode.protobuf.jaeger_pb2 import Span
from tocsin.types import Reason
from unit.decode_samples import END_NS, PARENT, START_NS, Otlp, decode_values, encode, native, one
from unit.test_decode_otlp import CONTENT, EVENTS
from unit.wire_samples import MANY, MESSAGES, openai_agents, reference, sentry

CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 0,
    "gen_ai.usage.cache_read.input_tokens": 20, "gen_ai.usage.cost": 0.0125,
    "gen_ai.response.time_to_first_chunk": 0.25, "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.agent.name": "triage", "gen_ai.prompt.name": "p", "gen_ai.prompt.version": "3",
}  # fmt: skip
TOOL = {
    "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
    "gen_ai.tool.call.arguments": '{"q": "shoes", "page": 2}',
    "gen_ai.tool.call.result": '[1, "two"]',
}  # fmt: skip
FIRST_TOKEN: tuple[str, int, dict[str, str]] = ("ai.stream.firstChunk", START_NS + 300_000_000, {})
SPANS = {
    "a call": Otlp(CALL, parent_id=PARENT),
    "a tool": Otlp(TOOL, parent_id=PARENT),
    "a failed tool": Otlp(TOOL | {"error.type": "timeout"}, status=2),
    "a failure without a class": Otlp(TOOL, status=2),
    "an agent": Otlp({"gen_ai.operation.name": "invoke_agent"}, name="invoke_agent joker"),
    "openinference": Otlp(
        {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": 3}
    ),
    "vercel": Otlp(
        {
            "ai.operationId": "ai.toolCall",
            "ai.toolCall.name": "t",
            "ai.toolCall.args": "{}",
            "ai.toolCall.result": "1",
        },
        name="ai.toolCall",
    ),
    "nothing we know": Otlp({"http.request.method": "GET"}, name="GET /"),
}
EVENTFUL = {
    "an exception": Otlp(TOOL, status=2, events=[("exception", END_NS, {"exception.type": "E"})]),
    "a first token": Otlp(
        {**CALL, "gen_ai.response.time_to_first_chunk": ""}, events=[FIRST_TOKEN]
    ),
}
#: Sentry's spans have no events.
EVENT_FORMATS = sorted(MESSAGES.keys() - {"sentry", "langfuse"})


@pytest.mark.parametrize("case", SPANS)
@pytest.mark.parametrize("wire", MESSAGES)
def test_a_span_reads_as_it_does_in_otlp(wire: str, case: str) -> None:
    assert one(MESSAGES[wire](SPANS[case])) == one(reference([SPANS[case]]))


@pytest.mark.parametrize("case", EVENTFUL)
@pytest.mark.parametrize("wire", EVENT_FORMATS)
def test_events_read_as_they_do_in_otlp(wire: str, case: str) -> None:
    row = one(MESSAGES[wire](EVENTFUL[case]))
    assert row == one(reference([EVENTFUL[case]]))
    assert row["error_class"] == "E" or row["ttft_ns"] == 300_000_000


@pytest.mark.parametrize("wire", MANY)
def test_one_bad_span_of_a_message_spoils_no_other(wire: str) -> None:
    opaque = wire == "langfuse"  # any text may be an id there
    bad = [
        Otlp(trace_id="" if opaque else "0" * 32),
        Otlp({"gen_ai.usage.input_tokens": -5}),
        Otlp(start_ns=5_000),
    ]
    decoded = decode_values(MESSAGES[wire](Otlp(CALL), *bad, Otlp(TOOL)))
    assert decoded.spans["kind"].to_list() == ["llm", "tool"]
    assert [(r.item, r.reason, r.detail) for r in decoded.rejects] == [
        (1, Reason.MISSING_FIELD if opaque else Reason.BAD_VALUE, "trace_id"),
        (2, Reason.BAD_VALUE, "gen_ai.usage.input_tokens"),
        (3, Reason.BAD_VALUE, "start_time"),
    ]


@pytest.mark.parametrize("wire", MANY)
def test_a_message_of_too_many_spans_is_refused_whole(wire: str) -> None:
    decoded = decode_values(MESSAGES[wire](*[Otlp(CALL)] * 4), limits=Limits(max_spans=3))
    assert decoded.spans.is_empty()
    assert [reject.reason for reject in decoded.rejects] == [Reason.TOO_MANY_SPANS]


@pytest.mark.parametrize("kind", ["chat", "execute_tool", "invoke_agent", "handoff", "unknown"])
@pytest.mark.parametrize("wire", MESSAGES)
def test_no_content_leaves_decode(wire: str, kind: str) -> None:
    marks = {name: f"MARK{i}" for i, name in enumerate(CONTENT)}
    spans = [
        Otlp(
            {"gen_ai.operation.name": kind, "gen_ai.request.model": "m", name: value},
            name=f"MARK in {kind}",
            status=2,
            events=[(event, END_NS, {name: value, "exception.message": value}) for event in EVENTS],
            start_ns=start,
        )
        for name, mark in marks.items()
        for value in (mark, {"nested": [mark]}, f'{{"json": "{mark}"}}')
        for start in (START_NS, 5_000)  # read, and refused
    ]
    decoded = decode_values(*(MESSAGES[wire](span) for span in spans))
    assert decoded.spans.height == len(decoded.rejects) == len(spans) // 2
    assert "MARK" not in decoded.spans.write_csv()
    assert "MARK" not in repr(decoded.rejects)


def _mutants(value: bytes) -> st.SearchStrategy[bytes]:
    """The message with a piece cut out and other bytes in its place."""

    def cut(at: int, length: int, instead: bytes) -> bytes:
        return value[:at] + instead + value[at + length :]

    return st.builds(cut, st.integers(0, len(value)), st.integers(0, 9), st.binary(max_size=4))


AGENTS = openai_agents({"type": "function", "name": "t", "input": '{"a": 1}', "output": "o"})
BATCH = encode(
    {"data": [{"object": "trace", "id": AGENTS["trace_id"], "workflow_name": "w"}, AGENTS]}
)
EVENTFUL_CALL = Otlp(
    {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
    status=2,
    events=[("exception", END_NS, {"exception.type": "E"})],
    parent_id=PARENT,
)
SEEDS = [
    *(message(EVENTFUL_CALL) for message in MESSAGES.values()),
    encode([sentry(EVENTFUL_CALL), sentry(EVENTFUL_CALL)]),
    encode(AGENTS),
    BATCH,
]
VALUES = st.one_of(st.sampled_from(SEEDS), *map(_mutants, SEEDS), st.just(encode(native())))


@given(st.lists(VALUES, max_size=6))
def test_what_a_record_gives_depends_on_nothing_but_itself(values: list[bytes]) -> None:
    together = decode_values(*values)
    assert together.spans["row"].is_sorted()
    for row, value in enumerate(values):
        alone = decode_values(value)
        spans = together.spans.filter(together.spans["row"] == row).drop("row")
        rejects = [(r.reason, r.detail, r.item) for r in together.rejects if r.row == row]
        assert spans.equals(alone.spans.drop("row"))
        assert rejects == [(r.reason, r.detail, r.item) for r in alone.rejects]
        assert spans.height + len(rejects) > 0  # conservation: nothing vanishes


def test_an_array_is_native_unless_its_items_are_not() -> None:
    spans = [native(span_id="a", context={"traceId": 1}), native(span_id="b", data=[])]
    assert decode_values(encode(spans)).spans["span_id"].to_list() == ["a", "b"]
    assert decode_values(encode([sentry(Otlp(CALL))] * 2)).spans["kind"].to_list() == ["llm"] * 2


@pytest.mark.parametrize("value", [[1], {"a": 1}, "false", None, 7])
@pytest.mark.parametrize("wire", ["jaeger_export", "zipkin_json", "sentry", "sdk_dump"])
def test_a_status_may_be_anything(wire: str, value: object) -> None:
    decoded = decode_values(MESSAGES[wire](Otlp({"error": value, "otel.status_code": value})))
    assert decoded.spans.height + len(decoded.rejects) == 1


@pytest.mark.parametrize("seconds", [-(2**63), -1, 2**63 - 1])
@pytest.mark.parametrize("field", ["start_time", "duration"])
def test_times_beyond_all_bounds_are_refused(field: str, seconds: int) -> None:
    span = Span.FromString(MESSAGES["jaeger_protobuf"](Otlp(CALL)))
    getattr(span, field).seconds = seconds
    (reject,) = decode_values(span.SerializeToString()).rejects
    assert reject.reason is Reason.BAD_VALUE
