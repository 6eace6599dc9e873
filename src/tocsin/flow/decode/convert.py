"""Attribute values to canonical ones: text that should be a number, seconds and milliseconds.

Every converter gives None for what it cannot read ("take the first present and valid"); a
number that reads well and cannot be is refused later, on the column.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tocsin.flow.decode.canonical import KINDS, PROVIDERS
from tocsin.flow.decode.instant import UNREADABLE, instant_ns
from tocsin.flow.decode.limits import RefusedError
from tocsin.flow.decode.span_v1 import MAX_MS, MAX_TOKENS, MAX_USD
from tocsin.types import NANO, Kind, Reason

Convert = Callable[[Any], Any]

#: Vercel's `ai.model.provider` is `<package>.<api>`: what the package serves.
_VERCEL_PROVIDERS = {
    "amazon-bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "google": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
}
_VERCEL_APIS = frozenset({"chat", "completion", "embedding", "image", "messages", "responses"})
_VERCEL_KINDS = {
    "ai.toolCall": Kind.TOOL,
    # The outer span of a call may loop over tools and repeats the usage of its inner ones.
    "ai.generateText": Kind.AGENT,
    "ai.streamText": Kind.AGENT,
    "ai.generateObject": Kind.AGENT,
    "ai.streamObject": Kind.AGENT,
    "ai.embed": Kind.STEP,
    "ai.embedMany": Kind.STEP,
    "ai.rerank": Kind.STEP,
    "doGenerate": Kind.LLM,
    "doStream": Kind.LLM,
    "doEmbed": Kind.EMBEDDING,
    "doRerank": Kind.RERANK,
}
_LANGGRAPH_ENDS = frozenset({"__start__", "__end__"})
_ERROR_NAME = re.compile(r"([A-Z][A-Za-z]{0,60}(?:Error|Exception|Timeout))(?=[(:]|$)")
_NO_AGENT = "OpenAI Agent"
_NO_MODEL = frozenset({"unknown", "none", "null", "n/a"})
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_SENTRY_AI = {
    "ai.chat_completions.": Kind.LLM,
    "ai.messages.": Kind.LLM,
    "ai.responses.": Kind.LLM,
    "ai.text_generation.": Kind.LLM,
    "ai.run.dogenerate": Kind.LLM,
    "ai.run.dostream": Kind.LLM,
    "ai.embeddings.": Kind.EMBEDDING,
    "ai.run.doembed": Kind.EMBEDDING,
    "ai.tool": Kind.TOOL,
    "ai.agent": Kind.AGENT,
    "ai.pipeline.": Kind.AGENT,
}
_SENTRY_TYPES = {"agent": Kind.AGENT, "ai_client": Kind.LLM, "tool": Kind.TOOL}
_LANGFUSE_TYPES = {"generation": Kind.LLM, "chain": Kind.STEP, "retriever": Kind.RETRIEVAL}
_TASK_KINDS = {"workflow": Kind.WORKFLOW, "task": Kind.STEP, "agent": Kind.AGENT, "tool": Kind.TOOL}


def text(value: Any) -> str | None:
    """A name. Numbers and flags are no names."""
    return value.strip() or None if isinstance(value, str) else None


def agent(value: Any) -> str | None:
    """An agent's name. OpenTelemetry's openai-agents writes `OpenAI Agent` where it has none."""
    name = text(value)
    return None if name == _NO_AGENT else name


def label(value: Any) -> str | None:
    """A name that may be written as a number: a version, a status code."""
    return str(value) if type(value) is int else text(value)


def model(value: Any) -> str | None:
    """A model's name. Traceloop writes `unknown` where it knows none."""
    name = text(value)
    return None if name is None or name.lower() in _NO_MODEL else name


def member(*names: str) -> Convert:
    """One name out of a JSON object of which nothing else is wanted: the first there is."""
    return _first(text, names)


def counted(*names: str) -> Convert:
    """A count out of a JSON object of counts. Raises RefusedError, as `count`."""
    return _first(count, names)


def paid(*names: str) -> Convert:
    """Nano-USD out of a JSON object of costs. Raises RefusedError, as `usd`."""
    return _first(usd, names)


def _first(read: Convert, names: Sequence[str]) -> Convert:
    def convert(value: Any) -> Any:
        return next((v for v in map(read, _members(value, names)) if v is not None), None)

    return convert


