"""Changes in every form a pipeline tells them: read alike, without content, or refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cli.change import KINDS
from tocsin.flow.decode.changes import Changes, decode_changes
from tocsin.types import Change, ChangeKind, Reason
from unit.decode_samples import END_NS, LIMITS, Message

NOW_MS = END_NS // 1_000_000
SECRET = "a prompt nobody may see"
DEPLOY = {"kind": "deploy", "env": "prod", "service": "shop", "version": "1.4.2"}
#: The shape of `conformance/service_deployed.json` of the CDEvents specification, 0.4.
CDEVENT: dict[str, Any] = {
    "context": {
        "version": "0.4.1", "id": "271069a8-fc18-44f1-b38f-9d70a1695819",
        "chainId": "4c8cb7dd-3448-41de-8768-eec704e2829b", "source": "/ci/pipelines/7",
        "type": "dev.cdevents.service.deployed.0.2.0", "timestamp": "2025-10-09T08:50:00Z",
    },
    "subject": {
        "id": "service/shop", "source": "/ci/pipelines/7", "type": "service",
        "content": {
            "environment": {"id": "prod", "source": "/cluster"},
            "artifactId": "pkg:oci/shop@sha256%3A0b31b1c02ff4?tag=1.4.2",
        },
    },
    "customData": {"notes": SECRET},
}  # fmt: skip
CDEVENT_MS = 1_759_999_800_000


def cdevent(kind: str, **subject: Any) -> dict[str, Any]:
    context = CDEVENT["context"] | {"type": kind}
    return CDEVENT | {"context": context, "subject": CDEVENT["subject"] | subject}


def cloudevent(data: Any, **attributes: Any) -> dict[str, Any]:
    required = {
        "specversion": "1.0", "id": "1", "source": "/ci?token=hidden",
        "type": "dev.cdevents.service.deployed.0.2.0", "datacontenttype": "application/json",
    }  # fmt: skip
    return required | {"data": data} | attributes


def read(value: Any, *headers: tuple[str, bytes]) -> Changes:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return decode_changes([Message(raw, headers)], LIMITS)


def one(value: Any, *headers: tuple[str, bytes]) -> Change:
    decoded = read(value, *headers)
    assert (decoded.rejects, decoded.ignored) == ((), 0)
    (change,) = decoded.changes
    return change


def reason(value: Any, *headers: tuple[str, bytes]) -> tuple[Reason, str]:
    (reject,) = read(value, *headers).rejects
    return reject.reason, reject.detail


def test_a_plain_change_is_read() -> None:
    assert one(DEPLOY) == Change(NOW_MS, "deploy", "prod", "shop", "shop", "1.4.2", "")
    assert one({"kind": "flag", "env": "prod", "name": "planner", "variant": "on"}) == Change(
        NOW_MS, "flag", "prod", "*", "planner", "on", ""
    )
    assert one(DEPLOY | {"at": "2025-10-09T08:50:00Z"}).at_ms == CDEVENT_MS
    assert one(DEPLOY | {"at": CDEVENT_MS * 1_000_000}).at_ms == CDEVENT_MS
    assert one(DEPLOY | {"version": 7}).value == "7"


def test_a_cdevent_is_read_in_every_mode_of_cloudevents() -> None:
    told = Change(CDEVENT_MS, "deploy", "prod", "shop", "shop", "1.4.2", "/ci/pipelines/7")
    binary = [
        ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/ci"),
        ("ce_type", b"dev.cdevents.service.deployed.0.2.0"), ("content-type", b"application/json"),
    ]  # fmt: skip
    structured = ("content-type", b"application/cloudevents+json; charset=UTF-8")
    batch = ("content-type", b"application/cloudevents-batch+json")
    packed = base64.b64encode(json.dumps(CDEVENT).encode()).decode()
    in_base64 = {k: v for k, v in cloudevent(None).items() if k != "data"}
    assert one(CDEVENT) == told
    assert one(CDEVENT, *binary) == told
    assert one(cloudevent(CDEVENT), structured) == told
    assert one(cloudevent(CDEVENT)) == told
    assert one(in_base64 | {"data_base64": packed}, structured) == told
    assert read([cloudevent(CDEVENT)] * 2, batch).changes == (told, told)


def test_what_a_change_does_not_say_the_cloudevent_around_it_does() -> None:
    around = cloudevent(DEPLOY, type="com.example.deployed", time="2025-10-09T08:50:00Z")
    assert one(around) == Change(CDEVENT_MS, "deploy", "prod", "shop", "shop", "1.4.2", "/ci")
    headers = [("ce_type", b"x"), ("ce_time", b"2025-10-09T08:50:00Z"), ("ce_source", b"/ci")]
    assert one(DEPLOY, *headers) == one(around)


@pytest.mark.parametrize(
    ("event", "kind", "service", "name", "value"),
    [
        (cdevent("dev.cdevents.service.upgraded.0.3.0-draft"), "deploy", "shop", "shop", "1.4.2"),
        (cdevent("dev.cdevents.service.rolledback.0.2.0"), "rollback", "shop", "shop", "1.4.2"),
        (
            cdevent("dev.cdevents.service.removed.0.2.0", content={"environment": {"id": "prod"}}),
            "deploy", "shop", "shop", "removed",
        ),
        (cdevent("dev.cdevents.service.published.0.2.0"), "routing", "shop", "shop", "1.4.2"),
        (cdevent("dev.cdevents.deployment.finished.0.1.0", id="d-9"), "deploy", "shop", "shop",
         "1.4.2"),
        (
            cdevent("dev.cdevents.environment.modified.0.3.0", id="prod", content={"name": "P"}),
            "config", "*", "prod", "modified",
        ),
        (
            cdevent("dev.cdeventsx.flagd-featureflag.modified.0.1.0", id="planner", content={
                "environment": "prod", "service": {"id": "shop"}, "variant": "on", "value": SECRET,
            }),
            "flag", "shop", "planner", "on",
        ),
        (
            cdevent("dev.cdeventsx.acme-prompt.changed.0.1.0", id="refund",
                    content={"environment": "prod", "version": 7, "text": SECRET}),
            "prompt", "*", "refund", "7",
        ),
    ],
)  # fmt: skip
def test_every_event_that_changes_a_running_service_is_one(
    event: dict[str, Any], kind: str, service: str, name: str, value: str
) -> None:
    change = one(event)
    assert (change.kind, change.env) == (kind, "prod")
    assert (change.service, change.name, change.value) == (service, name, value)
    assert SECRET not in repr(change)


@pytest.mark.parametrize(
    "kind",
    ["dev.cdevents.build.finished.0.2.0", "dev.cdevents.incident.detected.0.2.0",
     "dev.cdeventsx.acme-coffee.brewed.0.1.0"],
)  # fmt: skip
def test_other_cdevents_are_ignored_and_no_fault(kind: str) -> None:
    for event in (cdevent(kind), cloudevent(cdevent(kind), type=kind)):
        decoded = read(event)
        assert (decoded.changes, decoded.rejects, decoded.ignored) == ((), (), 1)


def test_what_cannot_be_read_has_its_reason() -> None:
    for value, expected in [
        (None, (Reason.EMPTY, "")),
        (b"", (Reason.EMPTY, "")),
        (b"[]", (Reason.EMPTY, "")),
        (b"{", (Reason.BAD_JSON, "")),
        (b'{"kind": "\xff"}', (Reason.BAD_UTF8, "")),
        (b"[" * 100_000, (Reason.TOO_DEEP, "")),
        (b" " * (LIMITS.max_bytes + 1), (Reason.TOO_LARGE, "")),
        (b"[" + b"1," * LIMITS.max_spans + b"1]", (Reason.TOO_MANY_SPANS, "")),
        (b"7", (Reason.WRONG_TYPE, "")),
        ({"hello": 1}, (Reason.UNKNOWN_FORMAT, "")),
        ({"kind": "coffee"}, (Reason.BAD_VALUE, "kind")),
        (DEPLOY | {"service": ["shop"]}, (Reason.WRONG_TYPE, "service")),
        (DEPLOY | {"at": "yesterday"}, (Reason.BAD_VALUE, "at")),
        (DEPLOY | {"at": 17}, (Reason.BAD_VALUE, "at")),
        (DEPLOY | {"at": "2031-01-01"}, (Reason.FUTURE, "at")),
        (cdevent("dev.cdevents.service.deployed.0.2.0", id=""),
         (Reason.MISSING_FIELD, "subject.id")),
        (cdevent("com.example.deployed"), (Reason.UNKNOWN_FORMAT, "context.type")),
        (cloudevent(CDEVENT, type=None), (Reason.MISSING_FIELD, "type")),
        (cloudevent("text"), (Reason.WRONG_TYPE, "data")),
        (cloudevent(None, data_base64="%%"), (Reason.BAD_VALUE, "data_base64")),
    ]:  # fmt: skip
        assert reason(value) == expected, value


def test_one_bad_event_of_a_batch_spoils_no_other() -> None:
    decoded = read([DEPLOY, {"kind": "coffee"}, CDEVENT])
    assert [change.value for change in decoded.changes] == ["1.4.2", "1.4.2"]
    assert [(r.item, r.reason) for r in decoded.rejects] == [(1, Reason.BAD_VALUE)]


def test_names_are_cut_and_lose_their_control_characters() -> None:
    change = one(DEPLOY | {"service": "sh\u001fop", "version": "v-" * 999, "env": "\u0000"})
    assert (change.service, change.env, len(change.value)) == ("shop", "default", 200)


def test_a_name_that_holds_content_is_redacted_as_in_spans() -> None:
    change = one(DEPLOY | {"name": "ask bob@example.com", "version": "why did it fail again?"})
    assert (change.service, change.name, change.value) == ("shop", "_redacted", "_redacted")
    assert one(DEPLOY | {"source": "https://bob:secret@ci.example/7"}).source == "_redacted"
    digest = "sha256:" + "0123456789abcdef" * 4
    assert one(DEPLOY | {"version": digest}).value == digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "kind", "at", "type", "time", "data", "data_base64", "specversion", "context",
            "subject", "id", "content", "timestamp", "source", "environment", "service",
            "artifactId",
        ]) | st.text(max_size=5),
        inner, max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda tree: json.dumps(tree).encode()),
        st.dictionaries(st.sampled_from(sorted(DEPLOY | {"at": 1})), JSON).map(
            lambda more: json.dumps(DEPLOY | more).encode()
        ),
        st.fixed_dictionaries({"context": JSON, "subject": JSON}).map(
            lambda tree: json.dumps(CDEVENT | tree).encode()
        ),
    ),
    st.sampled_from([(), (("ce_type", b"dev.cdevents.service.deployed.1"),),
                     (("Content-Type", b"application/cloudevents+json"),)]),
)  # fmt: skip
def test_no_bytes_make_it_raise_and_each_event_has_an_outcome(
    value: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    decoded = read(value, *headers)
    assert len(decoded.changes) + len(decoded.rejects) + decoded.ignored > 0
    for change in decoded.changes:
        assert change.kind in set(ChangeKind)
        assert change.env
        assert change.service
        assert change.name


def test_the_command_line_knows_every_kind() -> None:
    assert set(KINDS) == {kind.value for kind in ChangeKind}
