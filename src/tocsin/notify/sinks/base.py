"""The interface of a sink."""

from collections.abc import Sequence
from typing import Protocol

from tocsin.flow.alerts.contract import AlertEvent


class SinkUnavailable(Exception):  # noqa: N818 - a condition to wait out, not a fault
    """The sink did not take the events now; the bridge tries again."""


class Sink(Protocol):
    """Takes events in order. One may come again after a crash, with the same id."""

    @property
    def name(self) -> str:
        """For logs and metrics."""

    async def deliver(self, events: Sequence[AlertEvent]) -> None:
        """Take them all. Raises SinkUnavailable if it may help to try again."""

    async def close(self) -> None:
        """Flush and release what it holds."""
