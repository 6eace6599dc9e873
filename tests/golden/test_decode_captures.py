"""What real instrumentations export, against a table made by reading their attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from golden.tables import read_table
from unit.decode_samples import decode_values

HERE = Path(__file__).parent / "captures"
FILES = {path.name.split(".")[0]: path for path in sorted(HERE.glob("*.json"))}
_COLUMNS = (
    "kind", "provider", "model", "input_tokens", "output_tokens", "cache_read_tokens",
    "reasoning_tokens", "tool", "agent", "stage", "handoff_from", "handoff_to", "error_class",
)  # fmt: skip
_DIGITS = 5  # of an id in the table
#: Of what was said in the runs of the OpenAI agents; all others said MARK.
SAID = ("MARK", "warehouse", "was paid", "A-1", "B-1")

#: File -> the cells of its spans.
TABLE = read_table(HERE / "expected.txt")


def _spans(name: str) -> list[dict[str, Any]]:
    decoded = decode_values(FILES[name].read_bytes())
    assert decoded.rejects == ()
    return decoded.spans.to_dicts()


def test_every_file_has_a_table() -> None:
    assert sorted(TABLE) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_an_export_is_read_as_its_attributes_say(name: str) -> None:
    found = [
        [
            span["span_id"].removeprefix("span_")[:_DIGITS],
            *("-" if span[c] is None else str(span[c]) for c in _COLUMNS),
        ]
        for span in _spans(name)
    ]
    assert found == TABLE[name]


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_was_said_is_left(name: str) -> None:
    text = FILES[name].read_text()
    assert any(said in text for said in SAID)
    cells = [str(cell) for span in _spans(name) for cell in span.values()]
    assert not [cell for cell in cells for said in SAID if said in cell]


@pytest.mark.parametrize("name", ["openinference-openai", "traceloop-openai"])
def test_only_the_stream_has_a_first_token(name: str) -> None:
    _, stream, *_ = spans = _spans(name)
    assert [span["ttft_ns"] is not None for span in spans] == [span is stream for span in spans]
    assert 0 < stream["ttft_ns"] < stream["end_ns"] - stream["start_ns"]


@pytest.mark.parametrize(
    "name", ["openinference-langgraph", "traceloop-langgraph", "langsmith-langgraph"]
)
def test_one_run_of_a_graph_is_one_run(name: str) -> None:
    kinds = [span["kind"] for span in _spans(name)]
    assert sum(kind in {"agent", "workflow"} for kind in kinds) == 1
    (slow,) = [span for span in _spans(name) if span["error"]]
    assert slow["timeout"]


AGENTS = sorted(name for name in FILES if "openai-agents" in name)


@pytest.mark.parametrize("name", AGENTS)
def test_four_ways_to_trace_the_same_two_runs_agree(name: str) -> None:
    """On what each agent did; on who got the handoff, but for Traceloop, which does not say."""
    spans = _spans(name)
    calls = [(s["agent"], s["input_tokens"]) for s in spans if s["kind"] == "llm"]
    assert calls == [("triage", 120)] * 3 + [("billing", 120)] * 2
    tools = [(s["agent"], s["tool"]) for s in spans if s["kind"] == "tool"]
    assert tools == [("triage", "lookup_order"), ("billing", "find_invoice")]
    (handoff,) = [s for s in spans if s["kind"] == "handoff"]
    target = None if name.startswith("traceloop") else "billing"
    assert (handoff["handoff_from"], handoff["handoff_to"]) == ("triage", target)
    fingerprints = {s["tool"]: (s["args_hash"], s["result_hash"]) for s in spans if s["tool"]}
    first = {s["tool"]: (s["args_hash"], s["result_hash"]) for s in _spans(AGENTS[0]) if s["tool"]}
    assert fingerprints == first
