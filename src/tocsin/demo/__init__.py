"""`tocsin demo`: a synthetic fleet with labelled incidents, through the whole pipeline, watched.

incidents -> conditions -> draw -> span_messages -> fleet -> publisher (a process) ~~>
Kafka, Tocsin, alerts topic ~~>
play (drives event time, reads alerts) -> scene -> view, scoring
"""

from __future__ import annotations

import sys
import time

__all__ = ["SEED", "SPEED", "main"]

#: What the demo plays when nothing is asked for; SPEED is event time a wall second, once live.
SEED, SPEED = 7, 90.0


def main(
    *,
    check: bool = False,
    seed: int = SEED,
    speed: float = SPEED,
    live: bool = True,
    as_json: bool = False,
) -> int:
    """Play the scenario; the exit code is 0, or 1 when `check` found something wrong.

    `live` draws a picture where there is a terminal; otherwise, and under `check`, it prints
    lines. `as_json` prints one JSON document to stdout at the end and all else to stderr.
    Raises UserError when a server is missing.
    """
    started = time.monotonic()  # the imports below are part of what the user waits for
    print(
        "a broker, Redis and Tocsin start, learn five hours of a fleet, and meet five incidents: "
        "one to two minutes", file=sys.stderr, flush=True,
    )  # fmt: skip
    from tocsin.demo.command import run  # the generator alone must import without the pipeline

    return run(check=check, seed=seed, speed=speed, live=live, as_json=as_json, started=started)
