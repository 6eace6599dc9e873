"""Runs that do not move: what a look cannot show, kept until time says what they are.

Every run that moved is here with the last step it made, and with the long pauses its ring
shows. When windows close, time passes over it:

- a run whose last step may be its end (an agent or workflow that ended), with nothing after
  it for two minutes, is *over*: the book learns it;
- a run that made another step last, and none for the limit of an orphan rule, is *left*.

A pause is judged at its own instant of event time, whether the step that ended it is known
already or not; so it makes no difference how the log is cut. Runs must be seen before the
windows that hold their steps are closed. A table holds TABLE runs; beyond that new ones are
not followed until others are done: they are neither learnt nor missed as orphans.

    r:o:<trace>   a run that is waited for
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from msgspec import structs

from tocsin.flow.grade.books.run_book import RunBook
from tocsin.flow.judge.runs.burn import so_far
from tocsin.flow.judge.runs.fan_out import has_called
from tocsin.flow.judge.runs.names import Names, Reader
from tocsin.flow.judge.runs.ring import CALLED, HANDOFFS, MODEL_CALLS, ROOTS, Rings, closing
from tocsin.flow.judge.runs.tree import depths, fan_outs

PREFIX: Final = "r:o:"
VERSION: Final = 1
TABLE: Final = 20_000
#: Nothing more after its end for so long: the run is over.
OVER_MS: Final = 120_000
#: No step for so long, and no end: the run counts as left.
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
    values: tuple[int, ...] = ()  # one for each QUANTITIES; of a run that may be over
    looped: bool = False

    def lasts(self, ms: int) -> bool:
        """Whether no step came for so long, by what is known."""
        return not self.until_ms or self.until_ms > self.since_ms + ms


_CODEC: Final = tuple[int, list[Pause]]


@dataclass(slots=True)
class Waiting:
    """The table; see the module."""

    pauses: dict[str, list[Pause]] = field(default_factory=dict)
    _changed: dict[str, None] = field(default_factory=dict)

    def see(self, seen: Rings, reader: Reader, looped: AbstractSet[str], closed_ms: int) -> None:
        """Take in the runs that moved. Windows up to `closed_ms` were closed before."""
        if not seen.traces:
            return
        last, spread = _last(seen)
        ending = closing(seen.steps[last]).tolist()
        ended, labels = seen.steps["end_ms"][last].tolist(), seen.steps["label"][last].tolist()
        for i, trace in enumerate(seen.traces):
            held = self.pauses.get(trace)
            if held is None and len(self.pauses) >= TABLE:
                continue
            if spread[i] < OVER_MS and not ending[i]:
                pauses = [_pause(ended[i], reader.name(labels[i]))]
                if held is not None and len(held) > 1:
                    pauses = _merged(held, pauses)
            else:
                pauses = _pauses(seen, i, reader, looped=trace in looped)
                pauses = _merged(held or (), pauses)
            pauses = [p for p in pauses if not p.until_ms or p.until_ms > closed_ms]
            if ending[i] and ended[i] + OVER_MS <= closed_ms and len(pauses) == 1:
                pauses = []  # learnt already
            self._put(trace, pauses)

    def pass_time(
        self, since_ms: int, upto_ms: int, book: RunBook, broke: Callable[[Pause], bool],
        limit_ms: Callable[[Pause], int],
    ) -> list[tuple[str, Pause]]:  # fmt: skip
        """Let the windows of (since_ms, upto_ms] close: learn from runs that are done.

        `broke` says whether a run that is over broke a limit, `limit_ms` how long an orphan is
        waited for. Gives the pauses that orphan rules have to judge, in order of trace.
        """
        unended: list[tuple[str, Pause]] = []
        for trace in sorted(self.pauses):
            pauses = self.pauses[trace]
            left = []
            for pause in pauses:
                if pause.since_ms + OVER_MS > upto_ms and not pause.until_ms:
                    left.append(pause)
                    continue
                if pause.over:
                    done_ms = pause.since_ms + OVER_MS
                else:
                    unended.append((trace, pause))
                    done_ms = pause.since_ms + limit_ms(pause)
                self._learn(pause, since_ms, upto_ms, book, broke)
                if (pause.until_ms or done_ms) > upto_ms:
                    left.append(pause)
            if len(left) < len(pauses):
                self._put(trace, left)
        return unended

    def _learn(
        self, pause: Pause, since_ms: int, upto_ms: int, book: RunBook,
        broke: Callable[[Pause], bool],
    ) -> None:  # fmt: skip
        lasted = OVER_MS if pause.over else LEFT_MS
        at_ms = pause.since_ms + lasted
        if not since_ms < at_ms <= upto_ms or not pause.lasts(lasted):
            return
        where = (pause.env, pause.service, pause.agent)
        if pause.over and not pause.looped:
            book.learn(at_ms, *where, pause.values, held=broke(pause))
        else:
            book.note(at_ms, *where, ended=pause.over)

    def _put(self, trace: str, pauses: list[Pause]) -> None:
        if pauses != self.pauses.get(trace, []):
            self._changed[trace] = None
            self.pauses[trace] = pauses
            if not pauses:
                del self.pauses[trace]

    def blobs(self) -> dict[str, bytes | None]:
        """What has changed since the last call, encoded."""
        blobs = {
            PREFIX + trace: msgspec.msgpack.encode((VERSION, self.pauses[trace]))
            if trace in self.pauses
            else None
            for trace in self._changed
        }
        self._changed.clear()
        return blobs

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """From blobs; only when empty. Raises ValueError for one of another version."""
        for key, raw in blobs.items():
            if key.startswith(PREFIX):
                version, pauses = msgspec.msgpack.decode(raw, type=_CODEC)
                if version != VERSION:
                    raise ValueError(f"waiting run of version {version}; this reads {VERSION}")
                self.pauses[key.removeprefix(PREFIX)] = pauses


def _last(seen: Rings) -> tuple[np.ndarray, np.ndarray]:
    """Index of each run's last step (of several at once, an end), and ms from first to last."""
    first = seen.first[:-1]
    end_ms = seen.steps["end_ms"]
    rank = 2 * end_ms + closing(seen.steps)
    highest = np.maximum.reduceat(rank, first)
    where = np.flatnonzero(rank == highest[seen.owner])
    owners = seen.owner[where]
    last = where[np.concatenate((owners[1:] != owners[:-1], [True]))]
    return last, end_ms[last] - np.minimum.reduceat(end_ms, first)


