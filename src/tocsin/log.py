"""Logging: one JSON line an event on stderr, readable lines on a terminal. Never a payload.

Events are stable names (`flush_refused`), everything else is a field. stdout stays free for
what the user asked for (alerts of the stdout sink, reports), so it can be piped.
"""

import logging
import sys
from typing import Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "pretty"]

#: Libraries whose warnings are about errors that we report in one sentence ourselves.
#: aiokafka logs an "Unable connect" line per node and attempt before it raises.
_QUIET = {
    "aiokafka": logging.CRITICAL,
    "faust": logging.ERROR,
    "mode": logging.ERROR,
    "asyncio": logging.ERROR,
}


def configure(level: Level = "info", fmt: Format = "auto") -> None:
    """Set up structlog and the standard library's logging. Calling it again replaces the setup."""
    pretty = fmt == "pretty" or (fmt == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_rendering(pretty=pretty),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Looked up at each call: a test (or a daemoniser) may replace sys.stderr.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s", force=True)
    for name, floor in _QUIET.items():
        # Never DEBUG: there aiokafka writes out every request, records and all.
        logging.getLogger(name).setLevel(logging.INFO if level == "debug" else floor)


def _rendering(*, pretty: bool) -> list[structlog.typing.Processor]:
    if pretty:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def get_logger(stage: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose events carry `stage` (ingest, watch, bridge ...)."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(stage=stage)
    return logger
