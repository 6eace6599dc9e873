"""Loops in one sequence of actions: repeats, cycles, ping-pong, polls without end.

A repetition alone is no fault: successful agents repeat themselves too. It is a loop if nothing
came of it: the result or the error is the same each time. Whatever came of them, five identical
calls in a row are a loop (ten, if each is known to have had another result), and so is a whole
cycle four times over.

The sequence is read once, forward, and every threshold is reported at the earliest step at which
it holds: so what is found does not depend on how many steps arrived together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

Family = Literal["repeat", "retry_storm", "model_errors", "cycle", "ping_pong", "poll", "near"]

#: Counts at which a loop that goes on gets a new finding; each is about twice the one before.
LEVELS: Final = (3, 5, 10, 20, 40)


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """Thresholds of the loop rule. Counts are of calls, or of whole cycles."""

    repeat: int = 3  # identical calls in a row with the same result or the same error
    repeat_any: int = 5  # identical calls in a row, whatever came of them
    repeat_new: int = 10  # ... where each had another result, as when a file is read on
    cycle: int = 3  # whole cycles with the same results
    cycle_blind: int = 4  # whole cycles when no results are known
    max_period: int = 12  # actions in the longest cycle that is searched
    near: int = 8  # turns in a row with the same tools and the same growth in tokens
    poll_calls: int = 20  # calls of a declared poll tool without a change
    poll_s: int = 900  # ... or seconds without one
    progress: int = 2  # steps with new outcomes after a loop that show it is over


@dataclass(frozen=True, slots=True)
class Action:
    """One step that may be part of a loop."""

    at_ms: int
    sym: int
    rsym: int  # sym and what came of it
    comparable: bool  # arguments (or a hand-off's target, or an error) are known
    evidence: bool  # a result or an error is known: an equal `rsym` means no progress
    error: bool = False
    handoff: bool = False
    poll: bool = False  # of a tool that is declared as one to be polled


@dataclass(frozen=True, slots=True)
class Mark:
    """A threshold that held for the first time at action `index`, with `count` repeats."""

    index: int
    count: int
    critical: bool


@dataclass(slots=True)
class Loop:
    """A stretch [start, stop) of actions that repeats itself every `period` actions."""

    family: Family
    period: int
    bound: int  # the count at which it is a loop
    start: int
    stop: int
    marks: list[Mark] = field(default_factory=list)


@dataclass(slots=True)
class _Runs:
    """How long the repetitions are that end at the current action."""

    same: int = 0  # calls in a row with the same symbol, this one included
    results: set[int] = field(default_factory=set)  # their outcomes
    evident: int = 0  # actions in a row with a known outcome, this one included
    #: [lag]: actions in a row whose outcome is that of `lag` actions before; [0] is not used
    quiet: list[int] = field(default_factory=list)

    def step(self, actions: Sequence[Action], i: int) -> None:
        now = actions[i]
        self.evident = self.evident + 1 if now.evidence else 0
        again = i > 0 and now.comparable and actions[i - 1].sym == now.sym
        again = again and actions[i - 1].comparable
        self.same = self.same + 1 if again else 1
        self.results = {*self.results, now.rsym} if again else {now.rsym}
        for lag in range(1, len(self.quiet)):
            match = i >= lag and now.comparable and actions[i - lag].rsym == now.rsym
            self.quiet[lag] = self.quiet[lag] + 1 if match and actions[i - lag].comparable else 0

    def all_new(self) -> bool:
        """Whether each of the identical calls is known to have had another result."""
        return self.evident >= self.same == len(self.results)


def cautious(limits: LoopLimits) -> LoopLimits:
    """Limits for calls that may have been made side by side: twice as many of them."""
    return replace(
        limits,
        repeat=2 * limits.repeat_any,
        repeat_any=2 * limits.repeat_any,
        repeat_new=2 * limits.repeat_new,
        cycle=2 * limits.cycle_blind,
        cycle_blind=2 * limits.cycle_blind,
        poll_calls=2 * limits.poll_calls,
    )


def find_loops(
    actions: Sequence[Action], limits: LoopLimits, *, max_period: int | None = None
) -> list[Loop]:
    """Every loop in a sequence in time order, by the step at which each became one."""
    period = limits.max_period if max_period is None else max_period
    runs = _Runs(quiet=[0] * (period + 1))
    loops: list[Loop] = []
    current: Loop | None = None
    for i in range(len(actions)):
        runs.step(actions, i)
        if current is not None and not _goes_on(current, runs):
            current = None
        if current is None:
            current = _starts(actions, i, runs, limits)
            if current is not None:
                loops.append(current)
        else:
            _mark(current, i, runs, limits)
        if current is not None:
            current.stop = i + 1
    return loops


def progress_after(actions: Sequence[Action], loop: Loop, needed: int) -> int | None:
    """Index of the action that shows that the run made progress after `loop`; None if none does.

    It takes `needed` new outcomes: agents in a loop now and then do one thing differently.
    """
    known = {action.rsym for action in actions[loop.start : loop.stop]}
    for i in range(loop.stop, len(actions)):
        if actions[i].rsym not in known:
            known.add(actions[i].rsym)
            needed -= 1
            if needed <= 0:
                return i
    return None


def _goes_on(loop: Loop, runs: _Runs) -> bool:
    if loop.family == "poll" or loop.period > 1:
        return runs.quiet[loop.period] > 0
    return runs.same > 1


def _count(loop: Loop, runs: _Runs) -> int:
    if loop.period > 1:
        return runs.quiet[loop.period] // loop.period + 1
    return runs.quiet[1] + 1 if loop.family == "poll" else runs.same


def _starts(actions: Sequence[Action], i: int, runs: _Runs, limits: LoopLimits) -> Loop | None:
    """The loop that action `i` completes, if it does: the shortest period wins."""
    if actions[i].poll:
        return _poll(actions, i, runs, limits) or _cycle(actions, i, runs, limits)
    return _repeat(actions, i, runs, limits) or _cycle(actions, i, runs, limits)


def _repeat(actions: Sequence[Action], i: int, runs: _Runs, limits: LoopLimits) -> Loop | None:
    # The same hand-off again may bring new work; only back and forth is a loop (`ping_pong`).
    if actions[i].handoff and not actions[i].error:
        return None
    quiet = min(runs.quiet[1] + 1, runs.evident)
    new = runs.all_new()
    if runs.same >= (limits.repeat_new if new else limits.repeat_any):
        count = runs.same
    elif quiet >= limits.repeat:
        count = quiet
    else:
        return None
    start = i - count + 1
    errors = all(action.error for action in actions[start : i + 1])
    evident = runs.quiet[1] + 1 >= count and runs.evident >= count
    family: Family = "retry_storm" if errors and evident else "repeat"
    bound = limits.repeat if evident else limits.repeat_new if new else limits.repeat_any
    return Loop(family, 1, bound, start, i + 1, [Mark(i, count, _is_critical(count, runs, limits))])


def _is_critical(count: int, runs: _Runs, limits: LoopLimits) -> bool:
    """Whether a repetition is critical: at a lower count unless each call had another result."""
    return count >= (2 * limits.repeat_new if runs.all_new() else limits.repeat_any)


def _poll(actions: Sequence[Action], i: int, runs: _Runs, limits: LoopLimits) -> Loop | None:
    count = runs.quiet[1] + 1
    start = i - count + 1
    waited_s = (actions[i].at_ms - actions[start].at_ms) / 1000
    if count < limits.poll_calls and (count < limits.repeat or waited_s < limits.poll_s):
        return None
    return Loop("poll", 1, min(count, limits.poll_calls), start, i + 1, [Mark(i, count, False)])


def _cycle(actions: Sequence[Action], i: int, runs: _Runs, limits: LoopLimits) -> Loop | None:
    for period in range(2, len(runs.quiet)):
        count = runs.quiet[period] // period + 1
        if count < min(limits.cycle, limits.cycle_blind):
            continue
        bound = limits.cycle if runs.evident >= limits.cycle * period else limits.cycle_blind
        # A cycle of a shorter period is that cycle; identical calls are judged as repeats.
        shorter = any(runs.quiet[p] >= period for p in range(1, period) if period % p == 0)
        once = actions[i - period + 1 : i + 1]
        if count < bound or shorter or len({action.sym for action in once}) == 1:
            continue
        if all(action.poll for action in once) and count < limits.poll_calls:
            continue
        family: Family = "ping_pong" if all(action.handoff for action in once) else "cycle"
        start = i - count * period + 1
        critical = family == "cycle" or count >= limits.repeat_any
        return Loop(family, period, bound, start, i + 1, [Mark(i, count, critical)])
    return None


def _mark(loop: Loop, i: int, runs: _Runs, limits: LoopLimits) -> None:
    """Note the next level of a loop that goes on, once it is reached."""
    count = _count(loop, runs)
    last = loop.marks[-1]
    worse = _is_critical(count, runs, limits) if loop.period == 1 else count >= limits.repeat_any
    critical = last.critical or (loop.family != "poll" and worse)
    if (count in LEVELS and count > last.count) or critical != last.critical:
        loop.marks.append(Mark(i, count, critical))
        if loop.period == 1:
            loop.start = min(loop.start, i - count + 1)
