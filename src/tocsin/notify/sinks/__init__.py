"""Where alerts leave Tocsin: one file an outlet."""

from __future__ import annotations

from pathlib import Path

from tocsin.errors import UserError
from tocsin.notify.sinks.base import Sink
from tocsin.notify.sinks.file import FileSink
from tocsin.notify.sinks.stdout import StdoutSink


def open_sink(text: str) -> Sink:
    """The outlet a user names: `stdout`, `json` or `file:PATH`. Raises UserError."""
    kind, _, rest = text.partition(":")
    if kind in ("stdout", "json") and not rest:
        return StdoutSink(as_json=kind == "json")
    if kind == "file" and rest:
        return FileSink(Path(rest))
    raise UserError(f"There is no outlet {text!r}; use stdout, json or file:PATH.")
