"""`tocsin dlq`: the DLQ records selected are found, and a record goes back at most once."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from memory_bus import MemoryBus, MemoryRecord
from tocsin.bus.base import BrokerUnavailable, TopicMissing, TopicSpec
from tocsin.bus.kafka import KafkaBus
from tocsin.cli.dlq_report import json_line, print_dlq_records, resend_and_print, summary
from tocsin.cli.main import main
from tocsin.cli.running import with_bus_errors
from tocsin.cli.text import moment
from tocsin.clock import ManualClock
from tocsin.config import Config, UserError
from tocsin.metrics import Metrics
from tocsin.run.batch import PartitionProgress, read_batch
from tocsin.run.dlq import resend
from tocsin.run.dlq.envelope import envelope, key_of
from tocsin.run.dlq.records import (
    NO_BYTES,
    NO_ORIGINAL,
    PARTIAL,
    TRUNCATED,
    DlqRecord,
    Selection,
    parse_dlq_record,
    plan_resend,
)
from tocsin.run.dlq.write import KEPT_BYTES, KEPT_HEADER_BYTES, KEPT_KEY_BYTES, publish_rejects
from tocsin.run.from_config import ingest_settings
from tocsin.types import Reason, Reject
from unit.decode_samples import Otlp, encode, native, otlp

CONFIG = Config(dlq={"keep_original": True})
REDACTING = Config()
SECRET = "jane@example.com"
NOW_MS = 1_767_225_600_000
GOOD = native(end_time=NOW_MS * 1_000_000)
BAD = GOOD | {"output_tokens": -1, "tool_arguments": SECRET}

DLQ_RECORDS = st.builds(
    DlqRecord,
    partition=st.integers(0, 2),
    offset=st.integers(0, 50),
    at_ms=st.integers(0, 9),
    reason=st.sampled_from(list(Reason)).map(str),
    detail=st.sampled_from(["", "end_time"]),
    origin=st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1), st.integers(0, 3)),
    origin_ms=st.integers(0, 9),
    spans=st.integers(1, 3),
    items=st.just(""),
    size=st.integers(0, 3),
    kept=st.none() | st.integers(0, 3),
    redacted=st.booleans(),
)
NARROW: dict[str, st.SearchStrategy[Any]] = {
    "reasons": st.frozensets(st.sampled_from(list(Reason)).map(str)),
    "since_ms": st.none() | st.integers(0, 9),
    "until_ms": st.none() | st.integers(0, 9),
    "topic": st.none() | st.sampled_from(["a", "b"]),
    "partition": st.none() | st.integers(0, 1),
    "offset": st.none() | st.integers(0, 3),
}
SELECTIONS = st.builds(Selection, limit=st.none() | st.integers(1, 5), **NARROW)


Headers = Sequence[tuple[str, Any]]


async def refused(
    values: Sequence[bytes | None],
    config: Config = CONFIG,
    headers: Headers = (),
    key: bytes = b"key%d",
) -> MemoryBus:
    """A bus whose dead letters are what ingest writes for these records."""
    bus = MemoryBus(ManualClock(NOW_MS))
    bus.create(TopicSpec(CONFIG.topics.spans, 2))
    bus.create(TopicSpec(CONFIG.topics.dlq, 2))
    spans = CONFIG.topics.spans
    records = [
        MemoryRecord(spans, 0, at, NOW_MS, 1, key.replace(b"%d", b"%d" % at), value, headers)
        for at, value in enumerate(values)
    ]
    batch = read_batch(
        {0: records}, {0: PartitionProgress(position=0)}, 1, ingest_settings(CONFIG), NOW_MS
    )
    await publish_rejects(batch, bus.producer(), config, Metrics())
    return bus


def published(bus: MemoryBus) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in bus.records(CONFIG.topics.spans)]


@given(st.lists(DLQ_RECORDS), SELECTIONS)
def test_a_selection_is_what_matches_each_refusal_once_oldest_first(
    dlq_records: list[DlqRecord], selection: Selection
) -> None:
    chosen = selection.of(dlq_records)
    assert all(selection.matches(dlq_record) for dlq_record in chosen)
    assert [x.at_ms for x in chosen] == sorted(x.at_ms for x in chosen)
    refusals = {(x.origin, x.reason) for x in dlq_records if selection.matches(x)}
    assert len({(x.origin, x.reason) for x in chosen}) == len(chosen)
    assert len(chosen) == min(len(refusals), selection.limit or len(refusals))
    assert str(sum(x.spans for x in chosen)) in summary(chosen)


@given(st.lists(DLQ_RECORDS), st.sampled_from(sorted(NARROW)), st.data())
def test_a_filter_only_ever_narrows(
    dlq_records: list[DlqRecord], name: str, data: st.DataObject
) -> None:
    everything = Selection().of(dlq_records)
    narrowed = Selection(**{name: data.draw(NARROW[name])})
    matching = {(x.origin, x.reason) for x in narrowed.of(dlq_records)}
    assert matching <= {(x.origin, x.reason) for x in everything}


@given(st.lists(DLQ_RECORDS))
def test_a_plan_takes_each_record_once_and_loses_none(dlq_records: list[DlqRecord]) -> None:
    made = plan_resend(dlq_records)
    origins = [x.origin for x in made.sent]
    assert len(set(origins)) == len(origins)
    assert len(origins) + made.left_out.total() == len({x.origin for x in dlq_records})
    assert all(x.kept and not x.truncated and not x.redacted for x in made.sent)


@given(st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9))))
def test_a_record_that_is_no_letter_of_ours_is_none(headers: list[tuple[str, Any]]) -> None:
    assert parse_dlq_record(MemoryRecord("dlq", 0, 0, 0, 0, None, b"x", headers)) is None


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", NOW_MS - 90_000), ("30m", NOW_MS - 1_800_000), ("2h", NOW_MS - 7_200_000),
        ("7d", NOW_MS - 7 * 86_400_000), ("2026-01-01T00:00:00Z", NOW_MS),
        ("2026-01-01", NOW_MS), ("2026-01-01T01:00:00.5+01:00", NOW_MS + 500),
    ],
)  # fmt: skip
def test_a_time_is_iso_8601_or_an_age(text: str, ms: int) -> None:
    assert moment(text, NOW_MS, "--since") == ms


@pytest.mark.parametrize("text", ["yesterday", "", "5 parsecs", "-1h", "2h30m"])
def test_what_is_no_time_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"--until .* is no time"):
        moment(text, NOW_MS, "--until")


async def test_what_ingest_writes_is_found_with_all_it_says() -> None:
    bus = await refused([encode(GOOD), encode(BAD), b"{ broken", None, encode([GOOD, BAD])])
    found, foreign = await resend.find(bus, CONFIG, Selection())
    assert foreign == 0
    assert {(x.origin[2], x.reason, x.items) for x in found} == {
        (1, "bad_value", ""), (2, "bad_json", ""), (3, "empty", ""), (4, "bad_value", "1"),
    }  # fmt: skip
    assert {x.origin[:2] for x in found} == {(CONFIG.topics.spans, 0)}
    by_offset = {x.origin[2]: x for x in found}
    assert by_offset[1].detail == "output_tokens"
    assert (by_offset[1].size, by_offset[1].kept) == (len(encode(BAD)),) * 2
    assert (by_offset[3].size, by_offset[3].kept) == (0, None)
    assert by_offset[1].origin_ms == NOW_MS
    only = Selection(reasons=frozenset({"bad_value"}), partition=0, offset=4)
    assert [x.origin[2] for x in (await resend.find(bus, CONFIG, only))[0]] == [4]
    assert (await resend.find(bus, CONFIG, Selection(since_ms=NOW_MS + 1)))[0] == []


async def test_a_record_goes_back_once_with_its_own_key_and_bytes() -> None:
    both = encode([BAD, GOOD | {"end_time": (NOW_MS + 86_400_000) * 1_000_000}])
    bus = await refused([encode(BAD), both, encode(BAD)])
    assert len(bus.records(CONFIG.topics.dlq)) == 4, "one record was refused for two reasons"
    for dlq_record in bus.records(CONFIG.topics.dlq)[:1]:  # a crash wrote one twice
        await bus.producer().send(
            CONFIG.topics.dlq,
            key=dlq_record.key,
            value=dlq_record.value,
            headers=dlq_record.headers,
        )
    dry = await resend.resend(bus, CONFIG, Selection(), send=False)
    assert published(bus) == []
    sent = await resend.resend(bus, CONFIG, Selection(), send=True)
    assert (dry.sent, dry.size, dry.left_out) == (sent.sent, sent.size, sent.left_out)
    assert (sent.sent, sent.left_out) == (3, {})
    assert sorted(published(bus), key=str) == [
        (b"key0", encode(BAD)), (b"key1", both), (b"key2", encode(BAD)),
    ]  # fmt: skip
    headers = [dict(record.headers) for record in bus.records(CONFIG.topics.spans)]
    topic = CONFIG.topics.spans.encode()
    assert {h[resend.REPLAYED] for h in headers} == {topic + b"/0/%d" % i for i in range(3)}


async def test_what_cannot_or_must_not_go_back_is_counted_and_left_out() -> None:
    late = GOOD | {"end_time": (NOW_MS - 86_400_000) * 1_000_000, "start_time": None}
    values = [
        encode(BAD | {"tool_result": "x" * KEPT_BYTES}), None, encode([GOOD, BAD]),
        encode([GOOD, late]), encode(late), encode([BAD, BAD]),
    ]  # fmt: skip
    bus = await refused(values)
    outcome = await resend.resend(bus, CONFIG, Selection(), send=True)
    assert outcome.left_out == {TRUNCATED: 1, NO_BYTES: 1, PARTIAL: 2}
    assert sorted(published(bus), key=str) == [(b"key4", values[4]), (b"key5", values[5])]
    again = await resend.resend(bus, CONFIG, Selection(), send=True, partial=True)
    assert (again.sent, again.left_out) == (4, {TRUNCATED: 1, NO_BYTES: 1})


async def test_the_producers_own_headers_come_back_whatever_they_are() -> None:
    own: Headers = [
        ("traceparent", b"00-0af7"), ("x", b"\xff\x00"), ("x", b"again"), ("dlq.reason", b"mine"),
        ("null", None), (resend.REPLAYED, b"spans/0/7"),
    ]  # fmt: skip
    bus = await refused([encode(BAD)], headers=own)
    assert (await resend.resend(bus, CONFIG, Selection(), send=True)).sent == 1
    [record] = bus.records(CONFIG.topics.spans)
    origin = f"{CONFIG.topics.spans}/0/0".encode()
    assert list(record.headers) == [*own[:-1], (resend.REPLAYED, origin)]


async def test_what_is_too_large_beside_the_bytes_is_cut_and_never_sent() -> None:
    for cut, more in (
        ("key", {"key": b"k" * (KEPT_KEY_BYTES + 1)}),
        ("headers", {"headers": [("a", b"x" * KEPT_HEADER_BYTES), ("b", b"")]}),
        ("headers", {"headers": [("", b"")] * KEPT_HEADER_BYTES}),
    ):
        bus = await refused([encode(BAD)], **more)
        [dlq_record] = bus.records(CONFIG.topics.dlq)
        assert dict(dlq_record.headers)["dlq.cut"].decode() == cut
        size = sum(len(name) + len(value or b"") for name, value in dlq_record.headers)
        assert size + len(dlq_record.key or b"") < KEPT_HEADER_BYTES + 2_000
        outcome = await resend.resend(bus, CONFIG, Selection(), send=True)
        assert (outcome.sent, outcome.left_out) == (0, {TRUNCATED: 1})


# ---- redacted, which is the default ----------------------------------------------------


async def test_by_default_a_letter_says_what_was_wrong_and_holds_none_of_it() -> None:
    values = [encode(BAD), b"{ " + SECRET.encode(), None, b"\n\x05", SECRET.encode(), b"\xff\xfe"]
    own = [(SECRET, SECRET.encode()), ("content-type", b"application/json")]
    bus = await refused(values, REDACTING, own, b"%d " + SECRET.encode())
    dlq_records = sorted(
        bus.records(REDACTING.topics.dlq), key=lambda x: dict(x.headers)["dlq.original.offset"]
    )
    assert len(dlq_records) == len(values)
    assert SECRET not in str(dlq_records)
    said = [msgspec.json.decode(dlq_record.value or b"") for dlq_record in dlq_records]
    assert [x["format"] for x in said] == [
        "native", "json", "nothing", "otlp_protobuf", "text", "binary",
    ]  # fmt: skip
    for offset, (document, value) in enumerate(zip(said, values, strict=True)):
        assert document["kind"] == "tocsin.redacted"
        assert document["original"]["offset"] == offset
        assert document["size"] == len(value or b"")
        assert document["headers"] == 2
        if value is not None:
            made = hmac.digest(REDACTING.fingerprint_bytes, value, "sha256").hex()
            assert document["hmac_sha256"] == made
    assert said[0]["reason"] == "bad_value"
    assert said[0]["detail"] == "output_tokens"
    assert said[0]["names"] == sorted(BAD)


@pytest.mark.parametrize(
    "key",
    [b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331", b"trace_" + b"0a" * 16,
     b"0af76519-16cd-43dd-8448-eb211c80319c"],
)  # fmt: skip
def test_a_key_that_is_a_trace_id_stays(key: bytes) -> None:
    assert key_of(key, b"secret") == key


@pytest.mark.parametrize(
    "key", [b"", b"4111111111111111", b"jane", SECRET.encode(), b"9" * 32, b"0af7" * 9, b"\xff\n"]
)
def test_any_other_key_becomes_its_digest_and_stays_equal_to_itself(key: bytes) -> None:
    made = key_of(key, b"secret")
    assert made == key_of(key, b"secret") != key_of(key, b"other")
    assert made is not None
    assert re.fullmatch(rb"hmac:[0-9a-f]{32}", made)
    assert key_of(None, b"secret") is None


@given(st.dictionaries(st.text(), st.text()), st.booleans())
def test_only_names_of_ours_are_told_of_any_document(names: dict[str, str], whole: bool) -> None:
    value = msgspec.json.encode(
        {"trace_id": "tool", "n": 1} | {f"{k}!": v for k, v in names.items()}
    )
    record = MemoryRecord("t", 0, 0, 0, 0, None, value if whole else value[:-1], ())
    made = msgspec.json.decode(envelope(record, [Reject(0, Reason.BAD_JSON)], b"k", 1 << 20))
    assert made["names"] == ["trace_id"]


def test_the_names_of_otlp_attributes_are_told_and_their_values_are_not() -> None:
    span = Otlp({"gen_ai.tool.name": "gen_ai.system", "jane.doe": "x"})
    record = MemoryRecord("t", 0, 0, 0, 0, None, otlp("json", span), ())
    made = msgspec.json.decode(envelope(record, [Reject(0, Reason.BAD_VALUE)], b"k", 1 << 20))
    assert made["format"] == "otlp_json"
    assert {"resourceSpans", "gen_ai.tool.name", "service.name"} <= set(made["names"])
    assert not {"gen_ai.system", "jane.doe"} & set(made["names"])


async def test_a_redacted_letter_is_counted_and_the_remedy_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bus = await refused([encode(BAD), None, encode(BAD)], REDACTING)
    for send in (False, True):
        outcome = await resend.resend(bus, REDACTING, Selection(), send=send)
        assert (outcome.sent, outcome.left_out) == (0, {NO_ORIGINAL: 2, NO_BYTES: 1})
        assert published(bus) == []
    assert not await resend_and_print(bus, CONFIG, Selection(), send=False, partial=False)
    said = capsys.readouterr().out
    assert "3 redacted" in said
    assert "2 records left out, redacted" in said
    assert "TOCSIN_DLQ__KEEP_ORIGINAL=true" in said
    await print_dlq_records(bus, REDACTING, Selection(), as_json=True, payload=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line["redacted"] for line in lines)
    assert sorted(line["size"] for line in lines) == [0, len(encode(BAD)), len(encode(BAD))]


async def test_looking_at_many_letters_finds_every_one() -> None:
    numbers = count()
    bus = await refused([encode(BAD | {"span_id": f"s{next(numbers)}"}) for _ in range(5_000)])
    found, _ = await resend.find(bus, CONFIG, Selection())
    assert sorted(x.origin[2] for x in found) == list(range(5_000))
    newest = await resend.resend(bus, CONFIG, Selection(limit=250), send=True)
    assert newest.sent == len(published(bus)) == 250


async def test_without_a_spans_topic_nothing_is_sent_and_the_remedy_is_said() -> None:
    bus = MemoryBus(ManualClock(NOW_MS))
    bus.create(TopicSpec(CONFIG.topics.dlq, 1))
    dlq_records = (await refused([encode(BAD)])).records(CONFIG.topics.dlq)
    for dlq_record in dlq_records:
        await bus.producer().send(
            CONFIG.topics.dlq, value=dlq_record.value, headers=dlq_record.headers
        )
    with pytest.raises(TopicMissing, match="tocsin topics"):
        await resend.resend(bus, CONFIG, Selection(), send=True)


async def test_a_broker_that_goes_away_meanwhile_is_one_sentence_and_a_fault_is_not() -> None:
    async def work(error: Exception) -> None:
        raise error

    bus = KafkaBus(CONFIG.kafka)
    with pytest.raises(BrokerUnavailable, match="stopped answering"):
        await with_bus_errors(bus, work(KafkaConnectionError()))
    with pytest.raises(ZeroDivisionError):
        await with_bus_errors(bus, work(ZeroDivisionError()))
    memory = MemoryBus()
    with pytest.raises(TopicMissing, match="tocsin topics"):
        await with_bus_errors(memory, resend.find(memory, CONFIG, Selection()))


async def test_content_is_shown_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    bus = await refused([encode(BAD), b'{"bytes": "\xff"}'])
    for as_json in (True, False):
        await print_dlq_records(bus, CONFIG, Selection(), as_json=as_json, payload=False)
        said = "".join(capsys.readouterr())
        assert SECRET not in said
        assert "key0" not in said
        assert "2 DLQ records, 2 spans" in said
        await print_dlq_records(bus, CONFIG, Selection(), as_json=as_json, payload=True)
        assert SECRET in "".join(capsys.readouterr().out.split())


@given(DLQ_RECORDS, st.none() | st.binary(), st.none() | st.binary())
def test_a_line_of_json_is_json_whatever_the_bytes(
    dlq_record: DlqRecord, key: bytes | None, value: bytes | None
) -> None:
    shown = json.loads(json_line(dlq_record, (key, value)))
    assert shown["original"]["offset"] == dlq_record.origin[2]
    assert ("payload" in shown) != ("payload_base64" in shown)


@pytest.mark.parametrize(
    "args",
    [
        ["--since", "soon"], ["--offset", "3"], ["--since", "1h", "--until", "2h"],
        ["--reason", "dull"], ["--limit", "0"], ["--partition", "-1"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["show", "replay"])
def test_a_mistake_is_one_sentence_and_exit_2(command: str, args: list[str]) -> None:
    result = CliRunner().invoke(main, ["dlq", command, *args])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
