"""A consumer's rebalance callbacks: running them, what may be read, and their failure."""

import asyncio

from tocsin.bus.base import OnRebalance


class Rebalances:
    """Runs `on_revoked` and `on_assigned`.

    aiokafka logs an exception of a callback and carries on, with partitions whose state was
    never looked up. Here it is kept, nothing is read any more, and the next poll raises it.
    """

    def __init__(self, on_revoked: OnRebalance, on_assigned: OnRebalance) -> None:
        self._on_revoked, self._on_assigned = on_revoked, on_assigned
        self._failure: BaseException | None = None
        #: Partitions whose on_assigned was called and whose on_revoked was not.
        self._given: frozenset[int] = frozenset()
        #: Partitions whose on_assigned has returned: only these may be read.
        self.ready: frozenset[int] = frozenset()
        self.changed = asyncio.Event()

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Stop reading at once, then call on_revoked with those of them that were given."""
        self.ready -= partitions
        self.changed.set()
        given = self._given & partitions
        self._given -= partitions
        if given:
            await self._run(self._on_revoked, given)

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Call on_assigned, then allow reading."""
        self._given |= partitions
        if partitions:
            await self._run(self._on_assigned, partitions)
        if self._failure is None:
            self.ready |= partitions & self._given
        self.changed.set()

    def check(self) -> None:
        """Raise what a callback raised."""
        if self._failure is not None:
            raise self._failure

    async def _run(self, callback: OnRebalance, partitions: frozenset[int]) -> None:
        async def call() -> None:
            await callback(partitions)

        task = asyncio.create_task(call(), name="rebalance-callback")
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self.ready = frozenset()
