"""What holds for every message, readable or not."""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from functools import partial

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.decode import Limits, decode
from tocsin.types import SPAN_SCHEMA, Decoded, Reason
from unit.decode_samples import (
    END_NS,
    KEY,
    LIMITS,
    PARENT,
    START_NS,
    TRANSPORTS,
    Message,
    Otlp,
    decode_values,
    encode,
    native,
    otlp,
)
from unit.wire_samples import MANY, MESSAGES

SMALL = Limits(max_bytes=2_000, max_depth=4, max_spans=3)
GOOD = encode(native())
CALL = Otlp({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
DEEP = "[" * 100_000 + "]" * 100_000

REFUSED: dict[str, tuple[bytes | None, Reason, str]] = {
    "null": (None, Reason.EMPTY, ""),
    "nothing": (b"", Reason.EMPTY, ""),
    "blanks": (b" \n\t ", Reason.EMPTY, ""),
    "a mark of byte order and nothing else": (b"\xef\xbb\xbf", Reason.EMPTY, ""),
    "no spans": (b"[]", Reason.EMPTY, ""),
    "no otlp spans": (otlp("json"), Reason.EMPTY, ""),
    "ten megabytes": (b'{"prompt":"' + b"x" * 10_000_000 + b'"}', Reason.TOO_LARGE, ""),
    "no utf-8": (GOOD.replace(b"shop", b"\xff\xfe"), Reason.BAD_UTF8, ""),
    "no utf-8 in an otlp resource": (
        otlp("json", CALL).replace(b'"shop"', b'"\xff"'),
        Reason.BAD_UTF8,
        "",
    ),
    "truncated": (GOOD[:-1], Reason.BAD_JSON, ""),
    "truncated over several lines": (b'{\n"trace_id": "a",\n"span_id"', Reason.BAD_JSON, ""),
    "truncated array": (b"[" + GOOD, Reason.BAD_JSON, ""),
    "two objects on a line": (GOOD + GOOD, Reason.BAD_JSON, ""),
    "nan": (GOOD.replace(b'"llm"', b"NaN"), Reason.BAD_JSON, ""),
    "half a surrogate pair": (GOOD.replace(b"shop", rb"\ud800"), Reason.BAD_JSON, ""),
    "truncated protobuf": (otlp("protobuf", CALL)[:-1], Reason.BAD_PROTOBUF, ""),
    "deep": (b'{"x":' + DEEP.encode() + b"}", Reason.TOO_DEEP, ""),
    "deep array": (DEEP.encode(), Reason.TOO_DEEP, ""),
    "deep in a span": (GOOD[:-1] + b',"x":' + DEEP.encode() + b"}", Reason.TOO_DEEP, ""),
    "deep arguments": (
        GOOD[:-1] + b',"tool_arguments":' + b"[" * 40 + b"]" * 40 + b"}",
        Reason.TOO_DEEP,
        "tool_arguments",
    ),
    "a value behind a schema's id": (
        b"\x00\x00\x00\x00\x01abc",
        Reason.UNKNOWN_FORMAT,
        "Confluent framing, schema id 1, not JSON/protobuf",
    ),
    "zeros": (b"\x00\x00", Reason.UNKNOWN_FORMAT, ""),
    "gzip in a record": (gzip.compress(GOOD), Reason.UNKNOWN_FORMAT, "gzip"),
    "zstd in a record": (b"\x28\xb5\x2f\xfd\x24", Reason.UNKNOWN_FORMAT, "zstd"),
    "text": (b"hello", Reason.UNKNOWN_FORMAT, ""),
    "a number": (b"17", Reason.UNKNOWN_FORMAT, ""),
    "json of something else": (b'{"a":1}', Reason.UNKNOWN_FORMAT, ""),
    "protobuf of something else": (b"\n\x05", Reason.BAD_PROTOBUF, ""),
    "cloudevents": (encode({"specversion": "1.0"}), Reason.UNKNOWN_FORMAT, "cloudevents"),
    "no end": (
        encode({k: v for k, v in native().items() if k != "end_time"}),
        Reason.MISSING_FIELD,
        "end_time",
    ),
    "null id": (encode(native(trace_id=None)), Reason.MISSING_FIELD, "trace_id"),
    "empty id": (encode(native(span_id="")), Reason.MISSING_FIELD, "span_id"),
    "invisible id": (encode(native(span_id="\u0001")), Reason.MISSING_FIELD, "span_id"),
    "long id": (encode(native(trace_id="a" * 201)), Reason.BAD_VALUE, "trace_id"),
    "number for a name": (encode(native(service=5)), Reason.WRONG_TYPE, "service"),
    "words for a number": (encode(native(input_tokens="many")), Reason.WRONG_TYPE, "input_tokens"),
    "list for a number": (encode(native(cost_usd=[1])), Reason.WRONG_TYPE, "cost_usd"),
    "negative tokens": (encode(native(input_tokens=-1)), Reason.BAD_VALUE, "input_tokens"),
    "absurd tokens": (encode(native(output_tokens=2**40 + 1)), Reason.BAD_VALUE, "output_tokens"),
    "infinite cost": (GOOD[:-1] + b',"cost_usd":1e999}', Reason.BAD_VALUE, "cost_usd"),
    "nan as text": (encode(native(score="nan")), Reason.BAD_VALUE, "score"),
    "unknown status": (encode(native(status="secret")), Reason.BAD_VALUE, "status"),
    "end in seconds": (encode(native(end_time=END_NS // 10**9)), Reason.BAD_VALUE, "end_time"),
    "end beyond 64 bits": (encode(native(end_time=10**30)), Reason.BAD_VALUE, "end_time"),
    "end in words": (encode(native(end_time="yesterday")), Reason.BAD_VALUE, "end_time"),
    "end after 2200": (
        encode(native(end_time="2300-01-01T00:00:00Z")),
        Reason.BAD_VALUE,
        "end_time",
    ),
    "end before start": (encode(native(start_time=END_NS + 1)), Reason.BAD_VALUE, "start_time"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_has_its_reason(case: str) -> None:
    value, reason, detail = REFUSED[case]
    decoded = decode_values(value)
    assert decoded.spans.is_empty()
    (reject,) = decoded.rejects
    assert (reject.row, reject.reason, reject.detail, reject.item) == (0, reason, detail, None)


#: FUTURE and TOO_OLD need the clock: they are given after decode, by `event_time`.
def test_every_reason_that_is_decodes_own_is_seen() -> None:
    later = {Reason.FUTURE, Reason.TOO_OLD}
    assert {reason for _, reason, _ in REFUSED.values()} | {Reason.TOO_MANY_SPANS} | later == set(
        Reason
    )


@pytest.mark.parametrize(
    "value",
    [
        b"[" + b",".join([GOOD] * 4) + b"]",
        b"\n".join([GOOD] * 4),
        otlp("json", *[CALL] * 4),
        otlp("protobuf", *[CALL] * 4),
    ],
)
def test_a_message_of_too_many_spans_is_refused_whole(value: bytes) -> None:
    decoded = decode_values(value, limits=Limits(max_spans=3))
    assert decoded.spans.is_empty()
    assert [reject.reason for reject in decoded.rejects] == [Reason.TOO_MANY_SPANS]


@pytest.mark.parametrize(
    "value",
    [
        b"\xef\xbb\xbf" + GOOD,
        b" \r\n" + GOOD + b"\n\n",
        b"\n" + GOOD,
        GOOD.replace(b'"service": "shop"', b'"service": "a", "service": "shop"'),
        b"[" + GOOD + b"]",
        GOOD.replace(b", ", b",\n  "),
        GOOD[:-1] + b', "prompt": "cut in half \xc3"}',
    ],
)
def test_a_span_is_a_span_however_it_is_wrapped(value: bytes) -> None:
    assert decode_values(value).spans.equals(decode_values(GOOD).spans)
    assert decode_values(value).rejects == ()


@pytest.mark.parametrize("wrap", ["array", "lines"])
def test_one_bad_span_of_a_message_spoils_no_other(wrap: str) -> None:
    spans = [native(span_id="a"), native(input_tokens=-1), native(span_id="b"), native(kind="")]
    texts = [encode(span) for span in spans]
    value = b"[" + b",".join(texts) + b"]" if wrap == "array" else b"\n".join(texts)
    decoded = decode_values(value)
    assert decoded.spans["span_id"].to_list() == ["a", "b"]
    assert [(r.item, r.reason, r.detail) for r in decoded.rejects] == [
        (1, Reason.BAD_VALUE, "input_tokens"),
        (3, Reason.MISSING_FIELD, "kind"),
    ]


def test_one_broken_line_spoils_no_other() -> None:
    decoded = decode_values(GOOD + b"\r\n" + GOOD[:-1] + b"\n\n" + GOOD)
    assert decoded.spans.height == 2
    assert [(r.item, r.reason) for r in decoded.rejects] == [(1, Reason.BAD_JSON)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_bad_otlp_span_spoils_no_other(transport: str) -> None:
    bad = [
        Otlp(trace_id="", span_id="00f067aa0ba902b7"),
        Otlp(span_id="00"),
        Otlp(trace_id="0" * 32),
        Otlp(end_ns=5),
        Otlp(end_ns=2**64 - 1),
        Otlp(start_ns=END_NS + 1),
        Otlp({"gen_ai.usage.input_tokens": -5}),
        Otlp({"gen_ai.operation.name": "execute_tool", "tool_arguments": "[" * 40 + "]" * 40}),
    ]
    decoded = decode_values(otlp(transport, CALL, *bad, CALL))
    assert decoded.spans.height == 2
    assert [(r.item, r.reason, r.detail) for r in decoded.rejects] == [
        (1, Reason.MISSING_FIELD, "trace_id"),
        (2, Reason.BAD_VALUE, "span_id"),
        (3, Reason.BAD_VALUE, "trace_id"),
        (4, Reason.BAD_VALUE, "end_time"),
        (5, Reason.BAD_VALUE, "end_time"),
        (6, Reason.BAD_VALUE, "start_time"),
        (7, Reason.BAD_VALUE, "gen_ai.usage.input_tokens"),
        (8, Reason.TOO_DEEP, "args_hash"),
    ]


def test_a_content_type_decides_where_it_can() -> None:
    def read(value: bytes, content_type: bytes) -> Decoded:
        return decode([Message(value, [("Content-Type", content_type)])], LIMITS, KEY)

    protobuf = b"application/x-protobuf; charset=x"
    assert read(otlp("protobuf", CALL), protobuf).spans.height == 1
    assert read(b"garbage", protobuf).rejects[0].reason is Reason.BAD_PROTOBUF
    assert read(b"garbage", b"application/json").rejects[0].reason is Reason.BAD_JSON
    assert read(GOOD, b"application/json").spans.height == 1


VALUES = st.one_of(
    st.none(),
    st.binary(max_size=60),
    st.text(max_size=40).map(str.encode),
    st.sampled_from(
        [value for value, _, _ in REFUSED.values() if value is None or len(value) < 999]
    ),
    st.just(GOOD),
    st.just(encode(native(start_time=START_NS, kind="tool", tool="t", tool_arguments={"a": 1}))),
    st.just(b"[" + GOOD + b"," + encode(native(kind=5)) + b"]"),
    st.just(GOOD + b"\n" + GOOD),
    st.sampled_from([otlp(transport, CALL, Otlp(), Otlp(end_ns=1)) for transport in TRANSPORTS]),
)


_Refusal = tuple[Reason, str, int | None]


def _of_row(decoded: Decoded, row: int) -> tuple[pl.DataFrame, list[_Refusal]]:
    rejects = [(r.reason, r.detail, r.item) for r in decoded.rejects if r.row == row]
    return decoded.spans.filter(pl.col("row") == row).drop("row"), rejects


@given(st.lists(VALUES, max_size=8))
def test_what_a_record_gives_depends_on_nothing_but_itself(values: Sequence[bytes | None]) -> None:
    together = decode_values(*values, limits=SMALL)
    assert dict(together.spans.schema) == dict(SPAN_SCHEMA)
    assert together.spans["row"].is_sorted()
    assert [r.row for r in together.rejects] == sorted(r.row for r in together.rejects)
    for row, value in enumerate(values):
        spans, rejects = _of_row(together, row)
        alone_spans, alone_rejects = _of_row(decode_values(value, limits=SMALL), 0)
        assert spans.equals(alone_spans)
        assert rejects == alone_rejects
        assert spans.height + len(rejects) > 0  # conservation: nothing vanishes


def _mutants(value: bytes) -> st.SearchStrategy[bytes]:
    """The message with a piece cut out and other bytes in its place."""

    def cut(at: int, length: int, instead: bytes) -> bytes:
        return value[:at] + instead + value[at + length :]

    return st.builds(cut, st.integers(0, len(value)), st.integers(0, 9), st.binary(max_size=4))


SEEDS = [
    encode(native(start_time="2025-10-09T08:53:19Z", parent_id=PARENT, cost_usd=0.5, score=1)),
    *(
        otlp(
            transport,
            Otlp(
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.call.arguments": '{"a":[1,{"b":2}]}',
                    "gen_ai.response.finish_reasons": ["stop"],
                    "gen_ai.usage.input_tokens": 5,
                },
                events=[("exception", END_NS, {"exception.type": "E"})],
                status=2,
            ),
        )
        for transport in TRANSPORTS
    ),
]


@given(st.one_of([_mutants(value) for value in SEEDS]))
def test_no_bytes_make_decode_raise(value: bytes) -> None:
    decoded = decode_values(value)
    assert decoded.spans.height + len(decoded.rejects) > 0


@pytest.mark.parametrize("wire", [*MESSAGES, "otlp_json", "otlp_protobuf"])
def test_a_span_of_too_many_attributes_is_refused_and_no_other(wire: str) -> None:
    write = MESSAGES.get(wire) or partial(otlp, wire.removeprefix("otlp_"))
    few = Otlp(dict(CALL.attributes), span_id="00f067aa0ba902b7")
    many = Otlp(dict(CALL.attributes) | {f"a{i}": 1 for i in range(60)})
    limits = Limits(max_attributes=50)
    decoded = decode_values(write(many), write(few), limits=limits)
    assert decoded.spans["span_id"].to_list() == [few.span_id]
    assert [(r.row, r.reason, r.detail) for r in decoded.rejects] == [
        (0, Reason.TOO_LARGE, "attributes")
    ]
    if wire in (*MANY, "otlp_json", "otlp_protobuf"):
        both = decode_values(write(few, many, few), limits=limits)
        assert (both.spans.height, [r.item for r in both.rejects]) == (2, [1])


def test_bombs_are_refused_in_the_time_of_their_size() -> None:
    """A hundred thousand brackets, ten thousand attributes, megabytes in one name."""
    attributes = dict(CALL.attributes) | {f"a{i}": "x" for i in range(10_000)}
    megabytes = "x" * 900_000
    values = [
        encode(native(x=1))[:-1] + b',"y":' + DEEP.encode() + b"}",
        otlp("json", Otlp(attributes)), otlp("protobuf", Otlp(attributes)),
        encode(native(trace_id=megabytes)), b"[" * 900_000, b"{" * 900_000,
        b'{"a":' * 150_000, encode(native(score=1))[:-1] + b"1" * 900_000 + b"}",
    ]  # fmt: skip
    named = encode(native(agent="x" * 300_000, tool="a@" * 150_000, route="1 " * 150_000))
    begin = time.process_time()
    decoded = decode_values(*values, named)
    assert time.process_time() - begin < 3
    assert {r.row for r in decoded.rejects} == set(range(len(values)))
    [span] = decoded.spans.to_dicts()
    assert all(len(span[name]) <= LIMITS.max_string for name in ("agent", "tool", "route"))
