"""Alerts appended to a file, one JSON event a line, on disk before they count as delivered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tocsin.errors import UserError
from tocsin.flow.alert import AlertEvent
from tocsin.sinks.base import SinkUnavailable


class FileSink:
    """Opens the file at the start, so that a wrong path is said at once. Raises UserError."""

    name = "file"

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("ab")
        except OSError as error:
            raise UserError(
                f"Cannot write alerts to {path} ({error.strerror}); give a writable path."
            ) from None

    async def deliver(self, events: Sequence[AlertEvent]) -> None:
        await asyncio.to_thread(self._append, b"".join(e.encode() + b"\n" for e in events))

    def _append(self, lines: bytes) -> None:
        try:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SinkUnavailable(f"cannot append to {self._file.name}: {error}") from error

    async def close(self) -> None:
        self._file.close()
