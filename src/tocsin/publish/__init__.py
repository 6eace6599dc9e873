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
logged under `tocsin.publish`.
"""

from tocsin.publish.client import Counts, Publisher
from tocsin.publish.spans import ModelCall, Span, ToolCall

__all__ = ["Counts", "ModelCall", "Publisher", "Span", "ToolCall"]
