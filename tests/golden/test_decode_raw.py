"""Traces of real frameworks, from the files their tools wrote, against a table made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from golden.tables import read_table
from tocsin.flow.decode import convert
from tocsin.flow.decode.semantics import SPAN_TABLE
from unit.decode_samples import decode_values

RAW = Path(__file__).parent / "decode" / "raw"
_COLUMNS = ("kind", "model", "input_tokens", "output_tokens", "tool", "agent")
_KEY = 5  # digits of an id in the table
#: Trace -> first digits of the span's id -> its cells.
TABLE = {
    trace: {cells[0]: [cell.replace("_", " ") for cell in cells] for cells in rows}
    for trace, rows in read_table(RAW / "expected.txt").items()
}
FILES = {path.name.split(".")[0]: path for path in sorted(RAW.glob("*.json"))}


def _cells(row: dict[str, Any], digits: str) -> list[str]:
    values = ["-" if row[name] is None else str(row[name]) for name in _COLUMNS]
    cells = [digits, *values, "error" if row["error"] else "ok"]
    return [cell.replace("_", " ") for cell in cells]


def test_every_trace_has_a_table() -> None:
    assert FILES.keys() == TABLE.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_trace_is_read_as_its_attributes_say(name: str) -> None:
    decoded = decode_values(FILES[name].read_bytes())
    assert decoded.rejects == ()
    found = {}
    for row in decoded.spans.to_dicts():
        own = row["span_id"]
        digits = str(int(own, 16)) if name.startswith("any-agent") else own
        found[digits[:_KEY]] = _cells(row, digits[:_KEY])
    assert found == TABLE[name]


def _texts(value: Any) -> Iterator[str]:
    """All text in a JSON value, at any depth, and in JSON inside text."""
    if isinstance(value, str):
        yield value
        if value[:1] in {"{", "["}:
            try:
                yield from _texts(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _named(value: Any) -> Iterator[str]:
    """The text that attributes give as names, and what the exports have in their place."""
    names = {"name", "model", "service.name", "ls_provider", "id", "traceId"}
    if isinstance(value, dict):
        for key, item in value.items():
            targets = SPAN_TABLE.get(key, ())
            if key in names or any(t.convert is not convert.content for t in targets):
                yield from _texts(item)
            else:
                yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, str) and value[:1] == "{":
        try:
            yield from _named(json.loads(value))
        except ValueError:
            return


@pytest.mark.parametrize("name", FILES)
def test_no_content_of_a_trace_is_left(name: str) -> None:
    message = json.loads(FILES[name].read_bytes())
    names = set(_named(message))
    contents = {
        text
        for text in set(_texts(message)) - names
        if len(text) > 20 and not any(text in name for name in names)
    }
    frame = decode_values(FILES[name].read_bytes()).spans
    cells = {
        str(cell) for column in frame.get_columns() if column.dtype == pl.String for cell in column
    }
    assert contents
    assert not [text for text in contents for cell in cells if text in cell]
