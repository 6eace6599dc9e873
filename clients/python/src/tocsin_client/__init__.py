"""A client for services without OpenTelemetry: says what an agent does, as native spans.

    async with Publisher("kafka:9092", service="shop", env="prod") as publisher:
        async with publisher.run(agent="planner", route="refund") as run:
            async with run.tool("search", arguments={"q": question}) as call:
                call.result(await search(question))
            async with run.llm("gpt-5", provider="openai") as call:
                answer = await ask(question)
                call.usage(input_tokens=answer.tokens_in, output_tokens=answer.tokens_out)

    publisher.change("deploy", version="1.4.2")

A span is published when its block ends. Tool arguments and results become keyed fingerprints
in this process and are dropped; no method takes a prompt or an answer. What goes wrong here
never reaches the caller: a span that cannot be sent is counted (`Publisher.counts`) and
logged under `tocsin_client`. The Kafka library is loaded when a publisher is entered.
"""

from tocsin_client.kinds import ChangeKind, Kind
from tocsin_client.outbox import Counts
from tocsin_client.publisher import Publisher
from tocsin_client.settings import Settings, SettingsError
from tocsin_client.spans import ModelCall, Span, ToolCall

__all__ = [
    "ChangeKind",
    "Counts",
    "Kind",
    "ModelCall",
    "Publisher",
    "Settings",
    "SettingsError",
    "Span",
    "ToolCall",
]
