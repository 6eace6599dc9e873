"""The books are kept in the same step as the counters, so they always add up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tocsin.store.base import Store
from tocsin.store.memory import MemoryStore
from tocsin.store.redis import RedisStore
from tocsin.types import Fence, Position, ShardFlush


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, prefix: str) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(shards=2)
    else:
        yield RedisStore(request.getfixturevalue("redis_server").url, prefix, shards=2)


def flush(first: int, end: int, *account: tuple[int, str, int]) -> ShardFlush:
    return ShardFlush(1, (Fence(3, first, end, None, None),), 4, (), (), (), account)


async def test_a_refused_flush_leaves_the_books_alone_and_an_applied_one_adds(
    store: Store,
) -> None:
    await store.initialise(1, {3: Position(0, None, None, 0)})
    for first, end in ((0, 5), (0, 5), (9, 12), (5, 9)):
        rows = ((3, "aggregated", end - first - 1), (3, "late", 1))
        await store.merge([flush(first, end, *rows)])
    assert await store.account(1) == {(3, "aggregated"): 7, (3, "late"): 2}
    assert await store.account(0) == {}
    await store.close()
