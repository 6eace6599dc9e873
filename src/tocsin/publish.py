"""A client for services without OpenTelemetry: says what an agent does, as native spans.

    async with Publisher("kafka:9092", service="shop", env="prod") as publisher:
        async with publisher.run(agent="planner", route="refund") as run:
            async with run.tool("search", arguments={"q": question}) as call:
                call.result(await search(question))
            async with run.llm("gpt-5", provider="openai") as call:
                answer = await ask(question)
                call.usage(input_tokens=answer.tokens_in, output_tokens=answer.tokens_out)

A span is published when its block ends. Tool arguments and results become keyed fingerprints
in this process and are dropped; no method takes a prompt or an answer. What goes wrong here
never reaches the caller: a span that cannot be sent is counted (`Publisher.counts`) and
logged under `tocsin.publish`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeVar
from uuid import uuid4

import msgspec
from pydantic import BaseModel, ValidationError

from tocsin.bus.base import Bus, Producer, TopicMissing
from tocsin.bus.kafka import KafkaBus
from tocsin.config import Config, UserError, load
from tocsin.flow.decode.contract import SpanV1
from tocsin.flow.decode.fingerprint import fingerprint
from tocsin.flow.decode.limits import RefusedError
from tocsin.types import Kind

__all__ = ["Counts", "ModelCall", "Publisher", "Span", "ToolCall"]

_LOG = logging.getLogger("tocsin.publish")
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0
_LEAST_S = 0.1  # what a close takes at most beyond its bound
_S = TypeVar("_S", bound="Span")
_IDS: Final = frozenset({"trace_id", "span_id", "parent_id"})  # cut, they would name another
#: Producers that outlive `close` because the broker is away; they end by themselves.
_LEAVING: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class Counts:
    """What became of the spans. Once closed, they add up to all spans that ended."""

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
        self._common = {"service": service, "env": env, "release": release}
        self._close_timeout_s, self._size = close_timeout_s, buffer
        self._waiting: deque[tuple[bytes, bytes]] = deque()
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
        if self._closing or len(self._waiting) + len(self._under_way) >= self._size:
            self.counts.dropped += 1
            self._say_once("spans are dropped: the buffer is full, or the publisher closed")
            return
        self._waiting.append((span.trace_id.encode(), value))
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
                await self._require_topic()
                await producer.start()
            except UserError as error:
                self._say_once(f"spans wait for the broker: {error}")
            else:
                return producer
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RETRY_MOST_S)

    async def _require_topic(self) -> None:
        """Raise TopicMissing. To ask the broker by sending could create the topic."""
        admin = self._bus.admin()
        try:
            if not (await admin.describe([self._topic]))[self._topic]:
                raise TopicMissing(f"the topic {self._topic} does not exist.")
        finally:
            await admin.close()

    async def _send(self, producer: Producer, key: bytes, value: bytes) -> None:
        await (await producer.send(self._topic, key=key, value=value))

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


class Span:
    """A unit of work under way, published when its `async with` block ends, however it ends.

    An exception makes it an error, of the exception's class; its message goes nowhere. What
    is begun from a span is part of it and has its agent, workflow, route and stage.
    """

    def __init__(
        self,
        publisher: Publisher,
        trace_id: str,
        parent_id: str | None,
        kind: Kind,
        names: dict[str, str | None],
        **fields: Any,
    ) -> None:
        self.trace_id, self.span_id = trace_id, uuid4().hex[:16]
        self._publisher, self._names = publisher, names
        self._fields: dict[str, Any] = {"parent_id": parent_id, "kind": kind.value} | fields
        self._began_ns, self._ended = publisher.now_ns(), False

    async def __aenter__(self) -> Self:
        self._began_ns = self._publisher.now_ns()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: object
    ) -> None:
        if kind is not None and "status" not in self._fields:
            self.fail(kind.__name__, timeout=issubclass(kind, TimeoutError))
        self.end()

    def fail(self, error_class: str, *, timeout: bool = False) -> None:
        """Say that it went wrong, where no exception says so: `quota`, `bad_json`."""
        status = "timeout" if timeout else "error"
        self._fields |= {"status": status, "error_class": error_class}

    def tool(self, name: str, *, arguments: object = None) -> ToolCall:
        """Begin a tool call. `arguments` (any JSON, dataclass or model) is hashed, not kept."""
        hashed = None if arguments is None else self._publisher.fingerprint(arguments)
        return self._begin(ToolCall, Kind.TOOL, tool=name, args_hash=hashed)

    def llm(
        self,
        model: str,
        *,
        provider: str | None = None,
        prompt_name: str | None = None,
        prompt_version: str | None = None,
        kind: Literal[Kind.LLM, Kind.EMBEDDING, Kind.RERANK] = Kind.LLM,
    ) -> ModelCall:
        """Begin a model call; `model` is the one asked for."""
        return self._begin(
            ModelCall, kind, model_requested=model, provider=provider,
            prompt_name=prompt_name, prompt_version=prompt_version,
        )  # fmt: skip

    def agent(self, name: str) -> Span:
        """Begin the work of another agent within this one."""
        return self._begin(Span, Kind.AGENT, {"agent": name})

    def step(self, stage: str) -> Span:
        """Begin a stage of the run: plan, retrieve, act, verify ..."""
        return self._begin(Span, Kind.STEP, {"stage": stage})

    def handoff(self, to: str) -> None:
        """Say that control passes to the agent `to`, now."""
        origin = self._names.get("agent")
        self._begin(Span, Kind.HANDOFF, handoff_from=origin, handoff_to=to).end()

    def score(self, name: str, value: float) -> None:
        """Say how an evaluation came out."""
        self._begin(Span, Kind.EVALUATOR, score_name=name, score=value).end()

    def _begin(
        self, what: type[_S], kind: Kind, names: dict[str, str | None] | None = None, **fields: Any
    ) -> _S:
        names = self._names | (names or {})
        return what(self._publisher, self.trace_id, self.span_id, kind, names, **fields)

    def end(self) -> None:
        """Publish it, as the end of its block does; for work that no block surrounds. Once."""
        if self._ended:
            return
        self._ended = True
        ended_ns = max(self._began_ns, self._publisher.now_ns())  # a clock may be set back
        ids = {"trace_id": self.trace_id, "span_id": self.span_id}
        times = {"start_time": self._began_ns, "end_time": ended_ns}
        self._publisher.publish(self._names | self._fields | ids | times)


class ToolCall(Span):
    """A tool call under way."""

    def result(self, content: object) -> None:
        """Note what the tool gave, as a fingerprint: equal results show as equal."""
        if content is not None:
            self._fields["result_hash"] = self._publisher.fingerprint(content)


class ModelCall(Span):
    """A model call under way."""

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        cost_usd: float | None = None,
        ttft_ms: float | None = None,
        finish_reason: str | None = None,
        model: str | None = None,
    ) -> None:
        """Note what the call used. Input includes cached tokens, output reasoning.

        `model` is the one that answered. Without `cost_usd` list prices apply.
        """
        self._fields |= {
            "input_tokens": input_tokens, "output_tokens": output_tokens,
            "cache_read_tokens": cache_read_tokens, "cache_write_tokens": cache_write_tokens,
            "reasoning_tokens": reasoning_tokens, "cost_usd": cost_usd, "ttft_ms": ttft_ms,
            "finish_reason": finish_reason, "model": model,
        }  # fmt: skip


def _left(leaving: asyncio.Task[None]) -> None:
    _LEAVING.discard(leaving)
    if not leaving.cancelled() and (error := leaving.exception()) is not None:
        _LOG.info("tocsin: left a broker that did not answer: %r", error)


def _wrong(error: ValidationError | UnicodeEncodeError) -> str:
    """What is wrong with a span: names of fields, never their values."""
    if isinstance(error, UnicodeEncodeError):
        return "a text is not Unicode"
    fields = {str(item["loc"][0]) for item in error.errors(include_input=False) if item["loc"]}
    return ", ".join(sorted(fields)) or "its times"


def _as_plain(value: object) -> object:
    """What msgspec does not know: pydantic models. Anything else has no form that is stable."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)
