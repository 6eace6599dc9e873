"""Records of the changes topic to changes: deploys, rollbacks, flags, prompts, settings, routes.

A record is one of these, by its headers and keys:

- a plain change, `ChangeV1`, or an array of them: what `tocsin change` and a script send;
- a CDEvent (`cdevents.py`);
- a CloudEvent 1.0 around either, in the structured, batched or binary mode of the Kafka binding.

JSON in Confluent's framing is read, too.

Other CDEvents (builds, tests, tickets) share such topics and are no changes: they are ignored,
not refused. Only the fields named here are read, and a name that holds content is
redacted as in spans (`redact.py`), so none goes further.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tocsin.flow.decode import cdevents
from tocsin.flow.decode.cdevents import Around, epoch_ms, is_foreign, text_of
from tocsin.flow.decode.confluent import is_framed, unframed
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED, refusal
from tocsin.flow.decode.redact import REDACTED, WORDS, is_private
from tocsin.flow.decode.span_v1 import Instant
from tocsin.types import EVERY, NANO, Change, ChangeKind, Reason, Record, Reject

_MS: Final = NANO // 1_000
_STRUCTURED = b"application/cloudevents"  # and `-batch`, and what follows
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ChangeV1(BaseModel):
    """A change to a running service, sent when it takes effect. Key the message by service."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, title="Tocsin change, v1", coerce_numbers_to_str=True
    )

    kind: ChangeKind
    service: str = Field(EVERY, description="`*` or absent: every service of the environment.")
    env: str = Field("default", description="Deployment environment; `*`: every one.")
    name: str | None = Field(
        None, description="The flag, prompt, setting or route. Absent: the service."
    )
    version: str | None = Field(None, description="What it is from now on.")
    variant: str | None = Field(None, description="The same, as flags call it.")
    at: Instant | None = Field(
        None,
        description="When it took effect: nanoseconds since the epoch, or ISO 8601 (no zone: "
        "UTC). Absent: the time of the event or record around it.",
    )
    source: str | None = Field(None, description="Who says so: a pipeline, a person's tool.")


@dataclass(frozen=True, slots=True)
class Changes:
    """A batch after decode. Each item of each record is a change, a reject, or ignored."""

    changes: tuple[Change, ...]
    rejects: tuple[Reject, ...]
    ignored: int  # events that are no change to a running service


def decode_changes(
    records: Sequence[Record], limits: Limits, max_future_ms: int = 600_000
) -> Changes:
    """Read a batch, in record order. Never raises on what a record holds.

    A change that takes effect more than `max_future_ms` after its record was written is refused.
    """
    changes: list[Change] = []
    rejects: list[Reject] = []
    ignored = 0
    for row, record in enumerate(records):
        try:
            items = _items(record, limits)
        except RefusedError as error:
            rejects.append(Reject(row, error.reason, error.detail))
            continue
        for item, read in enumerate(items):
            try:
                change = read()
            except RefusedError as error:
                rejects.append(_reject(row, item, items, error.reason, error.detail))
                continue
            if change is None:
                ignored += 1
            elif change.at_ms > record.timestamp + max_future_ms:
                rejects.append(_reject(row, item, items, Reason.FUTURE, "at"))
            else:
                changes.append(_clean(change, limits, record.timestamp))
    return Changes(tuple(changes), tuple(rejects), ignored)


def _reject(row: int, item: int, items: Sequence[object], reason: Reason, detail: str) -> Reject:
    return Reject(row, reason, detail, item if len(items) > 1 else None)


