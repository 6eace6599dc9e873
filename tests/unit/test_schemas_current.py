"""The published schemas say what the models say, and what we publish obeys them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tocsin import schemas
from tocsin.flow.alerts.contract import AlertEvent, AlertReason
from tocsin.flow.detect.load_rules import SHIPPED

FOLDER = Path(__file__).parents[2] / "schemas"
NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)
NAME = st.text(max_size=20)

EVENTS = st.builds(
    AlertEvent,
    alert_id=NAME,
    fingerprint=NAME,
    sequence=st.integers(0, 99),
    status=st.sampled_from(("firing", "acknowledged", "suppressed", "resolved", "expired")),
    previous=st.none() | st.just("firing"),
    reason=st.sampled_from(AlertReason),
    severity=st.sampled_from(("info", "warning", "critical")),
    dims=st.dictionaries(NAME, NAME, max_size=3),
    at=st.integers(0, 4_000_000_000_000),
    window_s=st.integers(0, 3_600),
    detected_after_s=st.floats(0, 1e6),
    duration_s=st.none() | st.floats(0, 1e6),
    observed=NUMBER,
    expected=NUMBER,
    bound=NUMBER,
    p=NUMBER,
    score=st.floats(allow_nan=False, allow_infinity=False),
    cost_burnt_usd=NUMBER,
    traces=st.tuples(NAME, NAME),
)


def test_the_published_schemas_are_current() -> None:
    assert schemas.check(FOLDER) == [], "run `tocsin schemas` and commit what it writes"


def test_what_is_written_is_current_and_writing_again_changes_nothing(tmp_path: Path) -> None:
    assert sorted(schemas.check(tmp_path)) == [
        "alert.v1.json", "change.v1.json", "rule.v1.json", "span.v1.json",
    ]  # fmt: skip
    assert len(schemas.write(tmp_path)) == 4
    assert schemas.check(tmp_path) == []
    assert schemas.write(tmp_path) == []


@pytest.mark.parametrize("name", list(schemas.documents()))
def test_a_schema_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schemas.documents()[name]))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_rules_obey_the_rule_schema(path: Path) -> None:
    validator = Draft202012Validator(json.loads(schemas.documents()["rule.v1.json"]))
    rule = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert [error.message for error in validator.iter_errors(rule)] == []


@given(EVENTS)
def test_an_event_obeys_its_schema_and_survives_the_topic(event: AlertEvent) -> None:
    raw = event.encode()
    validator = Draft202012Validator(json.loads(schemas.documents()["alert.v1.json"]))
    assert [error.message for error in validator.iter_errors(json.loads(raw))] == []
    assert AlertEvent.decode(raw) == event
    assert AlertEvent.decode(raw).encode() == raw


@given(EVENTS)
def test_headers_are_cloudevents_in_binary_mode(event: AlertEvent) -> None:
    headers = dict(event.headers())
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"].decode() == event.id
    assert headers["ce_type"].decode() == f"com.tocsin.alert.{event.status}"
    assert headers["ce_partitionkey"].decode() == event.fingerprint
    assert headers["content-type"] == b"application/json"
    assert headers["ce_time"].endswith(b"Z")
    assert all(headers[key] for key in ("ce_source", "ce_type", "ce_time"))


@given(st.binary(max_size=40))
def test_what_is_no_event_is_refused_in_one_sentence(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not an alert event, v1"):
        AlertEvent.decode(raw)


@given(EVENTS)
def test_fields_of_a_later_minor_version_are_ignored(event: AlertEvent) -> None:
    later = {**json.loads(event.encode()), "added_later": {"x": 1}}
    assert AlertEvent.decode(json.dumps(later).encode()) == event
