"""Alerts on standard output: a line for people, or the event as JSON for machines."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from tocsin.errors import UserError
from tocsin.flow.alerts.contract import AlertEvent

_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_ENDED = ("resolved", "expired")


class StdoutSink:
    """One line an event. Colours only where a terminal shows them (NO_COLOR is obeyed)."""

    name = "stdout"

    def __init__(self, *, as_json: bool = False, console: Console | None = None) -> None:
        self._json = as_json
        self._console = console or Console(file=sys.stdout, soft_wrap=True, highlight=False)

    async def deliver(self, events: Sequence[AlertEvent]) -> None:
        """Print them all. Raises UserError when the pipe is closed (`tocsin bridge | head`)."""
        try:
            for event in events:
                if self._json:
                    self._console.file.write(event.encode().decode() + "\n")
                else:
                    self._console.print(line(event))
            self._console.file.flush()
        except BrokenPipeError:
            # Python flushes once more at exit, and would print a traceback there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._console.file.fileno())
            raise UserError(
                "Nothing reads standard output any more; choose --sink file:PATH to keep alerts."
            ) from None

    async def close(self) -> None:
        """Does nothing: standard output stays open."""


def line(event: AlertEvent) -> Text:
    """An event in one line: when, how bad, what, where, and why."""
    at = datetime.fromtimestamp(event.at / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    style = "green" if event.status in _ENDED else _STYLES[event.severity]
    text = Text(f"{at}Z  ", style="dim")
    text.append(f"{event.status.upper():<10}", style=style)
    text.append(f" {event.severity:<8} ", style=style)
    text.append(f"{event.rule:<20} {event.env}/{event.service}  ", style="bold")
    text.append(event.summary)
    return text
