"""The pauses that the rings of runs show: where no step came for a while, or may never come.

In a snapshot every run stands still at its last step: that is its last pause, and it is not known
yet how long it is. If the step before a pause may be the run's end, the pause carries the values
of the run up to there (its depth, tokens, cost ...), for the statistics.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import msgspec
import numpy as np

from tocsin.flow.detect.runs.names import Names, Reader
from tocsin.flow.detect.runs.shapes import Shapes, called_before, shapes
from tocsin.flow.detect.runs.step_ring import (
    CALLED,
    HANDOFFS,
    MODEL_CALLS,
    ROOTS,
    Rings,
    Steps,
    closing,
    has_called,
    used_by_step,
)
from tocsin.flow.detect.runs.tree import depths, fan_outs
from tocsin.types import RUN_HEADER, Ints

#: A run is over when no step has come for so long after what may be its end.
OVER_MS: Final = 120_000
#: A run counts as left when no step has come for so long, and the last may not be its end.
LEFT_MS: Final = 1_800_000


class Pause(msgspec.Struct, frozen=True, array_like=True):
    """A stretch without a step. `until_ms` is 0 while no step after it is known."""

    since_ms: int
    until_ms: int
    over: bool  # the step before it may be the run's end
    env: str
    service: str
    agent: str
    act: str
    values: tuple[int, ...] = ()  # of the run so far, one for each QUANTITIES, if `over`
    looped: bool = False  # a loop was found in the run; False unless `over`

    def lasts(self, ms: int) -> bool:
        """Whether it is longer than `ms`, or may be: its end is not known yet."""
        return not self.until_ms or self.until_ms > self.since_ms + ms


class RunPauses(NamedTuple):
    """The pauses of one run in a snapshot."""

    pauses: list[Pause]  # the one it is in comes last
    brief: bool  # the ring shows no other pause, and the last step is no end
    ended_ms: int  # when the last step ended, epoch ms
    ending: bool  # the last step may be the run's end


def pauses_of(rings: Rings, reader: Reader, looped: AbstractSet[str]) -> list[RunPauses]:
    """The pauses of each run; `looped` are the traces of runs in which a loop was found."""
    if not rings.traces:
        return []
    last, spread = _last(rings)
    ending = closing(rings.steps[last])
    brief = (spread < OVER_MS) & ~ending
    others = np.flatnonzero(~brief)
    longer = dict(zip(others.tolist(), _longer(rings, others, reader, looped), strict=True))
    columns = (brief, rings.steps["end_ms"][last], ending, rings.steps["label"][last])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        RunPauses(
            [_pause(at_ms, reader.name(label))] if short else longer[i], short, at_ms, may_end
        )
        for i, (short, at_ms, may_end, label) in enumerate(rows)
    ]


def _longer(
    rings: Rings, runs: Ints, reader: Reader, looped: AbstractSet[str]
) -> Iterator[list[Pause]]:
    """The pauses of runs (their indices) whose rings may show several, or an end."""
    if not len(runs):
        return
    tidy = rings.tidy(runs)
    last, _ = _last(tidy)
    over, labels = closing(tidy.steps[last]).tolist(), tidy.steps["label"][last].tolist()
    ends, owner = tidy.steps["end_ms"], tidy.owner
    paused = set(owner[1:][(np.diff(ends) >= OVER_MS) & (owner[1:] == owner[:-1])].tolist())
    all_values = _values(tidy, last, reader)
    for k, (i, at_ms, values) in enumerate(
        zip(runs.tolist(), ends[last].tolist(), all_values, strict=True)
    ):
        is_looped = tidy.traces[k] in looped
        if k in paused:
            yield _pauses(rings, i, reader, looped=is_looped)
        elif over[k]:
            yield [
                _pause(at_ms, reader.name(labels[k]), over=True, values=values, looped=is_looped)
            ]
        else:
            yield [_pause(at_ms, reader.name(labels[k]))]


def _values(tidy: Rings, last: Ints, reader: Reader) -> list[tuple[int, ...]]:
    """The values of each run (in order, each span once): one for each QUANTITIES."""
    shape = shapes(tidy, reader)
    steps, tokens = np.diff(tidy.first), tidy.sums("tokens")
    cost = tidy.sums("cost_nano")
    whole = {name: tidy.totals[name].astype(np.int64) for name in RUN_HEADER.names or ()}
    columns = (
        shape.depth,
        _fan_out(tidy, shape),
        shape.agents,
        steps + np.where(tidy.rolled, whole["spans"] - tidy.held, 0),
        np.where(tidy.rolled, whole["tokens"], tokens),
        np.where(tidy.rolled, np.maximum(cost, whole["cost_nano"]), cost),
        np.maximum(0, tidy.steps["end_ms"][last] - whole["first_ms"]) // 1_000,
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _fan_out(tidy: Rings, shape: Shapes) -> Ints:
    """[runs]: the fan-out of each run as the statistics learn it, see `_shape`."""
    kind = tidy.steps["kind"]
    rows = np.flatnonzero(MODEL_CALLS[kind] | CALLED[kind])
    owner, called = tidy.owner[rows], CALLED[kind[rows]]
    starts = np.ones(len(rows), bool)
    starts[1:] = owner[1:] != owner[:-1]
    beside = called & np.where(starts, called_before(tidy)[owner], np.roll(called, 1))
    plain = (shape.agents <= 1) & (tidy.count(HANDOFFS[kind]) == 0)
    plain[owner[beside]] = False
    later = np.zeros(len(plain), np.int64)
    later[owner[called & ~starts]] = 1
    return np.where(plain, later, shape.fan_out)


def _last(rings: Rings) -> tuple[Ints, Ints]:
    """[runs]: index of the last step (of several at once, an end), and ms from first to last."""
    first = rings.first[:-1]
    end_ms = rings.steps["end_ms"]
    rank = 2 * end_ms + closing(rings.steps)
    highest = np.maximum.reduceat(rank, first)
    where = np.flatnonzero(rank == highest[rings.owner])
    owners = rings.owner[where]
    last = where[np.concatenate((owners[1:] != owners[:-1], [True]))]
    return last, end_ms[last] - np.minimum.reduceat(end_ms, first)


def _pauses(rings: Rings, i: int, reader: Reader, *, looped: bool) -> list[Pause]:
    """The pauses of run `i` that its ring shows, the one it is in included."""
    steps = rings.of(i)
    steps = steps[np.lexsort((closing(steps), steps["end_ms"]))]
    ends = steps["end_ms"]
    gaps = np.flatnonzero(np.diff(ends) >= OVER_MS).tolist()
    may_end = closing(steps)
    used = used_by_step(rings, i, steps)
    pauses = []
    for at in [*gaps, len(steps) - 1]:
        until = 0 if at + 1 == len(steps) else int(ends[at + 1])
        part, who = steps[: at + 1], reader.name(int(steps["label"][at]))
        if may_end[at]:
            totals = [int(total[at]) for total in used]
            shape = _shape(part, reader, models=has_called(rings, i, part))
            seconds = max(0, int(ends[at]) - int(rings.totals["first_ms"][i])) // 1_000
            values = (*shape, *totals, seconds)
            pauses.append(
                _pause(int(ends[at]), who, until, over=True, values=values, looped=looped)
            )
        elif not until or until - ends[at] >= LEFT_MS:
            pauses.append(_pause(int(ends[at]), who, until))
    return pauses


def _pause(
    since_ms: int, who: Names, until_ms: int = 0, *,
    over: bool = False, values: tuple[int, ...] = (), looped: bool = False,
) -> Pause:  # fmt: skip
    return Pause(since_ms, until_ms, over, who.env, who.service, who.agent, who.act, values, looped)


def _shape(part: Steps, reader: Reader, *, models: bool) -> tuple[int, int, int]:
    """Depth, fan-out and agents of a run up to its end."""
    kind = part["kind"]
    spawned = int(ROOTS[kind].sum())
    if spawned > 1 or HANDOFFS[kind].any():
        names = reader.names(part)
        wide = int(fan_outs(part, names, models=models)[-1])
        return int(depths(part, names)[-1]), wide, spawned
    asks = MODEL_CALLS[kind]
    turns = CALLED[kind][asks | CALLED[kind]]
    if (turns[1:] & turns[:-1]).any() or (models and turns[:1].any()):
        return spawned, int(fan_outs(part, reader.names(part), models=models)[-1]), spawned
    return spawned, int(turns[1:].any()), spawned  # no two calls without a model call between
