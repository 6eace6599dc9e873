"""What an outlet does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tocsin.flow.alerts.contract import AlertEvent


class SinkUnavailable(Exception):  # noqa: N818 - a condition to wait out, not a fault
    """The outlet did not take the events now; the bridge tries again."""


class Sink(Protocol):
    """Takes events in order. May see one again after a crash: ids tell."""

    @property
    def name(self) -> str:
        """For logs and metrics."""
        ...

    async def deliver(self, events: Sequence[AlertEvent]) -> None:
        """Take them all. Raises SinkUnavailable if it may help to try again."""
        ...

    async def close(self) -> None:
        """Flush and let go."""
        ...
