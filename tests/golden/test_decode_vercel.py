"""What the real Vercel AI SDK puts on the bus, alone and under Sentry, read as it was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from golden.tables import read_table
from unit.decode_samples import decode_values

HERE = Path(__file__).parent / "vercel"
MESSAGES = sorted(path.name.removesuffix(".binpb") for path in HERE.glob("*.binpb"))
_COLUMNS = (
    "kind", "model", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens",
    "tool", "agent", "finish_reason",
)  # fmt: skip
_DIGITS = 5  # of an id in the table
#: Message -> the cells of its spans.
TABLE = read_table(HERE / "expected.txt")
#: Of what the customer, the model and the order system said.
SAID = ("Where is order", "left the warehouse", "try again", "order_id", "A-1", "S-13")


def _value(message: str) -> bytes:
    return (HERE / f"{message}.binpb").read_bytes()


def _spans(message: str) -> list[dict[str, Any]]:
    """The decoded spans in the order sent, which is that of their end.

    Not by `end_ns`: each span of the JavaScript SDK has a clock of its own, anchored to the
    millisecond it began in, so a run can end microseconds before its last call.
    """
    decoded = decode_values(_value(message))
    assert decoded.rejects == ()
    return decoded.spans.to_dicts()


def _tools(message: str) -> list[dict[str, Any]]:
    return [span for span in _spans(message) if span["kind"] == "tool"]


def test_every_message_has_a_table() -> None:
    assert sorted(TABLE) == MESSAGES


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_read_as_its_attributes_say(message: str) -> None:
    found = [
        [span["span_id"][:_DIGITS], *("-" if span[c] is None else str(span[c]) for c in _COLUMNS)]
        for span in _spans(message)
    ]
    assert found == TABLE[message]


@pytest.mark.parametrize("message", MESSAGES)
def test_every_span_is_of_its_service_and_no_failure(message: str) -> None:
    for span in _spans(message):
        # Sentry alone calls every service `node`, and its own version the service's.
        assert (span["env"], span["service"], span["release"]) == ("prod", "ai-agent", "1.4.0")
        assert not span["error"]
        assert span["provider"] == ("openai" if span["kind"] != "tool" else None)
        assert span["model_requested"] == ("gpt-5-mini" if span["kind"] != "tool" else None)


@pytest.mark.parametrize("message", MESSAGES)
def test_spans_of_a_run_hang_together(message: str) -> None:
    spans = _spans(message)
    (root,) = [span for span in spans if span["parent_id"] is None]
    assert root["kind"] == "agent"
    assert {span["trace_id"] for span in spans} == {root["trace_id"]}
    assert {span["parent_id"] for span in spans} == {None, root["span_id"]}


@pytest.mark.parametrize("entry", ["opentelemetry", "sentry"])
def test_equal_calls_have_equal_fingerprints_and_others_do_not(entry: str) -> None:
    (answer,) = _tools(f"{entry}.answer")
    *looped, last = _tools(f"{entry}.loop")
    assert len(looped) == 3
    assert len({span["args_hash"] for span in looped}) == 1
    assert len({span["result_hash"] for span in looped}) == 1
    assert last["args_hash"] == looped[0]["args_hash"] != answer["args_hash"]
    assert last["result_hash"] != looped[0]["result_hash"]
    hashes = {span[column] for span in (answer, last) for column in ("args_hash", "result_hash")}
    assert len(hashes) == 4
    assert None not in hashes


def test_sentry_changes_no_fingerprint() -> None:
    for run in ("answer", "loop"):
        alone, under_sentry = _tools(f"opentelemetry.{run}"), _tools(f"sentry.{run}")
        for column in ("args_hash", "result_hash"):
            assert [s[column] for s in alone] == [s[column] for s in under_sentry]


@pytest.mark.parametrize("message", MESSAGES)
def test_nothing_that_was_said_is_left(message: str) -> None:
    assert sum(said.encode() in _value(message) for said in SAID) >= len(SAID) - 2
    cells = [str(cell) for span in _spans(message) for cell in span.values()]
    assert not [cell for cell in cells for said in SAID if said in cell]
