"""What pydantic-ai really emits, captured (`pydantic_ai_spans/capture.py`), is read right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tocsin.flow.decode import Limits, decode

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "deploy" / "examples" / "agent_service"
WITH_CONTENT = ("v2", "v5", "v6")
FORMATS = (*WITH_CONTENT, "v5-without-content")
CONTENT = (b"secret", b"A-1", b"state unknown", b"nobody may touch")


def captured(name: str) -> bytes:
    return (HERE / "pydantic_ai_spans" / f"{name}.otlp").read_bytes()


def read(value: bytes) -> pl.DataFrame:
    record = SimpleNamespace(
        topic="spans", partition=0, offset=0, timestamp=0, timestamp_type=0,
        key=None, value=value, headers=(),
    )  # fmt: skip
    decoded = decode([record], Limits(), b"key")
    assert decoded.rejects == ()
    return decoded.spans


@pytest.fixture(scope="module")
def exporter() -> ModuleType:
    """The example's exporter; it is a script to copy, not a package to import."""
    spec = importlib.util.spec_from_file_location("kafka_exporter", EXAMPLE / "kafka_exporter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FORMATS)
def test_each_span_gets_its_kind_agent_and_resource(name: str) -> None:
    spans = read(captured(name))
    assert spans["kind"].to_list() == [*["llm", "tool"] * 4, "agent"]
    assert set(spans["agent"]) == {"support"}
    assert set(spans["service"]) == {"support-desk"}
    assert set(spans["env"]) == {"prod"}
    assert set(spans["release"]) == {"1.4.0"}
    assert spans["trace_id"].n_unique() == 1


@pytest.mark.parametrize("name", FORMATS)
def test_tokens_are_counted_on_model_calls_and_never_on_the_run(name: str) -> None:
    spans = read(captured(name))
    calls = spans.filter(kind="llm")
    assert set(calls["model"]) == {"scripted-1"}
    assert calls["input_tokens"].min() > 0  # type: ignore[operator]
    assert calls["output_tokens"].min() > 0  # type: ignore[operator]
    assert spans.filter(pl.col("kind") != "llm")["input_tokens"].null_count() == 5


@pytest.mark.parametrize("name", WITH_CONTENT)
def test_the_same_call_has_the_same_fingerprints_though_its_call_id_differs(name: str) -> None:
    tools = read(captured(name)).filter(kind="tool")
    assert tools["tool"].to_list() == [*["lookup_order"] * 3, "escalate"]
    same = tools.filter(tool="lookup_order")
    assert same["args_hash"].null_count() == 0
    assert same["result_hash"].null_count() == 0
    assert same["args_hash"].n_unique() == 1
    assert same["result_hash"].n_unique() == 1


def test_fingerprints_do_not_depend_on_the_version_of_the_format() -> None:
    seen = {tuple(read(captured(name)).filter(kind="tool")["result_hash"]) for name in WITH_CONTENT}
    assert len(seen) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_tool_that_raises_is_an_error_by_the_class_of_its_exception(name: str) -> None:
    failed = read(captured(name)).filter(pl.col("error"))
    assert failed["kind"].to_list() == ["tool", "agent"]
    assert set(failed["error_class"]) == {"PermissionError"}


@pytest.mark.parametrize("name", FORMATS)
def test_no_content_survives_decoding(name: str) -> None:
    seen = repr(read(captured(name)).to_dicts()).encode()
    assert not [text for text in CONTENT if text in seen]


@pytest.mark.parametrize("name", WITH_CONTENT)
def test_the_examples_exporter_sends_no_content_and_loses_no_repetition(
    name: str, exporter: ModuleType
) -> None:
    request = ExportTraceServiceRequest.FromString(captured(name))
    assert [text for text in CONTENT if text in request.SerializeToString()]
    sent = exporter.without_content(request, b"key").SerializeToString()
    assert not [text for text in CONTENT if text in sent]
    before, after = read(captured(name)), read(sent)
    same = after.filter(tool="lookup_order")
    assert same["args_hash"].n_unique() == 1
    assert same["result_hash"].n_unique() == 1
    assert same["result_hash"].null_count() == 0
    hashes = ["args_hash", "result_hash"]
    assert after.drop(hashes).equals(before.drop(hashes)), "nothing else may be lost"
