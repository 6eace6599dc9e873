"""What every test shares: a broker and a Redis, names of its own, and settings of no one else.

Tests are marked by the folder they are in, and run fast ones first. A test may be `async def`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from progress import SILENCE_S, open_terminal, told_when_long
from servers import Kafka, Redis, Source, Unavailable, kafka_source, redis_source

_ORDER = ("unit", "contract", "golden", "e2e", "quality", "bench")
_SOURCES: dict[str, Source] = {}
_SESSION = secrets.token_hex(3)  # two sessions may share a named broker

# Laws are checked on the same cases each time: 40 by `make test`, 10 by `make quick`.
# `make fuzz` and TOCSIN_FUZZ=1 look for new ones, 1,000 a law.
# No deadline: what else the machine does says nothing about a law.
_TESTS = hypothesis_settings(deadline=None, derandomize=True, print_blob=True, max_examples=40)
hypothesis_settings.register_profile("tests", _TESTS)
hypothesis_settings.register_profile("quick", _TESTS, max_examples=10)
hypothesis_settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=1000)
hypothesis_settings.load_profile("fuzz" if os.environ.get("TOCSIN_FUZZ") == "1" else "tests")


def pytest_configure() -> None:
    """Plan the servers, and forget the settings of whoever runs the tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:  # of several workers one always has news
        open_terminal()
    kept = ("TOCSIN_TEST_", "TOCSIN_REQUIRE_", "TOCSIN_FUZZ")
    for name in [n for n in os.environ if n.startswith("TOCSIN_") and not n.startswith(kept)]:
        del os.environ[name]
    _SOURCES.update(kafka=kafka_source(), redis=redis_source())


def pytest_report_header() -> list[str]:
    """Say which broker and Redis would serve; they start when a test first asks."""
    try:
        return [f"{name}: {source.plan()}" for name, source in _SOURCES.items()]
    except Unavailable as reason:
        raise pytest.UsageError(str(reason)) from None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which did serve, and why no better one."""
    for name, source in _SOURCES.items():
        if source.server is not None:
            passed = f" ({'; '.join(source.refused)})" if source.refused else ""
            terminalreporter.write_line(f"{name} served: {source.server.name}{passed}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder and put the fast folders first."""
    here = Path(__file__).parent
    folder = {item: item.path.relative_to(here).parts[0] for item in items}
    for item in items:
        item.add_marker(folder[item])
    items.sort(key=lambda item: _ORDER.index(folder[item]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Name a test that is silent for long."""
    note = f"{item.name}: {SILENCE_S:.0f} s so far; some end-to-end tests take a minute"
    with told_when_long(note):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{n: pyfuncitem.funcargs[n] for n in names}))
    return True


def pytest_runtest_teardown() -> None:
    """Give the next test the servers that this one stopped or killed."""
    for source in _SOURCES.values():
        if source.server is not None:
            source.server.revive()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Give the broker of this session: `.bootstrap`, `.name`, `.real`, `.restart()` and so on."""
    yield _SOURCES["kafka"].start()
    _SOURCES["kafka"].close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """Give the Redis of this session: `.url`, `.name`, `.restart()` and so on."""
    yield _SOURCES["redis"].start()
    _SOURCES["redis"].close()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a name no other test has: the prefix of its topics, groups and Redis keys.

    Keys under it are gone after the test; topics stay until the broker stops.
    """
    name: str = f"t{_SESSION}-{secrets.token_hex(3)}"
    yield name
    server: Redis | None = _SOURCES["redis"].server
    if server is not None:
        server.revive()
        with redis.Redis.from_url(server.url) as client:
            for keys in _batches(client, name):
                client.unlink(*keys)


def _batches(client: redis.Redis, name: str) -> Iterator[list[bytes | str]]:
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=f"{name}*", count=1000)
        if keys:
            yield keys
        if cursor == 0:
            return
