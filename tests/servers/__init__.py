"""Where Kafka and Redis come from in tests, first that serves: named, Docker, real, embedded.

TOCSIN_TEST_KAFKA=host:port and TOCSIN_TEST_REDIS=redis://... name servers that run already.
TOCSIN_REQUIRE_KAFKA=1 refuses to go on with anything but Apache Kafka itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from progress import tell
from servers.base import Given, Kafka, Redis, Unavailable
from servers.containers import DockerKafka, DockerRedis
from servers.embedded import ProcessRedis, TansuKafka
from servers.java import JavaKafka

__all__ = ["Kafka", "Redis", "Source", "Unavailable", "kafka_source", "redis_source"]


class GivenKafka(Given, Kafka):
    """The broker named by TOCSIN_TEST_KAFKA."""

    real = True

    def __init__(self) -> None:
        self.bootstrap = os.environ["TOCSIN_TEST_KAFKA"]
        self.name = self.plan()

    @staticmethod
    def plan() -> str:
        if address := os.environ.get("TOCSIN_TEST_KAFKA"):
            return f"{address} (TOCSIN_TEST_KAFKA)"
        msg = "TOCSIN_TEST_KAFKA is not set"
        raise Unavailable(msg)

    def close(self) -> None:
        pass


class GivenRedis(Given, Redis):
    """The Redis named by TOCSIN_TEST_REDIS."""

    def __init__(self) -> None:
        self.url = os.environ["TOCSIN_TEST_REDIS"]
        self.name = self.plan()

    @staticmethod
    def plan() -> str:
        if os.environ.get("TOCSIN_TEST_REDIS"):
            return "TOCSIN_TEST_REDIS"  # not the URL: it may carry a password
        msg = "TOCSIN_TEST_REDIS is not set"
        raise Unavailable(msg)

    def close(self) -> None:
        pass


class Source:
    """Candidates in order: says at once which would serve, starts one when a test first asks."""

    def __init__(self, candidates: Sequence[Any], *, must_be_real: bool = False) -> None:
        self._candidates = [c for c in candidates if not must_be_real or c.real]
        self._must_be_real = must_be_real
        #: Why each candidate before the one that serves did not.
        self.refused: list[str] = []
        self.server: Any = None

    def plan(self) -> str:
        """Name the candidate that would serve. Raises Unavailable if none would."""
        refused = []
        for candidate in self._candidates:
            try:
                name: str = candidate.plan()
            except Unavailable as reason:
                refused.append(str(reason))
            else:
                return name
        raise Unavailable(self._nothing(refused))

    def start(self) -> Any:
        """Start the first candidate that can. Raises Unavailable if none can."""
        for candidate in self._candidates:
            try:
                tell(f"starting {candidate.plan()}: {candidate.takes}")
                server = candidate()
                server.start()
            except Unavailable as reason:
                self.refused.append(str(reason))
            else:
                self.server = server
                return server
        raise Unavailable(self._nothing(self.refused))

    def _nothing(self, refused: Sequence[str]) -> str:
        wanted = "TOCSIN_REQUIRE_KAFKA=1, but no Apache Kafka" if self._must_be_real else "nothing"
        return f"{wanted} can serve here: {'; '.join(refused)}"

    def close(self) -> None:
        """Stop what was started."""
        if self.server is not None:
            self.server.close()


def kafka_source() -> Source:
    """Return the sources of a broker, in order of preference."""
    required = os.environ.get("TOCSIN_REQUIRE_KAFKA") == "1"
    return Source([GivenKafka, DockerKafka, JavaKafka, TansuKafka], must_be_real=required)


def redis_source() -> Source:
    """Return the sources of a Redis, in order of preference."""
    return Source([GivenRedis, DockerRedis, ProcessRedis])
