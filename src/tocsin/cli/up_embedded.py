"""`tocsin up --embedded`: the pipeline on a broker and a Redis of its own, and how to reach it."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tocsin.config import Config

#: Where Kafka and Redis are looked for unless told: with these free, other commands need no
#: setting to find what was started here, and an agent finds it again after a restart.
_KAFKA_PORT, _REDIS_PORT = 9092, 6379
_ON_TERMINAL = frozenset({"stdout", "json"})


def up_embedded(
    config_file: Path | None, outlets: Sequence[str], run: Callable[[Config], None]
) -> None:
    """Start servers, create topics, say where to send, and `run` the stages until told to end.

    Ctrl-C and SIGTERM both are the way to end it, so both return. Raises UserError when a server
    is missing or does not start.
    """
    from tocsin import log
    from tocsin.config import load
    from tocsin.embedded import Embedded, free_port
    from tocsin.run.topics import create_topics

    # Until the stages have handlers of their own; a default SIGTERM would end us uncleanly.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Embedded(free_port(_KAFKA_PORT), free_port(_REDIS_PORT)) as servers:
            config = load(
                config_file,
                # The broker lets a group wait half a session for members before it starts.
                kafka={"bootstrap": servers.bootstrap, "session_timeout_s": 6},
                redis={"url": servers.redis_url},
            )
            # What is logged below an error is about production: keys, idempotence, progress.
            chosen = "level" in config.log.model_fields_set
            log.configure(config.log.level if chosen else "error", config.log.format)
            asyncio.run(create_topics(config))
            for line in directions(config, servers.describe(), outlets, program()):
                click.echo(line, err=True)
            run(config)
    except KeyboardInterrupt:
        return


def directions(config: Config, servers: str, outlets: Sequence[str], tocsin: str) -> list[str]:
    """Say in a few lines what runs, where spans go, how to try it, and where alerts come out.

    `tocsin` is the command line of this program, as a shell takes it.
    """
    bootstrap, topics = config.kafka.bootstrap, config.topics
    places = ["here" if outlet in _ON_TERMINAL else outlet for outlet in outlets]
    return [
        f"{servers}; loopback and memory only, gone when this ends (Ctrl-C)",
        f"  send spans to  bootstrap {bootstrap}, topic {topics.spans} (native JSON, OTLP)",
        f"  see it ring    {tocsin} send loop --bootstrap {bootstrap} --topic {topics.spans}",
        f'  collector      kafka: {{brokers: ["{bootstrap}"], partition_traces_by_id: true,',
        f"                   traces: {{topic: {topics.spans}, encoding: otlp_proto}}}}",
        f"  alerts         {', '.join(dict.fromkeys(places))}; topic {topics.alerts}",
    ]


def program() -> str:
    """How this program was called, so that a line with it works in another terminal's shell."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" or not called.is_file():
        return f"{shlex.quote(sys.executable)} -m tocsin"
    return shlex.quote(str(called.absolute()))
