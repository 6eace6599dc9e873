"""A pipeline of its own for each end-to-end test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Kafka, Redis
from world import World


@pytest.fixture
def world(kafka: Kafka, redis_server: Redis, tmp_path: Path, prefix: str) -> Iterator[World]:
    """Give topics and keys that no other test has; ends its processes."""
    world = World(kafka.bootstrap, redis_server.url, tmp_path, name=prefix)
    topics = world.run("topics")
    assert topics.returncode == 0, topics.stderr
    yield world
    world.stop()
