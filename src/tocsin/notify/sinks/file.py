"""Alerts appended to a file, one JSON event a line, on disk before they count as delivered."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tocsin.errors import UserError
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.notify.sinks.base import SinkUnavailable


class FileSink:
    """Appends to one file, opened in the constructor. Raises UserError for a wrong path.

    A reader sees whole lines only: a write that a full disk cut short is truncated, and after
    a half line that a power cut left, the next line begins with a line break.
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        try:
            # Unbuffered: after a failed write nothing may linger and be written once more.
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise UserError(
                f"Cannot write alerts to {path} ({error.strerror}); give a writable path."
            ) from None
        self._torn = self._is_torn()

    async def deliver(self, events: Sequence[AlertEvent]) -> None:
        await asyncio.to_thread(self._append, b"".join(e.encode() + b"\n" for e in events))

    async def close(self) -> None:
        self._file.close()

    def _append(self, lines: bytes) -> None:
        left = memoryview(b"\n" + lines if self._torn else lines)
        start = os.fstat(self._file.fileno()).st_size
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # a pipe has no length; then the reader sees a torn line
                self._file.truncate(start)
            raise SinkUnavailable(f"cannot append to {self._file.name}: {error}") from error
        self._torn = False

    def _is_torn(self) -> bool:
        if not self._file.seekable() or not self._file.seek(0, os.SEEK_END):
            return False
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) != b"\n"
