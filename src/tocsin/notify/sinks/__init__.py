"""Sinks: where the bridge delivers alerts. A module and a line of the table for each."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tocsin.errors import UserError
from tocsin.notify.sinks.base import Sink
from tocsin.notify.sinks.file import FileSink
from tocsin.notify.sinks.stdout import StdoutSink

#: How a user names a sink -> what opens it, given what stands after the colon.
SINKS: Final[Mapping[str, Callable[[str], Sink]]] = {
    "stdout": lambda _: StdoutSink(),
    "json": lambda _: StdoutSink(as_json=True),
    "file:PATH": lambda path: FileSink(Path(path)),
}


def open_sink(text: str) -> Sink:
    """The sink a user names: `stdout`, `json` or `file:PATH`. Raises UserError."""
    kind, _, rest = text.partition(":")
    for usage, opened in SINKS.items():
        name, _, argument = usage.partition(":")
        if name == kind and bool(argument) == bool(rest):
            return opened(rest)
    *others, last = SINKS
    raise UserError(f"There is no outlet {text!r}; use {', '.join(others)} or {last}.")
