"""The loop scan against a brute-force reading of the same definition."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.flow.detect.runs.repetition import Action, LoopLimits, find_loops, progress_after

LIMITS = LoopLimits()


def looping_at(actions: Sequence[Action], i: int) -> bool:
    """Does some loop hold at action i, straight from the definition?"""

    def tail(count: int) -> Sequence[Action]:
        return actions[i - count + 1 : i + 1] if i + 1 >= count else ()

    five, three = tail(LIMITS.repeat_any), tail(LIMITS.repeat)
    if five and len({a.sym for a in five}) == 1 and all(a.comparable for a in five):
        return True
    known = all(a.comparable and a.evidence for a in three)
    if three and known and len({a.rsym for a in three}) == 1:
        return True
    for period in range(2, LIMITS.max_period + 1):
        for times, proof in ((LIMITS.cycle, True), (LIMITS.cycle_blind, False)):
            part = tail(period * times)
            if not part or len({a.sym for a in part}) == 1:
                continue
            first = [a.rsym for a in part[:period]]
            same = all(a.rsym == first[j % period] for j, a in enumerate(part))
            known = all(a.comparable for a in part)
            if same and known and (not proof or all(a.evidence for a in part)):
                return True
    return False


#: Few symbols and few outcomes, so that repetition is common; rsym determines sym.
ACTIONS = st.builds(
    lambda sym, outcome, comparable: Action(
        at_ms=0,
        sym=sym,
        rsym=sym * 10 + outcome,
        comparable=comparable,
        evidence=outcome > 0,  # outcome 0: no result is known
    ),
    st.integers(0, 2),
    st.sampled_from((1, 1, 1, 0, 2)),
    st.sampled_from((True,) * 9 + (False,)),
)


@st.composite
def sequences(draw: st.DrawFn) -> list[Action]:
    """Noise with repeated blocks in it."""
    parts: list[Action] = []
    for _ in range(draw(st.integers(1, 4))):
        block = draw(st.lists(ACTIONS, min_size=1, max_size=9))
        parts += block * draw(st.integers(1, 5))
    return parts[:64]


@given(sequences())
def test_a_loop_is_found_at_the_first_action_at_which_it_holds_and_only_then(
    actions: list[Action],
) -> None:
    first = next((i for i in range(len(actions)) if looping_at(actions, i)), None)
    loops = find_loops(actions, LIMITS)
    assert (loops[0].marks[0].index if loops else None) == first


@given(sequences(), st.data())
def test_what_is_found_in_a_prefix_is_found_in_the_whole(
    actions: list[Action], data: st.DataObject
) -> None:
    def marks(part: Sequence[Action]) -> list[tuple[int, int, int, bool]]:
        return [
            (loop.period, mark.index, mark.count, mark.critical)
            for loop in find_loops(part, LIMITS)
            for mark in loop.marks
        ]

    end = data.draw(st.integers(0, len(actions)))
    assert marks(actions[:end]) == [mark for mark in marks(actions) if mark[1] < end]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=64, unique=True))
def test_steps_that_never_repeat_are_no_loop(symbols: list[int]) -> None:
    actions = [Action(0, s, s, comparable=True, evidence=True) for s in symbols]
    assert find_loops(actions, LIMITS) == []


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=8, unique=True),
    st.integers(3, 7),
    st.integers(0, 5),
)
@example([1, 2], 7, 0)
def test_a_spliced_cycle_is_found_with_its_period(
    block: list[int], times: int, before: int
) -> None:
    symbols = [*range(1000, 1000 + before), *(block * times)]
    actions = [Action(0, s, s, comparable=True, evidence=True) for s in symbols]
    (loop,) = find_loops(actions, LIMITS)
    assert (loop.period, loop.start, loop.stop) == (len(block), before, len(symbols))
    assert loop.marks[0].index == before + 3 * len(block) - 1


def test_one_look_up_is_no_progress_and_two_distinct_steps_are() -> None:
    symbols = [1, 1, 1, 2, 1, 2, 2, 3]
    actions = [Action(0, s, s, comparable=True, evidence=True) for s in symbols]
    (loop, *_) = find_loops(actions, LIMITS)
    assert progress_after(actions[:7], loop, 2) is None
    assert progress_after(actions, loop, 2) == 7
