"""What a test may ask of the broker and the Redis it is given, wherever they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from tocsin.embedded import Child


class Unavailable(Exception):  # noqa: N818 - a condition: the next source is tried
    """This source cannot serve here; the message says why in a few words."""


class Server(ABC):
    """A server on loopback. `start` raises Unavailable; all four block: use a thread in a loop."""

    name: str
    takes = "a second"  # until it serves, the first time

    @abstractmethod
    def start(self) -> None:
        """Start, or start again at the same address."""

    @abstractmethod
    def stop(self) -> None:
        """End it in order."""

    @abstractmethod
    def kill(self) -> None:
        """End it as a crash would."""

    @abstractmethod
    def revive(self) -> None:
        """Start it if a test left it stopped."""

    def restart(self) -> None:
        """Stop in order, then start."""
        self.stop()
        self.start()


class Kafka(Server):
    """A broker. `real` is Apache Kafka itself, which also outlives a restart with its topics."""

    bootstrap: str
    real: bool

    def __str__(self) -> str:
        return self.bootstrap


class Redis(Server):
    """A Redis. Ours keep nothing on disk: a restart is a loss of all state."""

    url: str


class Process(Server):
    """A server that is a child of this process."""

    def __init__(self, launch: Callable[[], Child]) -> None:
        self._launch = launch
        self._child: Child | None = None

    def start(self) -> None:
        if self._child is None:
            self._child = self._launch()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def revive(self) -> None:
        if self._child is not None and not self._child.alive:
            self.kill()
        self.start()


class Given(Server):
    """A server that was there before us, named in the environment: never ours to stop."""

    def start(self) -> None:
        pass

    def revive(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def kill(self) -> None:
        self.restart()

    def restart(self) -> None:
        msg = f"this test must restart {self.name}, which is not ours; run it without that setting"
        raise RuntimeError(msg)
