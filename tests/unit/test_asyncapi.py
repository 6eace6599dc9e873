"""The AsyncAPI document, written by hand, says what the code does: no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from hypothesis import given
from jsonschema import Draft202012Validator

import tocsin
from memory_world import PARTITIONS, ROWS, Bench
from tocsin import schemas
from tocsin.cli.main import main
from tocsin.config import Config
from tocsin.flow.alerts.contract import SCHEMA, SOURCE, TYPE_PREFIX, AlertEvent, AlertStatus
from tocsin.run.dlq.write import KEPT_BYTES, KEPT_KEY_BYTES
from tocsin.run.topics import ensure, specs
from tocsin.types import Reason
from unit.decode_samples import encode, native
from unit.test_schemas_current import EVENTS

FOLDER = Path(__file__).parents[2] / "schemas"
TEXT = (FOLDER / "asyncapi.yaml").read_text(encoding="utf-8")
API: dict[str, Any] = yaml.safe_load(TEXT)


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in the document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from parts(value)
    elif isinstance(node, list):
        for item in node:
            yield from parts(item)


def refused(schema: dict[str, Any], value: object) -> list[str]:
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


def headers_of(message: str) -> dict[str, Any]:
    return dict(API["components"]["messages"][message]["headers"])


def test_every_topic_is_a_channel_and_every_channel_a_topic() -> None:
    assert API["asyncapi"] == "3.0.0"
    addresses = [channel["address"] for channel in API["channels"].values()]
    assert addresses == [spec.name for spec in specs(Config())]


def test_every_reference_leads_somewhere() -> None:
    for part in parts(API):
        if (reference := part.get("$ref")) is None:
            continue
        file, _, path = reference.partition("#/")
        if file:
            assert (FOLDER / file).is_file(), reference
            continue
        target = API
        for name in path.split("/"):
            target = target[name]


def test_every_message_has_a_channel_and_every_operation_one_with_messages() -> None:
    listed = {name for channel in API["channels"].values() for name in channel.get("messages", {})}
    assert listed == set(API["components"]["messages"])
    for operation in API["operations"].values():
        assert API["channels"][operation["channel"]["$ref"].rpartition("/")[2]]["messages"]


@given(EVENTS)
def test_the_headers_of_an_alert_are_the_ones_described(event: AlertEvent) -> None:
    described = headers_of("alert")
    said = {name: value.decode() for name, value in event.headers()}
    empty = {name for name, value in said.items() if not value}
    assert said.keys() == described["properties"].keys()
    # Generated fingerprints may be empty; no real one is.
    assert not refused(described, said | dict.fromkeys(empty, "x"))


@pytest.mark.parametrize("keep_original", [False, True])
async def test_dead_letters_and_notices_are_as_described(keep_original: bool) -> None:
    bench = Bench({"dlq": {"keep_original": keep_original}})
    await ensure(bench.config(), bench.bus.admin())
    topics, producer = bench.config().topics, bench.bus.producer()
    bad = [b"{", None, encode(native(tool_result="x" * KEPT_BYTES, output_tokens=-1)),
           encode([native(), native(span_id="")]), encode(native(end_time=2**62))]  # fmt: skip
    for value in bad:
        key = b"k" * (KEPT_KEY_BYTES + 1)
        await producer.send(topics.spans, value=value, key=key, partition=PARTITIONS - 1)
    bench.start()
    await bench.publish(ROWS[:50])
    await bench.until(lambda: len(bench.bus.records(topics.dlq)) >= len(bad))
    await bench.settle(50 + len(bad))
    await bench.end()
    described = headers_of("deadLetter")
    seen: set[str] = set()
    always = set(described["properties"])
    for dlq_record in bench.bus.records(topics.dlq):
        said = {name: value.decode() for name, value in dlq_record.headers}
        assert not refused(described, said)
        seen |= said.keys()
        always &= said.keys()
    only = {"dlq.truncated_from", "dlq.cut"} if keep_original else {"dlq.redacted"}
    other = {"dlq.truncated_from", "dlq.cut", "dlq.redacted"} - only
    assert seen == described["properties"].keys() - other
    assert always - only == set(described["required"])
    notices = bench.bus.records(topics.flushes)
    payload = API["components"]["messages"]["notice"]["payload"]["schema"]
    assert notices
    for notice in notices:
        assert notice.value is not None
        said = msgspec.json.decode(notice.value)
        assert not refused(payload, said)
        assert said.keys() == payload["properties"].keys()
        assert said["shard"] == notice.partition


def test_enumerations_are_those_of_the_code() -> None:
    letter, alert = headers_of("deadLetter")["properties"], headers_of("alert")["properties"]
    assert letter["dlq.reason"]["enum"] == [reason.value for reason in Reason]
    assert alert["ce_type"]["enum"] == [TYPE_PREFIX + status for status in get_args(AlertStatus)]
    assert alert["ce_source"]["const"] == SOURCE
    assert alert["ce_dataschema"]["const"] == SCHEMA


def test_every_published_schema_is_the_payload_of_its_message() -> None:
    referred = {
        name: {part["$ref"].removeprefix("./") for part in parts(message.get("payload", {}))
               if "$ref" in part}
        for name, message in API["components"]["messages"].items()
    }  # fmt: skip
    assert {name: files for name, files in referred.items() if files} == {
        "span": {"span.v1.json"},
        "spans": {"span.v1.json"},
        "change": {"change.v1.json"},
        "alert": {"alert.v1.json"},
    }
    assert set().union(*referred.values()) == schemas.documents().keys() - {"rule.v1.json"}


def test_the_version_and_the_commands_it_names_are_there() -> None:
    assert API["info"]["version"] == tocsin.__version__
    named = set(re.findall(r"`tocsin (\w+)", TEXT))
    assert {"ingest", "watch", "dlq"} <= named <= main.commands.keys()
