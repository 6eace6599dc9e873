"""Tocsin's topics as an AsyncAPI 3.0 document: who writes what to which, and how it is keyed.

Names, reasons and header values come from the code that uses them; payloads are the JSON
Schemas beside the document. Written and held current by `tocsin schemas`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import yaml

import tocsin
from tocsin.flow.alerts.contract import SCHEMA, SOURCE, TYPE_PREFIX, AlertStatus
from tocsin.settings import TopicsConfig
from tocsin.types import Reason

_JSON_SCHEMA: Final = "application/schema+json;version=draft-2020-12"
_NUMBER: Final = {"type": "string", "pattern": r"^-?\d+$"}
_TEXT: Final = {"type": "string", "minLength": 1}

#: What every dead letter says of itself; Kafka headers are bytes, these are UTF-8 text.
_LETTER: Mapping[str, Any] = {
    "dlq.reason": {"enum": [reason.value for reason in Reason]},
    "dlq.stage": {"const": "decode"},
    "dlq.original.topic": _TEXT,
    "dlq.original.partition": _NUMBER,
    "dlq.original.offset": _NUMBER,
    "dlq.original.timestamp": _NUMBER | {"description": "ms since the epoch"},
    "dlq.consumer.group": _TEXT,
    "dlq.app.version": _TEXT,
    "dlq.size": _NUMBER | {"description": "Bytes of the refused record."},
    "dlq.spans": _NUMBER | {"description": "Spans of the record refused for this reason."},
}
_LETTER_OPTIONAL: Mapping[str, Any] = {
    "dlq.detail": _TEXT | {"description": "A field path or class name; never an excerpt."},
    "dlq.items": {
        "type": "string",
        "pattern": r"^\d+(,\d+)*$",
        "description": "Which spans of the record, from 0. Absent: the record itself.",
    },
    "dlq.redacted": {"const": "true", "description": "The value is a redacted envelope."},
    "dlq.truncated_from": _NUMBER | {"description": "Bytes of the record; the value is cut."},
    "dlq.cut": {"enum": ["key", "headers", "key,headers"],
                "description": "What else of a kept original is not whole."},
}  # fmt: skip
_ALERT: Mapping[str, Any] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": _TEXT | {"description": "Equal ids are the same event, delivered again."},
    "ce_source": {"const": SOURCE},
    "ce_type": {"enum": [TYPE_PREFIX + status for status in get_args(AlertStatus)]},
    "ce_subject": _TEXT | {"description": "The alert's fingerprint."},
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_dataschema": {"const": SCHEMA},
    "ce_partitionkey": _TEXT | {"description": "The alert's fingerprint; also the key."},
    "content-type": {"const": "application/json"},
}
_NOTICE: Mapping[str, Any] = {
    "type": "object",
    "required": ["shard", "at_ms"],
    "properties": {
        "shard": {"type": "integer", "minimum": 0, "description": "Also the partition."},
        "at_ms": {"type": "integer", "description": "When it was merged, ms since the epoch."},
    },
}


def document() -> str:
    """The document as YAML, ending in a newline. Topic names have the default prefix."""
    parts = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tocsin",
            "version": tocsin.__version__,
            "description": "The topics of Tocsin, the alarm bell for LLM agents. "
            "Names begin with topics.prefix; these have the default one.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": _channels(TopicsConfig()),
        "operations": {
            "readSpans": _operation("receive", "spans", "`tocsin ingest` reads them."),
            "sendSpans": _operation(
                "send", "spans", "`tocsin_client` and `tocsin dlq replay --yes` write there."
            ),
            "sendDeadLetters": _operation(
                "send", "deadLetters", "`tocsin ingest` writes them; of changes, `tocsin watch`."
            ),
            "readDeadLetters": _operation("receive", "deadLetters", "`tocsin dlq` reads them."),
            "sendNotices": _operation("send", "flushes", "`tocsin ingest`, after each merge."),
            "readNotices": _operation("receive", "flushes", "`tocsin watch`, by shard."),
            "sendChanges": _operation(
                "send", "changes", "`tocsin change` and `tocsin_client` write there."
            ),
            "readChanges": _operation(
                "receive", "changes", "Each `tocsin watch` reads all of it, a day back."
            ),
            "sendAlerts": _operation("send", "alerts", "`tocsin watch` writes them."),
            "readAlerts": _operation("receive", "alerts", "`tocsin bridge` hands them on."),
        },
        "components": {"messages": _messages()},
    }
    return yaml.dump(parts, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=96)


def _channels(names: TopicsConfig) -> dict[str, Any]:
    def channel(address: str, description: str, *messages: str) -> dict[str, Any]:
        referred = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
        return {"address": address, "description": description} | (
            {"messages": referred} if referred else {}
        )

    reserved = "Reserved: `tocsin topics` creates it; this version neither reads nor writes it."
    return {
        "spans": channel(
            names.spans, "What producers send, when a span ends.", "span", "spans", "foreignSpans"
        ),
        "deadLetters": channel(names.dlq, "Records that could not be read.", "deadLetter"),
        "flushes": channel(
            names.flushes,
            "One partition a shard. A notice says that the shard has new data; internal.",
            "notice",
        ),
        "alerts": channel(names.alerts, "Every change of every alert; compacted.", "alert"),
        "changes": channel(
            names.changes,
            "Deploys, rollbacks, flags, prompts, settings and routes, told when they take effect.",
            "change",
            "changeEvent",
        ),
        "feedback": channel(names.feedback, reserved),
    }


def _messages() -> dict[str, Any]:
    span = {"$ref": "./span.v1.json"}
    trace = _key("The trace id, so that a run stays in one partition. Optional.")
    return {
        "span": {"title": "One native span", "contentType": "application/json",
                 "payload": _schema(span)} | trace,
        "spans": {"title": "An array of native spans", "contentType": "application/json",
                  "payload": _schema({"type": "array", "minItems": 1, "items": span})} | trace,
        "foreignSpans": {
            "title": "Spans in another format",
            "description": "Native spans one a line; OTLP as protobuf or JSON; spans of Sentry, "
            "OpenAI Agents, Jaeger and Zipkin. Told apart by their bytes.",
            "contentType": "application/octet-stream",
        },
        "deadLetter": {
            "title": "A refused record",
            "description": "The value is a redacted envelope (JSON): format, size, keyed hash, "
            "known names, reason and coordinates; no content. With dlq.keep_original, key, value "
            "and headers (each behind `dlq.header.`) are the record's own, the value cut at 256 "
            "KiB.",
            "contentType": "application/octet-stream",
            "headers": _headers(_LETTER, _LETTER_OPTIONAL),
        } | _key("The key of the refused record if it is a trace id, else its keyed hash."),
        "notice": {"title": "A shard has new data", "contentType": "application/json",
                   "payload": _schema(dict(_NOTICE))},
        "change": {
            "title": "A change to a running service",
            "description": "As `tocsin change` sends it. An array of them is read, too.",
            "contentType": "application/json",
            "payload": _schema({"$ref": "./change.v1.json"}),
        } | _key("The service. Optional."),
        "changeEvent": {
            "title": "A CDEvent, or a CloudEvent around one or around a change",
            "description": "service.*, deployment.* and environment.* events, and custom ones on "
            "flags, prompts, configuration and routes; CloudEvents 1.0 in the structured, batched "
            "or binary mode. Other CDEvents are ignored.",
            "contentType": "application/cloudevents+json",
        },
        "alert": {
            "title": "An alert has changed",
            "description": "A CloudEvent in Kafka's binary mode.",
            "contentType": "application/json",
            "headers": _headers(_ALERT, {}),
            "payload": _schema({"$ref": "./alert.v1.json"}),
        } | _key("The alert's fingerprint."),
    }  # fmt: skip


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"schemaFormat": _JSON_SCHEMA, "schema": dict(schema)}


def _headers(required: Mapping[str, Any], optional: Mapping[str, Any]) -> dict[str, Any]:
    properties = dict(required) | dict(optional)
    return {"type": "object", "required": list(required), "properties": properties}


def _key(description: str) -> dict[str, Any]:
    key = {"type": "string", "description": description}
    return {"bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}}}


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


class _Plain(yaml.SafeDumper):
    """Without anchors: what is shared in Python is written out in full."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