def _pauses(seen: Rings, i: int, reader: Reader, *, looped: bool) -> list[Pause]:
    """The pauses of a run that its ring shows, the one it is in included."""
    steps = seen.of(i)
    steps = steps[np.lexsort((closing(steps), steps["end_ms"]))]
    ends = steps["end_ms"]
    gaps = np.flatnonzero(np.diff(ends) >= OVER_MS).tolist()
    may_end = closing(steps)
    used = so_far(seen, i, steps)
    pauses = []
    for at in [*gaps, len(steps) - 1]:
        until = 0 if at + 1 == len(steps) else int(ends[at + 1])
        part = steps[: at + 1]
        if may_end[at]:
            totals = [int(so[at]) for so in used]
            shape = _shape(part, reader, models=has_called(seen, i, part))
            seconds = max(0, int(ends[at]) - int(seen.totals["first_ms"][i])) // 1_000
            who = reader.name(int(steps["label"][at]))
            pause = _pause(int(ends[at]), who, until)
            values = (*shape, *totals, seconds)
            pauses.append(structs.replace(pause, over=True, values=values, looped=looped))
        elif not until or until - ends[at] >= LEFT_MS:
            pauses.append(_pause(int(ends[at]), reader.name(int(steps["label"][at])), until))
    return pauses


def _pause(since_ms: int, who: Names, until_ms: int = 0) -> Pause:
    """A run that stands still at a step that is no end."""
    return Pause(since_ms, until_ms, False, who.env, who.service, who.agent, who.act)


def _shape(part: np.ndarray, reader: Reader, *, models: bool) -> tuple[int, int, int]:
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


def _merged(held: Sequence[Pause], found: list[Pause]) -> list[Pause]:
    """What was known before the ring rolled, and what it shows now, in order of time."""
    shown = {pause.since_ms for pause in found}
    oldest = min(shown, default=0)
    return [p for p in held if p.until_ms and p.since_ms < oldest] + found
