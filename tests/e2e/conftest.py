"""A pipeline of its own for each end-to-end test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Kafka, Redis
from world import World


@pytest.fixture
def world(kafka: Kafka, redis_server: Redis, tmp_path: Path, prefix: str) -> Iterator[World]:
    """Give topics and keys that no other test has; ends its processes, and audits their books.

    Whatever a test was about: no span that was read may be missing, or be there twice.
    """
    world = World(kafka.bootstrap, redis_server.url, tmp_path, name=prefix)
    topics = world.run("topics")
    assert topics.returncode == 0, topics.stderr
    yield world
    world.stop()
    if world.ingested:
        asyncio.run(world.check_conservation())
