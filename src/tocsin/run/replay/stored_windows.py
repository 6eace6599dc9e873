"""Judge the windows that Redis still holds by a set of rules. Runs are not kept that long.

Read only: no shard is claimed and nothing is written, so a live watch is not disturbed.
"""

from collections.abc import AsyncIterator, Callable, Sequence

from tocsin.config import Config
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.baseline.frames import decode
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.shard_detector import Observer
from tocsin.run.from_config import evaluator_of
from tocsin.run.replay.engine import Tally
from tocsin.store.base import Store

#: Blobs of the baselines of older windows; alerts and minutes are made anew.
_OLDER = ("q:", "d:", "k:")


async def judge_stored(
    store: Store,
    config: Config,
    rule_sets: Sequence[tuple[Rule, ...]],
    tally: Tally,
    *,
    observer: Observer | None = None,
    done: Callable[[int], None] | None = None,
) -> AsyncIterator[tuple[int, AlertEvent]]:
    """Yield (index of the set of rules, event) over the closed windows of every shard.

    `tally.records` counts windows. `done` is called with 1 after each shard.
    """
    for shard in range(config.shards):
        blobs = await store.load(shard)
        minutes = sorted(int(key[2:]) for key in blobs if key.startswith("m:"))
        for number, rules in enumerate(rule_sets):
            evaluator = evaluator_of(config, rules, observer if number == 0 else None)
            first = minutes[0] // 900 * 900 if minutes else None
            evaluator.restore({
                key: raw
                for key, raw in blobs.items()
                if key.startswith(_OLDER)
                and not (key.startswith("q:") and first is not None and int(key[2:]) >= first)
            })  # fmt: skip
            for start in minutes:
                frame, _ = decode(blobs[f"m:{start}"])
                for event in evaluator.evaluate_window(frame).events:
                    yield number, event
                if number == 0:
                    tally.records += 1
                    tally.first_ms = min(frame.start * 1_000, tally.first_ms or 2**62)
                    tally.last_ms = max((frame.start + frame.seconds) * 1_000, tally.last_ms or 0)
        if done:
            done(1)