def _members(value: Any, names: Sequence[str]) -> list[Any]:
    """What the object, or the JSON of one, has by these names; a dot leads into an object."""
    if isinstance(value, str):
        try:
            value = _decode_object(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return []
    found = []
    for name in names:
        at = value
        for part in name.split("."):
            at = at.get(part) if isinstance(at, dict) else None
        if at is not None:
            found.append(at)
    return found


def moment(value: Any) -> int | None:
    """Nanoseconds since the epoch from ISO 8601, which Langfuse quotes once more."""
    if not isinstance(value, str):
        return None
    at = instant_ns(value.strip('"'))
    return None if at == UNREADABLE else at


def http_error(value: Any) -> str | None:
    """A status of HTTP that names a class of error. (Text on Zipkin.)"""
    status = number(value)
    return str(int(status)) if status is not None and 400 <= status < 600 else None


def error_name(value: Any) -> str | None:
    """The class of an error whose text begins with it: `TimeoutError('...')`. Never more of it."""
    named = _ERROR_NAME.match(value) if isinstance(value, str) else None
    return named[1] if named else None


def is_error_level(value: Any) -> bool:
    return isinstance(value, str) and value == "ERROR"


def is_chain(value: Any) -> bool | None:
    return True if isinstance(value, str) and value.lower() == "chain" else None


def present(value: Any) -> bool | None:
    return True if value else None


def flag(value: Any) -> bool | None:
    """A boolean, also as text."""
    return value if isinstance(value, bool) else value == "true" if isinstance(value, str) else None


def number(value: Any) -> float | None:
    """A finite number, also from text; Vercel writes NaN for "the provider did not say"."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**63 and math.isfinite(value) else None


def count(value: Any) -> int | None:
    """Tokens. Sentry and Zipkin write them as doubles or text."""
    if type(value) is not int:
        read = number(value)
        if read is None:
            return None
        value = int(read)
    return int(_checked(value, MAX_TOKENS))


def usd(value: Any) -> int | None:
    """Nano-USD from USD."""
    read = number(value)
    return None if read is None else round(_checked(read, MAX_USD) * NANO)


def seconds(value: Any) -> int | None:
    """A duration in ns from seconds."""
    read = number(value)
    return None if read is None else round(_checked(read, MAX_MS / 1_000) * NANO)


def millis(value: Any) -> int | None:
    """A duration in ns from milliseconds."""
    read = number(value)
    return None if read is None else round(_checked(read, MAX_MS) * (NANO // 1_000))


def _checked(value: float, most: float) -> float:
    if not 0 <= value <= most:
        raise RefusedError(Reason.BAD_VALUE)
    return value


def finish_reason(value: Any) -> str | None:
    """The first of the finish reasons: an array, one name, or an array as JSON text."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return None
    if isinstance(value, list):
        value = value[0] if value else None
    return text(value)


def provider(value: Any) -> str | None:
    """Who serves the model. Frameworks write their own name here, which is no provider."""
    name = (text(value) or "").lower()
    if name.rpartition(".")[2] in _VERCEL_APIS:  # it writes `openai.responses` here as well
        return vercel_provider(name)
    return name if name and PROVIDERS.get(name, name) else None


def vercel_provider(value: Any) -> str | None:
    """The package in `<package>.<api>`, by the name OTel has for what it serves."""
    package, _, api = (text(value) or "").lower().partition(".")
    if api.startswith("vertex"):
        package = "vertex"
    name = _VERCEL_PROVIDERS.get(package, package)
    return name if name and PROVIDERS.get(name, name) else None


def operation(value: Any) -> str | None:
    """A kind from an operation's name, also as Sentry spells it (`gen_ai.chat`)."""
    name = (text(value) or "").lower().removeprefix("gen_ai.")
    return KINDS.get(name) or _sentry_ai(name)


def _sentry_ai(name: str) -> str | None:
    """Sentry's operations before `gen_ai.*`: `ai.chat_completions.create.openai`."""
    if not name.startswith("ai."):
        return None
    return next((kind for prefix, kind in _SENTRY_AI.items() if name.startswith(prefix)), None)


def sentry_type(value: Any) -> str | None:
    return _SENTRY_TYPES.get(value, KINDS.get(value)) if isinstance(value, str) else None


def task_kind(value: Any) -> str | None:
    """Traceloop's span kinds, where a task is a step."""
    return _TASK_KINDS.get(value, KINDS.get(value)) if isinstance(value, str) else None


def langfuse_type(value: Any) -> str | None:
    """Langfuse's observation types; spans and events are of no kind."""
    name = (text(value) or "").lower()
    return None if name in {"span", "event"} else _LANGFUSE_TYPES.get(name, KINDS.get(name))


def vercel_kind(value: Any) -> str | None:
    """`ai.streamText.doStream my-function`: the operation id, then the caller's own name."""
    identifier = (text(value) or "").split(" ", 1)[0]
    if not identifier.startswith("ai."):
        return None
    return _VERCEL_KINDS.get(identifier) or _VERCEL_KINDS.get(identifier.rpartition(".")[2])


def mcp_method(value: Any) -> str | None:
    return Kind.TOOL.value if value == "tools/call" else None


def always(kind: Kind) -> Convert:
    """The presence of the attribute says what the span is, whatever its value."""

    def convert(value: Any) -> str | None:
        return None if value is None or value == "" else kind.value

    return convert


def node(value: Any) -> str | None:
    """A node of LangGraph that is gone to: a name, or the first of several. Its end is none."""
    name = finish_reason(value)
    return None if name in _LANGGRAPH_ENDS else name


def goto(value: Any) -> str | None:
    return Kind.HANDOFF.value if node(value) else None


def content(value: Any) -> Any:
    """Tool content as it stands. Its only way on is through the fingerprint."""
    return value
