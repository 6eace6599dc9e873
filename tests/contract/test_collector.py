"""The collector's configuration keeps what decode reads and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tocsin.config import Config
from tocsin.flow.decode import semantics
from tocsin.flow.decode.attributes import SPAN_FIELDS

FOLDER = Path(__file__).parents[2] / "deploy" / "otel-collector"
CONFIG: dict[str, Any] = yaml.safe_load((FOLDER / "config.yaml").read_text())
_NAMES = re.compile(r'"([^"]+)"')
_DEFAULT = re.compile(r"\$\{env:\w+:-(.*)\}")


def allowed() -> dict[str, list[str]]:
    """Context -> its statements that leave what may pass."""
    groups = CONFIG["processors"]["transform/allow"]["trace_statements"]
    return {group["context"]: group["statements"] for group in groups}


def kept(context: str) -> list[str]:
    """The names that `keep_keys` leaves at the attributes of a context."""
    start = f"keep_keys({context}.attributes,"
    (statement,) = [s for s in allowed()[context] if s.startswith(start)]
    return _NAMES.findall(statement)


@pytest.mark.parametrize(
    ("context", "table"),
    [
        ("span", semantics.SPAN_TABLE),
        ("spanevent", semantics.EVENT_TABLE),
        ("resource", semantics.RESOURCE_TABLE),
        ("scope", {}),
    ],
)
def test_what_is_kept_is_what_decode_reads(context: str, table: semantics.Table) -> None:
    """A name that is new in decode's tables belongs into deploy/otel-collector/config.yaml, too.

    All but JSON of which decode reads one name: the collector cannot leave the rest behind.
    """
    assert sorted(kept(context)) == sorted(table.keys() - semantics.PARTIAL)


def test_all_content_that_is_kept_is_hashed_first() -> None:
    hashed = set()
    for statement in CONFIG["processors"]["transform/fingerprint"]["trace_statements"]:
        if statement.startswith("set("):
            name = _NAMES.findall(statement)[0]
            own = f'span.attributes["{name}"]'
            digest = f'SHA256(Concat(["${{env:FINGERPRINT_KEY}}", {own}], ":"))'
            assert statement == f"set({own}, {digest}) where {own} != nil"
            hashed.add(name)
    assert hashed == semantics.CONTENT


def test_every_way_to_name_a_kind_saves_a_span_from_the_filter() -> None:
    (condition,) = CONFIG["processors"]["filter/genai"]["traces"]["span"]
    named = set(re.findall(r'span\.attributes\["([^"]+)"\]', condition))
    assert named >= set(SPAN_FIELDS["kind"])
    assert named <= set(semantics.SPAN_TABLE)


def test_a_statement_runs_where_its_attributes_are() -> None:
    """The collector runs a whole list in the innermost context that any of it names."""
    for context, statements in allowed().items():
        for statement in statements:
            assert re.findall(r"[(](\w+)\.", statement) == [context]
    for statement in CONFIG["processors"]["transform/fingerprint"]["trace_statements"]:
        assert set(re.findall(r"(\w+)\.attributes", statement)) == {"span"}


def test_privacy_fails_closed_and_in_order() -> None:
    for name, settings in CONFIG["processors"].items():
        if name.startswith(("filter", "transform")):
            assert settings["error_mode"] == "propagate"
    order = CONFIG["service"]["pipelines"]["traces"]["processors"]
    assert order == list(CONFIG["processors"])
    assert 'set(span.status.message, "")' in allowed()["span"]


def test_spans_go_to_the_topic_that_ingest_reads_keyed_by_trace() -> None:
    kafka = CONFIG["exporters"]["kafka"]
    (topic,) = _DEFAULT.findall(kafka["traces"]["topic"])
    assert topic == Config().topics.spans
    assert kafka["traces"]["encoding"] == "otlp_proto"
    assert kafka["partition_traces_by_id"] is True
    assert CONFIG["service"]["pipelines"]["traces"]["exporters"] == ["kafka"]


def test_every_variable_is_told_of() -> None:
    told = (FOLDER / "README.md").read_text()
    used = set(re.findall(r"\$\{env:(\w+)", (FOLDER / "config.yaml").read_text()))
    assert used
    assert not [name for name in used if f"| `{name}` |" not in told]
