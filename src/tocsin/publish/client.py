"""The publisher: takes spans and changes, sends them in the background, and counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import uuid4

import msgspec
from pydantic import BaseModel, ValidationError

from tocsin.bus.base import Bus, Producer, TopicMissing
from tocsin.bus.kafka import KafkaBus
from tocsin.config import Config, UserError, load
from tocsin.flow.decode.changes import ChangeV1
from tocsin.flow.decode.contract import SpanV1
from tocsin.flow.decode.fingerprint import fingerprint
from tocsin.flow.decode.limits import RefusedError
from tocsin.publish.spans import Span
from tocsin.types import ChangeKind, Kind

_LOG = logging.getLogger("tocsin.publish")
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0
_LEAST_S = 0.1  # what a close takes at most beyond its bound
_IDS: Final = frozenset({"trace_id", "span_id", "parent_id"})  # cut, they would name another
#: Producers that outlive `close` because the broker is away; they end by themselves.
_LEAVING: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class Counts:
    """What became of spans and changes. Once closed, they add up to all that were told."""

    published: int = 0  # acknowledged by the broker
    dropped: int = 0  # the buffer was full, the broker refused, or time ran out at close
    invalid: int = 0  # against the contract: a negative count, a name that is no text ...


class Publisher:
    """Publishes spans in the background. Enter it once; leaving it flushes, within a bound."""

    def __init__(
        self,
        bootstrap: str | None = None,
        *,
        service: str,
        env: str | None = None,
        release: str | None = None,
        topic: str | None = None,
        config: Config | None = None,
        bus: Bus | None = None,
        buffer: int = 10_000,
        close_timeout_s: float = 5.0,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Connects to nothing yet; raises UserError only for settings that cannot be right.

        What is not given comes from `config`, by default TOCSIN_* and its file: TLS, SASL,
        the topic and the fingerprint key. The key must be the one ingest has if other services
        leave fingerprinting to it. At most `buffer` spans wait for the broker.
        """
        if config is not None and bootstrap is not None:
            raise UserError("Give bootstrap or config, not both; config has kafka.bootstrap.")
        flags: dict[str, Any] = {"kafka": {"bootstrap": bootstrap}} if bootstrap else {}
        self._config = config if config is not None else load(**flags)
        self._bus: Bus = bus if bus is not None else KafkaBus(self._config.kafka)
        self._topic = topic or self._config.topics.spans
        self._changes = self._config.topics.changes
        self._common = {"service": service, "env": env, "release": release}
        self._close_timeout_s, self._size = close_timeout_s, buffer
        self._waiting: deque[tuple[str, bytes, bytes]] = deque()  # topic, key, value
        self._known: set[str] = set()  # topics that are there
        self._arrived = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._producer: Producer | None = None
        self._closing = False
        self._said: set[str] = set()
        self.counts = Counts()
        self.now_ns = now_ns

    async def __aenter__(self) -> Self:
        if self._config.has_dev_key:
            self._say_once("fingerprint_key is not set: anyone can compute these fingerprints")
        self._pump = asyncio.create_task(self._run())
        self._pump.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def run(
        self,
        *,
        agent: str | None = None,
        workflow: str | None = None,
        route: str | None = None,
        trace_id: str | None = None,
        parent_id: str | None = None,
    ) -> Span:
        """A run: one trace, whose root is an agent (or, without one, a workflow).

        Give `trace_id`, and `parent_id`, to go on with a run that began elsewhere.
        """
        kind = Kind.WORKFLOW if agent is None else Kind.AGENT
        names = {"agent": agent, "workflow": workflow, "route": route}
        return Span(self, trace_id or uuid4().hex, parent_id, kind, names)

    def fingerprint(self, content: object) -> str | None:
        """The fingerprint ingest would make of `content`; None if it has no form as JSON."""
        try:
            text = msgspec.json.encode(content, enc_hook=_as_plain, order="deterministic")
            key, depth = self._config.fingerprint_bytes, self._config.limits.max_depth
            return fingerprint(text, key, depth)
        except (RefusedError, TypeError, ValueError, OverflowError, RecursionError):
            self._say_once("tool content without a JSON form has no fingerprint: no loop is seen")
            return None

    def publish(self, fields: dict[str, Any]) -> None:
        """Take a finished span (fields of SpanV1) for sending. Never blocks, never raises."""
        limit = self._config.limits.max_string
        given = {
            name: value for name, value in (self._common | fields).items() if value is not None
        }
        cut = {
            name: value[:limit] if isinstance(value, str) and name not in _IDS else value
            for name, value in given.items()
        }
        try:
            span = SpanV1(**cut)
            value = msgspec.json.encode(span.model_dump(exclude_unset=True))
        except (ValidationError, UnicodeEncodeError) as error:
            self.counts.invalid += 1
            self._say_once(f"a span is against the contract and is left out: {_wrong(error)}")
            return
        self._enqueue(self._topic, span.trace_id.encode(), value)

    def change(
        self,
        kind: ChangeKind | str,
        *,
        name: str | None = None,
        version: str | None = None,
        variant: str | None = None,
        service: str | None = None,
        env: str | None = None,
        at: int | str | None = None,
    ) -> None:
        """Tell of a change that takes effect now, or at `at`; fields of ChangeV1.

            publisher.change("deploy", version="1.4.2")
            publisher.change("flag", name="new-planner", variant="on")

        Never blocks, never raises.
        """
        around = {"service": self._common["service"], "env": self._common["env"]}
        fields = {
            "kind": kind, "name": name, "version": version, "variant": variant,
            "at": self.now_ns() if at is None else at, "source": "tocsin.publish",
        }  # fmt: skip
        told = around | fields | {"service": service or around["service"]}
        told |= {"env": env} if env else {}
        try:
            change = ChangeV1(**{k: v for k, v in told.items() if v is not None})
            value = change.model_dump_json(exclude_none=True).encode()
        except (ValidationError, UnicodeEncodeError) as error:
            self.counts.invalid += 1
            self._say_once(f"a change is against the contract and is left out: {_wrong(error)}")
            return
        self._enqueue(self._changes, change.service.encode(), value)

    def _enqueue(self, topic: str, key: bytes, value: bytes) -> None:
        if self._closing or len(self._waiting) + len(self._under_way) >= self._size:
            self.counts.dropped += 1
            self._say_once("spans are dropped: the buffer is full, or the publisher closed")
            return
        self._waiting.append((topic, key, value))
        self._arrived.set()

    async def close(self) -> None:
        """Send what waits, for at most `close_timeout_s`; the rest counts as dropped."""
        if self._pump is None:
            return
        pump, self._pump, self._closing = self._pump, None, True
        self._arrived.set()
        deadline = asyncio.get_running_loop().time() + self._close_timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                if self._waiting:
                    await asyncio.wait({pump})
                if self._under_way:
                    await asyncio.wait(set(self._under_way))
        except TimeoutError:
            self._say_once("spans are dropped: the broker did not take them before the close")
        finally:
            for task in (pump, *self._under_way):
                task.cancel()
            self.counts.dropped += len(self._waiting)
            self._waiting.clear()
            leaving = self._leave()
        await asyncio.wait({pump, *self._under_way})
        if leaving is not None:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({leaving}, timeout=max(_LEAST_S, left))

    def _leave(self) -> asyncio.Task[None] | None:
        """Begin to disconnect. With the broker away that takes longer than anyone waits."""
        if self._producer is None:
            return None
        leaving = asyncio.create_task(self._producer.stop())
        _LEAVING.add(leaving)
        leaving.add_done_callback(_left)
        return leaving

    async def _run(self) -> None:
        """Connect, however long it takes, then send in order what arrives."""
        producer = self._producer = await self._connect()
        while self._waiting or not self._closing:
            while self._waiting:
                task = asyncio.create_task(self._send(producer, *self._waiting.popleft()))
                self._under_way.add(task)
                task.add_done_callback(self._settle)
            self._arrived.clear()
            if not self._closing:
                await self._arrived.wait()

    async def _connect(self) -> Producer:
        pause = _RETRY_FIRST_S
        while True:
            producer = self._bus.producer()
            try:
                await self._require_topic(self._topic)
                await producer.start()
            except UserError as error:
                self._say_once(f"spans wait for the broker: {error}")
            else:
                return producer
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RETRY_MOST_S)

    async def _require_topic(self, topic: str) -> None:
        """Raise TopicMissing. To ask the broker by sending could create the topic."""
        admin = self._bus.admin()
        try:
            if not (await admin.describe([topic]))[topic]:
                raise TopicMissing(f"the topic {topic} does not exist.")
        finally:
            await admin.close()
        self._known.add(topic)

    async def _send(self, producer: Producer, topic: str, key: bytes, value: bytes) -> None:
        if topic not in self._known:  # the topic of changes; that it is missing stops no span
            await self._require_topic(topic)
        await (await producer.send(topic, key=key, value=value))

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is None:
            self.counts.published += 1
            return
        self.counts.dropped += 1
        if not task.cancelled():
            self._say_once(f"spans are dropped: the broker refused ({task.exception()!r})")

    def _ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            _LOG.error("tocsin: publishing has stopped", exc_info=error)

    def _say_once(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            _LOG.warning("tocsin: %s", what)


def _left(leaving: asyncio.Task[None]) -> None:
    _LEAVING.discard(leaving)
    if not leaving.cancelled() and (error := leaving.exception()) is not None:
        _LOG.info("tocsin: left a broker that did not answer: %r", error)


def _wrong(error: ValidationError | UnicodeEncodeError) -> str:
    """What is wrong with a span or change: names of fields, never their values."""
    if isinstance(error, UnicodeEncodeError):
        return "a text is not Unicode"
    fields = {str(item["loc"][0]) for item in error.errors(include_input=False) if item["loc"]}
    return ", ".join(sorted(fields)) or "its times"


def _as_plain(value: object) -> object:
    """What msgspec does not know: pydantic models. Anything else has no form that is stable."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)