def _items(record: Record, limits: Limits) -> list[Callable[[], Change | None]]:
    """How to read each event of a record. Raises RefusedError."""
    value = record.value
    if not value:
        raise RefusedError(Reason.EMPTY)
    if len(value) > limits.max_bytes:
        raise RefusedError(Reason.TOO_LARGE)
    headers = {name.lower(): text for name, text in record.headers if text}
    content_type = headers.get("content-type", b"").lower()
    tree = _json(unframed(value) if is_framed(value) else value)
    around = Around(at=record.timestamp * _MS)
    if "ce_type" in headers and not content_type.startswith(_STRUCTURED):
        attributes = {
            name.removeprefix("ce_"): text.decode(errors="replace")
            for name, text in headers.items()
            if name.startswith("ce_")
        }
        return [partial(_event, attributes, tree, around)]
    several = tree if isinstance(tree, list) else [tree]
    if len(several) > limits.max_spans:
        raise RefusedError(Reason.TOO_MANY_SPANS)
    if not several:
        raise RefusedError(Reason.EMPTY)
    enveloped = content_type.startswith(_STRUCTURED)
    return [partial(_any, item, around, enveloped=enveloped) for item in several]


def _any(tree: Any, around: Around, *, enveloped: bool) -> Change | None:
    """One event of whatever form."""
    if not isinstance(tree, dict):
        raise RefusedError(Reason.WRONG_TYPE)
    if enveloped or ("specversion" in tree and "context" not in tree):
        return _event(tree, _data(tree), around)
    return _payload(tree, around)


def _event(attributes: Mapping[str, Any], data: Any, around: Around) -> Change | None:
    """A CloudEvent: what its attributes say counts where the payload says nothing."""
    kind, time = attributes.get("type"), attributes.get("time")
    if not kind:
        raise RefusedError(Reason.MISSING_FIELD, "type")
    if not isinstance(kind, str):
        raise RefusedError(Reason.WRONG_TYPE, "type")
    around = Around(time or around.at, text_of(attributes.get("source")), kind)
    if not isinstance(data, dict):
        if is_foreign(kind):
            return None
        raise RefusedError(Reason.WRONG_TYPE, "data")
    return _payload(data, around)


def _payload(tree: Mapping[str, Any], around: Around) -> Change | None:
    context, subject = tree.get("context"), tree.get("subject")
    if isinstance(context, dict) and isinstance(subject, dict):
        return cdevents.read(context, subject, around)
    if "kind" in tree:
        return _plain(tree, around)
    if is_foreign(around.type):
        return None
    raise RefusedError(Reason.UNKNOWN_FORMAT)


def _plain(tree: Mapping[str, Any], around: Around) -> Change:
    try:
        change = ChangeV1.model_validate(tree)
    except ValidationError as error:
        raise _refused(error) from None
    service = change.service or EVERY
    return Change(
        at_ms=epoch_ms(around.at if change.at is None else change.at, "at"),
        kind=change.kind.value,
        env=change.env,
        service=service,
        name=change.name or service,
        value=change.version or change.variant or "",
        source=change.source or around.source,
    )


def _refused(error: ValidationError) -> RefusedError:
    """Why pydantic refused, without the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    field, kind = str(first["loc"][0]) if first["loc"] else "", first["type"]
    if kind == "missing":
        return RefusedError(Reason.MISSING_FIELD, field)
    return RefusedError(Reason.WRONG_TYPE if kind.endswith("_type") else Reason.BAD_VALUE, field)


def _json(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except MALFORMED as error:
        raise RefusedError(refusal(error).reason) from None


def _data(tree: Mapping[str, Any]) -> Any:
    """The payload of a structured CloudEvent; JSON may be in base64."""
    packed = tree.get("data_base64")
    if not isinstance(packed, str):
        return tree.get("data")
    try:
        return _json(base64.b64decode(packed, validate=True))
    except (binascii.Error, ValueError):
        raise RefusedError(Reason.BAD_VALUE, "data_base64") from None


def _clean(change: Change, limits: Limits, reported_ms: int) -> Change:
    """Names as spans have them: no content, no control characters, not too long, never empty."""

    def name(text: str, words: int = WORDS["service"]) -> str:
        text = _CONTROL.sub("", text)[: 2 * limits.max_string]
        return REDACTED if is_private(text, words) else text[: limits.max_string]

    service = name(change.service) or EVERY
    return Change(
        at_ms=change.at_ms,
        kind=change.kind,
        env=name(change.env, WORDS["env"]) or "default",
        service=service,
        name=name(change.name) or service,
        value=name(change.value),
        source=name(change.source.partition("?")[0], WORDS["release"]),
        reported_ms=reported_ms,
    )
