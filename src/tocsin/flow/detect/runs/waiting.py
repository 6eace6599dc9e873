"""Runs that stand still: a table of their pauses, kept until event time shows what they are.

A run that moved is in the table with its last step and with the long pauses that its ring shows.
When windows close, event time passes:

- a run whose last step may be its end (an agent or workflow that ended), with nothing after it
  for two minutes, is *over*: the statistics learn its values;
- a run whose last step is no end, with nothing after it for half an hour, is *left*: the
  statistics count it. Orphan rules judge it at limits of their own.

A pause is judged at a fixed instant of event time, whether the step that ended it is known
already or not; so it makes no difference how many steps arrive together. Runs must be seen
before the windows that hold their steps are closed. The table holds TABLE runs; beyond that new
runs are left out until others are done: they are neither learned nor found as orphans.

    r:o:<trace>   the pauses of a run
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tocsin.flow.baseline.history.run_stats import RunStats
from tocsin.flow.detect.runs.pauses import LEFT_MS, OVER_MS, Pause, RunPauses

PREFIX: Final = "r:o:"
VERSION: Final = 1
TABLE: Final = 20_000
_CODEC: Final = tuple[int, list[Pause]]


@dataclass(slots=True)
class WaitingRuns:
    """The table; see the module. One a shard."""

    pauses: dict[str, list[Pause]] = field(default_factory=dict)
    _changed: dict[str, None] = field(default_factory=dict)

    def see(self, traces: Sequence[str], runs: Sequence[RunPauses], closed_ms: int) -> None:
        """Take in the runs that moved. Windows up to `closed_ms` were closed before."""
        for trace, run in zip(traces, runs, strict=True):
            held = self.pauses.get(trace)
            if held is None and len(self.pauses) >= TABLE:
                continue
            pauses = run.pauses
            if held and (len(held) > 1 or not run.brief):
                pauses = _merged(held, pauses)
            pauses = [p for p in pauses if not p.until_ms or p.until_ms > closed_ms]
            if run.ending and run.ended_ms + OVER_MS <= closed_ms and len(pauses) == 1:
                pauses = []  # learned already
            self._put(trace, pauses)

    def pass_time(
        self, since_ms: int, upto_ms: int, stats: RunStats,
        exceeds_limit: Callable[[Pause], bool], limit_ms: Callable[[Pause], int],
    ) -> list[tuple[str, Pause]]:  # fmt: skip
        """Let the windows of (since_ms, upto_ms] close: learn from runs that are done.

        `exceeds_limit` says whether a run that is over broke a limit, `limit_ms` how long the
        longest orphan rule waits. Returns the pauses that orphan rules have to judge, each with
        its trace id, in order of that.
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
                self._learn(pause, since_ms, upto_ms, stats, exceeds_limit)
                if (pause.until_ms or done_ms) > upto_ms:
                    left.append(pause)
            if len(left) < len(pauses):
                self._put(trace, left)
        return unended

    def _learn(
        self, pause: Pause, since_ms: int, upto_ms: int, stats: RunStats,
        exceeds_limit: Callable[[Pause], bool],
    ) -> None:  # fmt: skip
        lasted = OVER_MS if pause.over else LEFT_MS
        at_ms = pause.since_ms + lasted
        if not since_ms < at_ms <= upto_ms or not pause.lasts(lasted):
            return
        where = (pause.env, pause.service, pause.agent)
        if pause.over and not pause.looped:
            stats.learn(at_ms, *where, pause.values, held=exceeds_limit(pause))
        else:
            stats.note(at_ms, *where, ended=pause.over)

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


def _merged(held: Sequence[Pause], found: list[Pause]) -> list[Pause]:
    """Pauses that have left the ring, and those that it shows now, in order of time."""
    shown = {pause.since_ms for pause in found}
    oldest = min(shown, default=0)
    return [p for p in held if p.until_ms and p.since_ms < oldest] + found
