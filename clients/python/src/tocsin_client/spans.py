"""Units of work under way: what `Publisher.run` gives, and what is begun from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from uuid import uuid4

from tocsin_client.kinds import Kind

if TYPE_CHECKING:
    from tocsin_client.publisher import Publisher

_S = TypeVar("_S", bound="Span")


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
