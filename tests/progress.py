"""Lines for whoever waits: past pytest's capture, onto the terminal it was started from."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: After this silence a line says what is going on.
SILENCE_S = 10.0
_terminal: int | None = None


def open_terminal() -> None:
    """Keep standard error as it is now. Call it while nothing is captured."""
    global _terminal  # noqa: PLW0603 - there is one terminal a process
    _terminal = os.dup(2)


def tell(line: str) -> None:
    """Write a line of its own; nothing where no terminal was opened."""
    if _terminal is not None:
        os.write(_terminal, f"\n[{line}]\n".encode())


@contextmanager
def told_when_long(what: str, after_s: float = SILENCE_S) -> Iterator[None]:
    """Tell `what`, once, if the body takes longer than `after_s` seconds."""
    timer = threading.Timer(after_s, tell, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
