"""What wire names mean: the tables, and which of several attributes gives a value.

The attributes of a span have a file of their own (`attributes.py`); here are those of resources
and events, and the fields of the formats that have no attributes. What is not named in a table
is not read, so content under an unknown name is not read.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tocsin.flow.decode import convert as c
from tocsin.flow.decode.attributes import SPAN_FIELDS, Fields
from tocsin.flow.decode.limits import RefusedError
from tocsin.types import Kind


class Target(NamedTuple):
    """Where an attribute's value goes, how good a source it is (0 is best), and how it is read."""

    field: str
    rank: int
    convert: c.Convert


RESOURCE_FIELDS: Fields = {
    "service": dict.fromkeys(("service.name", "openinference.project.name"), c.text),
    "env": dict.fromkeys(
        (
            "deployment.environment.name",
            "deployment.environment",
            "sentry.environment",
            "langfuse.environment",
            "environment",
        ),
        c.text,
    ),
    "release": dict.fromkeys(
        ("service.version", "sentry.release", "langfuse.release", "release"), c.label
    ),
}

#: `span_data` of the OpenAI Agents SDK, each field under its span's type.
AGENTS_FIELDS: Fields = {
    "agent": dict.fromkeys(("agent.name", "turn.data.agent_name", "task.data.agent_name"), c.text),
    "workflow": {"task.data.name": c.text, "task.data.workflow_name": c.text},
    "stage": {"guardrail.name": c.text},
    "tool": {"function.name": c.text},
    "model_requested": dict.fromkeys(
        ("generation.model", "transcription.model", "speech.model"), c.text
    ),
    # The SDK exports no model of a response; a processor that adds it finds the served one.
    "model": {"response.model": c.text},
    "input_tokens": dict.fromkeys(("usage.input_tokens", "usage.prompt_tokens"), c.count),
    "output_tokens": dict.fromkeys(("usage.output_tokens", "usage.completion_tokens"), c.count),
    "total_tokens": {"usage.total_tokens": c.count},
    "cache_read_tokens": dict.fromkeys(
        ("input_tokens_details.cached_tokens", "usage.cached_input_tokens"), c.count
    ),
    "cache_write_tokens": dict.fromkeys(
        ("input_tokens_details.cache_write_tokens", "usage.cache_write_input_tokens"), c.count
    ),
    "reasoning_tokens": {"output_tokens_details.reasoning_tokens": c.count},
    "handoff_from": {"handoff.from_agent": c.text},
    "handoff_to": {"handoff.to_agent": c.text},
    "arguments": {"function.input": c.content},
    "result": {"function.output": c.content},
}

#: `metadata` of its spans and traces, which a processor writes: what OTel's resource says.
AGENTS_METADATA: Fields = {**RESOURCE_FIELDS, "agent": {"gen_ai.agent.name": c.text}}

#: What Langfuse itself keeps of an observation, for those whose attributes do not say it.
LANGFUSE_FIELDS: Fields = {
    "kind": {"type": c.langfuse_type, "metadata.langgraph_node": c.always(Kind.STEP)},
    "provider": {"metadata.ls_provider": c.provider},
    "env": {"environment": c.text},
    "release": {"version": c.label},
    "model_requested": {"model": c.text},
    "is_chain": {"type": c.is_chain},
    "input_tokens": {"usageDetails.input": c.count},
    "output_tokens": {"usageDetails.output": c.count},
    "total_tokens": {"usageDetails.total": c.count},
    "cache_read_tokens": dict.fromkeys(
        (
            "usageDetails.input_cached_tokens",
            "usageDetails.cache_read_input_tokens",
            "usageDetails.input_cache_read",
        ),
        c.count,
    ),
    "cache_write_tokens": dict.fromkeys(
        ("usageDetails.cache_creation_input_tokens", "usageDetails.input_cache_creation"), c.count
    ),
    "reasoning_tokens": dict.fromkeys(
        ("usageDetails.output_reasoning_tokens", "usageDetails.output_reasoning"), c.count
    ),
    "cost_nano": {"costDetails.total": c.usd},
    "prompt_name": {"promptName": c.text},
    "prompt_version": {"promptVersion": c.label},
    "arguments": {"input": c.content},
    "result": {"output": c.content},
}

EVENT_FIELDS: Fields = {
    "exception": {"exception.type": c.text},
    "raised": {"exception.message": c.error_name},  # LangSmith's types are all `Exception`
    "score_name": {"gen_ai.evaluation.name": c.text},
    "score": {"gen_ai.evaluation.score.value": c.number},
}
EXCEPTION, EVALUATION = "exception", "gen_ai.evaluation.result"
FIRST_TOKEN = frozenset(
    {"First Token Stream Event", "ai.stream.firstChunk", "gen_ai.content.completion.chunk"}
)

Table = Mapping[str, tuple[Target, ...]]
#: A field, how good the attribute is as a source of it, and the converted value.
Offer = tuple[str, int, Any]


def _by_attribute(fields: Fields) -> Table:
    table: dict[str, tuple[Target, ...]] = {}
    for field, sources in fields.items():
        for rank, (attribute, convert) in enumerate(sources.items()):
            table[attribute] = (*table.get(attribute, ()), Target(field, rank, convert))
    return table


#: Attributes that hold content: nothing may remember their values.
CONTENT = frozenset([*SPAN_FIELDS["arguments"], *SPAN_FIELDS["result"]])
#: What holds one name among what may be content: only that name is read of it.
PARTIAL = frozenset(
    {
        "metadata",
        "llm.invocation_parameters",
        "embedding.invocation_parameters",
        "exception.message",
    }
)
SPAN_TABLE = _by_attribute(SPAN_FIELDS)
RESOURCE_TABLE = _by_attribute(RESOURCE_FIELDS)
EVENT_TABLE = _by_attribute(EVENT_FIELDS)
AGENTS_TABLE = _by_attribute(AGENTS_FIELDS)
AGENTS_METADATA_TABLE = _by_attribute(AGENTS_METADATA)
LANGFUSE_TABLE = _by_attribute(LANGFUSE_FIELDS)


def offers(attribute: str, raw: Any, table: Table) -> tuple[Offer, ...]:
    """What one attribute, named in the table, has to say of which fields.

    Raises RefusedError, with the attribute's name, for a number that cannot be.
    """
    made = []
    for field, rank, convert in table[attribute]:
        try:
            value = convert(raw)
        except RefusedError as error:
            raise RefusedError(error.reason, attribute) from None
        if value is not None:
            made.append((field, rank, value))
    return tuple(made)


def resolve(offered: Collection[Offer]) -> dict[str, Any]:
    """Canonical field -> value, each from its best attribute that was present and valid."""
    fields = {field: value for field, _, value in offered}
    if len(fields) == len(offered):  # nearly always: nothing was said twice
        return fields
    ranks: dict[str, int] = {}
    for field, rank, value in offered:
        if field not in ranks or rank < ranks[field]:
            fields[field] = value
            ranks[field] = rank
    return fields
