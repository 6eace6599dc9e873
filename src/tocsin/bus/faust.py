"""Faust assigns shards to watch workers: each is one partition of the flushes topic.

Of Faust only membership, assignment and supervision are used. Values stay raw bytes; there
are no tables and so no recovery phase; one agent with `concurrency=1` acks in order; an
exception stops the worker, where a restarted agent would skip the event that raised it.
The settings are for faust-streaming 0.15.3 and mode-streaming 0.7.1.
"""

import asyncio
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Faust's own, at import
    import faust
    import mode
    from faust.types import TP

from tocsin.bus.base import BrokerUnavailable
from tocsin.bus.kafka.connect import ssl_context
from tocsin.config import Config

#: How long leaving the group may take.
_STOP_S = 10.0


class ShardHolder(Protocol):
    """Receives assignments of shards, and a notice when a shard has news."""

    async def assigned(self, shards: frozenset[int]) -> None: ...
    async def revoked(self, shards: frozenset[int]) -> None: ...
    def notice(self, *shards: int) -> None: ...


def build_app(config: Config, holder: ShardHolder) -> faust.App:
    """The Faust app of one watch worker; nothing is connected yet."""
    kafka, name = config.kafka, config.topics.flushes
    app = faust.App(
        config.group("watch"),
        broker=[f"kafka://{address}" for address in kafka.bootstrap.split(",")],
        broker_credentials=_credentials(config),
        broker_session_timeout=kafka.session_timeout_s,
        broker_request_timeout=max(90.0, kafka.session_timeout_s + 1),
        broker_heartbeat_interval=min(3.0, kafka.session_timeout_s / 3),
        broker_max_poll_records=1_000,
        consumer_group_instance_id=kafka.instance_id,
        # A new owner ticks its shards without a notice, so old notices need no reading.
        consumer_auto_offset_reset="latest",
        agent_supervisor=mode.CrashingSupervisor,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        web_enabled=False,
        store="memory://",
        # Faust makes this folder whether it needs one or not; nothing is ever kept there.
        datadir=Path(tempfile.gettempdir()) / "tocsin-faust",
        autodiscover=False,
    )
    topic = app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
        internal=False,
    )  # fmt: skip

    @app.agent(topic, concurrency=1)
    async def on_notice(stream: Any) -> None:
        async for event in stream.events():
            holder.notice(event.message.partition)

    async def on_assigned(_app: Any, assigned: set[TP], **_: Any) -> None:
        await holder.assigned(_shards(assigned, name))

    async def on_revoked(_app: Any, revoked: set[TP], **_: Any) -> None:
        await holder.revoked(_shards(revoked, name))

    # Mode's type of a handler knows no argument between the sender and the keywords.
    app.on_partitions_assigned.connect(on_assigned, weak=False)  # type: ignore[arg-type]
    app.on_partitions_revoked.connect(on_revoked, weak=False)  # type: ignore[arg-type]
    return app


class FlushNotices:
    """Runs the app beside the other tasks of one loop."""

    def __init__(self, config: Config, holder: ShardHolder) -> None:
        self._config, self._app = config, build_app(config, holder)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises what crashed Faust, or BrokerUnavailable."""
        app = self._app
        app.finalize()
        # Faust's own command line does these two; here there is none.
        app.loop = asyncio.get_running_loop()
        try:
            await self._start()
            # Mode signals a crash by this event only.
            ends = [asyncio.create_task(wait()) for wait in (stop.wait, app._crashed.wait)]  # noqa: SLF001
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
            if app.crash_reason is not None:
                raise app.crash_reason
        finally:
            await self._stop()

    async def _start(self) -> None:
        kafka = self._config.kafka
        try:
            # A worker that was killed holds up the group until its session is over.
            async with asyncio.timeout(kafka.connect_timeout_s + 2 * kafka.session_timeout_s):
                await self._app.start()
        except TimeoutError:
            raise BrokerUnavailable(
                f"No broker at {kafka.bootstrap} admitted the watch worker in time; "
                "check kafka.bootstrap and that the broker runs."
            ) from None

    async def _stop(self) -> None:
        """Leave the group and end the consumer's thread.

        When the app crashed, its last commit is cut off in mid-flight, and mode then forgets
        to stop the thread: it would outlive the loop and hold its shards until the process ends.
        """
        # The property would make one.
        consumer: Any = self._app._consumer  # noqa: SLF001
        async with asyncio.timeout(_STOP_S):
            await self._app.stop()
            thread = None if consumer is None else consumer._thread  # noqa: SLF001
            if thread is not None and thread._thread is not None:  # noqa: SLF001
                with suppress(RuntimeError):  # its loop is closed: it has ended by itself
                    await thread.stop()


def _shards(partitions: set[TP], topic: str) -> frozenset[int]:
    return frozenset(tp.partition for tp in partitions if tp.topic == topic)


def _credentials(config: Config) -> Any:
    kafka = config.kafka
    context = ssl_context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
