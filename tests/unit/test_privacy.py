"""No content gets out of decode, and nothing that ingest and watch write holds any."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterable
from dataclasses import astuple
from itertools import islice
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from memory_world import T0_MS, Bench
from privacy import (
    ALL,
    MARKERS,
    agents,
    content,
    everything,
    found_in,
    messages,
    named,
    natives,
)
from tocsin import log
from tocsin.flow.decode.changes import decode_changes
from tocsin.flow.decode.redact import REDACTED, WORDS, is_private, redact
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.topics import ensure
from tocsin.run.watch import Watch
from tocsin.types import SPAN_SCHEMA, Decoded, Reason
from unit.decode_samples import KEY, LIMITS, Message, Otlp, decode_values, encode, native, otlp

#: These go on only as hashes (`fold_runs`), so decode leaves them as they are.
_HASHED = ("span_id", "parent_id", "args_hash", "result_hash")


def text_of(decoded: Decoded) -> bytes:
    """Whatever could hold text in what decode gives."""
    spans = decoded.spans.drop(_HASHED).select(pl.col(pl.String))
    told = [column.unique().to_list() for column in spans]
    return repr((told, [(r.reason, r.detail) for r in decoded.rejects])).encode()


def check(values: Iterable[bytes], marker: str) -> Decoded:
    decoded = decode_values(*values)
    assert found_in(text_of(decoded), [marker]) == set()
    return decoded


@pytest.mark.parametrize("marker", ALL.values(), ids=ALL)
def test_content_does_not_get_out_of_any_format(marker: str) -> None:
    spans = [content(marker), content(marker, span_id="00f067aa0ba902b7")]
    sent = list(messages(marker, spans))
    decoded = check([value for _, value in sent], marker)
    assert decoded.spans.height >= len(sent), "most were understood, so the law says something"


@pytest.mark.parametrize("marker", MARKERS.values(), ids=MARKERS)
def test_content_in_the_place_of_a_name_does_not_get_out_of_any_format(marker: str) -> None:
    spans = list(named(marker))
    everything = [Otlp({**span.attributes}, span.name, status=2) for span in spans[-20:]]
    check([value for _, value in messages(marker, everything)], marker)
    for transport in ("json", "protobuf"):
        check([otlp(transport, *spans)], marker)
    check(agents(marker), marker)
    check([encode(span) for span in natives(marker)], marker)


def test_the_markers_are_found_where_they_are() -> None:
    for marker in ALL.values():
        assert found_in(encode(native(tool_arguments={"q": marker})), [marker])
        assert found_in(otlp("protobuf", content(marker)), [marker])
        assert found_in(repr(marker).encode(), [marker])


# ---- everything that is written --------------------------------------------------------


def dump(bench: Bench) -> bytes:
    """All that lies in the store and on every topic but the spans topic."""
    spans = bench.config().topics.spans
    topics = [topic for name, topic in bench.bus._topics.items() if name != spans]
    records = [r for topic in topics for part in topic.partitions for r in part.records]
    told = [(r.key, r.value, r.headers) for r in records]
    state = [(s.windows, s.runs, s.labels, s.blobs, s.out, s.dirty) for s in bench.store._shards]
    return pickle.dumps((told, state)) + bench.metrics.render()


async def fill(bench: Bench, every: int = 1) -> set[str]:
    """Send them, under keys and headers that are markers too; what they were refused for."""
    await ensure(bench.config(), bench.bus.admin())
    watch = Watch(bench.config(), bench.bus, bench.store, bench.clock, bench.metrics, load_rules())
    bench.tasks.append(asyncio.create_task(watch.run(bench.stop)))
    bench.start()
    await watch.assigned(frozenset(range(bench.config().shards)))
    producer, topic, now_ns = bench.bus.producer(), bench.config().topics, T0_MS * 1_000_000
    bench.clock.ms = T0_MS
    markers, sent = list(ALL.values()), 0
    for sent, value in enumerate(islice(everything(now_ns), 0, None, every), 1):
        marker = markers[sent % len(markers)]
        headers = [("traceparent", marker.encode()), (marker, marker.encode())]
        await producer.send(topic.spans, value=value, key=marker.encode(), headers=headers)
    await bench.settle(sent)
    bench.clock.advance(600_000)
    await bench.until(lambda: bool(bench.bus.records(topic.alerts)))
    await asyncio.sleep(0.3)  # several ticks
    dlq_records = bench.bus.records(topic.dlq)
    return {dict(dlq_record.headers)["dlq.reason"].decode() for dlq_record in dlq_records}


SETTINGS: dict[str, Any] = {
    "limits": {"max_spans": 100, "max_record_bytes": 300_000},
    "ingest": {"flush_interval_s": 0.05, "max_records": 2_000, "max_rejected_share": 1.0},
    "watch": {"tick_s": 0.05},
    "allowed_models": ["m"],
}


async def test_nothing_that_is_written_holds_any_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("info", "json")
    bench = Bench(SETTINGS)
    reasons = await fill(bench)
    await bench.end()
    bench.check_conservation()
    assert reasons == set(Reason), "a dead letter for each reason there is"
    assert bench.bus.records(bench.config().topics.alerts)
    written = dump(bench)
    said = "".join(capsys.readouterr()).encode()
    assert b"resumed" in said
    assert REDACTED.encode() in written
    assert found_in(written + said, ALL.values()) == set()


async def test_with_originals_kept_the_dead_letters_alone_hold_content() -> None:
    bench = Bench(SETTINGS | {"dlq": {"keep_original": True}})
    await fill(bench, every=5)
    await bench.end()
    topic = bench.bus.topic(bench.config().topics.dlq)
    dlq_records = [r for part in topic.partitions for r in part.records]
    assert found_in(pickle.dumps([(r.key, r.value, r.headers) for r in dlq_records]), ALL.values())
    for part in topic.partitions:
        part.records.clear()
    assert found_in(dump(bench), ALL.values()) == set()


# ---- the rule for names ----------------------------------------------------------------

FINE = (
    "support", "Airline Triage Agent", "Senior Research Analyst", "Delegate work to coworker",
    "transfer_to_billing", "gpt-5-mini-2025-08-07", "claude-3-5-sonnet@20240620",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "/chat/{id}", "GET /v1/orders/:id",
    "@scope/package@1.2.3", "java.net.SocketTimeoutException", "429", "1.2.3+build.5", "客服助手",
    "builtins.ValueError", "a" * 40, "sha256:" + "0a" * 32,
    "tool-1700000000000",
    "1763863267123456789", "0af76519-16cd-43dd-8448-eb211c80319c", "2026-11-23T02:14:07.1Z",
    "task-sk-learn", "sk-learn-pipeline", "asia-southeast1-prod", "risk-engine", "Müller-Assistent",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x",
)  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_names_look_like_stays(name: str) -> None:
    spans = decode_values(encode(native(agent=name, tool=name, kind="tool", route=name))).spans
    assert spans.select("agent", "tool", "route").row(0) == (name,) * 3


@pytest.mark.parametrize("marker", MARKERS.values(), ids=MARKERS)
def test_what_breaks_a_rule_is_redacted_in_every_column(marker: str) -> None:
    values = {name: [marker] for name in WORDS} | {"trace_id": [marker]}
    nothing = {name: [None] for name in SPAN_SCHEMA if name not in values}
    [row] = redact(pl.DataFrame(values | nothing, schema_overrides=SPAN_SCHEMA), KEY).to_dicts()
    assert {row[name] for name in WORDS} == {REDACTED}
    assert row["trace_id"] != marker
    assert len(row["trace_id"]) == 32


@cases(20)
@given(st.lists(st.sampled_from([*MARKERS.values(), *FINE, "", "x"]), min_size=1, max_size=5))
def test_what_a_name_becomes_depends_on_nothing_but_itself(names: list[str]) -> None:
    together = decode_values(*[encode(native(agent=n, trace_id=n or "t")) for n in names]).spans
    for i, name in enumerate(names):
        alone = decode_values(encode(native(agent=name, trace_id=name or "t"))).spans
        assert alone.drop("row").equals(together.filter(pl.col("row") == i).drop("row"))


PIECES = st.sampled_from([
    "password", "api", "key", "token", "secret", ":", "=", "hunter2", "jane", "@", "x.com", " ",
    "-", "_", "/", "4111", "1111", "078", "05", "1120", "+49", "1705550199", "sk-", "AKIA", "eyJ",
    ".", "1", "a" * 20, "B7" * 8, "?", "。", "ü", "\u200b", "＠", "-----BEGIN", "://", "bearer",
])  # fmt: skip


@cases(50)
@given(st.lists(st.lists(PIECES, min_size=1, max_size=8).map("".join), min_size=20, max_size=20))
def test_the_search_of_whole_columns_misses_nothing_that_judging_each_name_would_find(
    names: list[str],
) -> None:
    nothing = {name: [None] * len(names) for name in SPAN_SCHEMA}
    frame = pl.DataFrame(
        nothing | {"trace_id": names, "agent": names, "model": names},
        schema_overrides=SPAN_SCHEMA,
    )
    made = redact(frame, KEY)
    for column, words in (("trace_id", 1), ("agent", 5), ("model", 3)):
        for name, became in zip(names, made[column], strict=True):
            assert (became != name) == is_private(name, words), (column, name)


def test_runs_whose_trace_ids_are_redacted_stay_apart_and_whole() -> None:
    ids = [MARKERS["email"], MARKERS["card"], MARKERS["email"]]
    spans = decode_values(*[encode(native(trace_id=i)) for i in ids]).spans
    first, second, third = spans["trace_id"]
    assert first == third != second


def test_a_timeout_is_known_by_its_message_before_the_message_goes() -> None:
    said = "the request to the model has timed out after 30 s"
    [span] = decode_values(encode(native(error_class=said))).spans.to_dicts()
    assert (span["timeout"], span["error_class"]) == (True, REDACTED)


def test_half_an_address_is_not_left_where_a_name_is_cut() -> None:
    for pad in range(180, 200):
        name = "x" * pad + "-jane.doe@mail.example.com"
        assert decode_values(encode(native(agent=name))).spans["agent"][0] == REDACTED


# ---- changes ---------------------------------------------------------------------------


@pytest.mark.parametrize("marker", MARKERS.values(), ids=MARKERS)
def test_content_does_not_get_out_of_any_form_of_change(marker: str) -> None:
    plain: dict[str, Any] = {
        "kind": "deploy",
        "env": "prod",
        "service": "shop",
        "version": "1",
        "name": "n",
    }
    full = plain | {marker: marker, "notes": marker, "author": marker, "value": marker}
    trees = [full | {name: marker} for name in (*plain, "variant", "at", "source")]
    around: dict[str, Any] = {
        "specversion": "1.0",
        "id": marker,
        "type": "dev.cdevents.service.deployed.0.2.0",
    }
    context = {"version": "0.4.1", "id": marker, "source": marker, "type": around["type"],
               "timestamp": "2025-10-09T08:50:00Z", "chainId": marker}  # fmt: skip
    inner = {"environment": {"id": marker, "source": marker}, "artifactId": marker}
    subject = {"id": marker, "source": marker, "type": "service", "content": inner}
    event = {"context": context, "subject": subject, "customData": {marker: marker}}
    trees += [event, *(around | {"source": marker, "subject": marker, "data": d} for d in
                       (*trees, event, marker))]  # fmt: skip
    trees += [around | {"type": marker, "source": marker, "data": full}]
    decoded = decode_changes([Message(encode(tree)) for tree in trees], LIMITS)
    assert len(decoded.changes) > len(trees) / 2
    told = [astuple(change) for change in decoded.changes], decoded.rejects
    assert found_in(repr(told).encode(), [marker]) == set()
