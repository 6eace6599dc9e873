"""How many loops are caught, how soon, and how often a healthy run is called one.

A small share of `quality/loops.py`, which draws enough of them for tight bounds.
"""

from __future__ import annotations

import os
import random

import pytest

from quality import loops
from quality.watchman import wilson

#: TOCSIN_FUZZ=1 draws enough of them to bound the rate at one in ten thousand.
HEALTHY_RUNS = 70_000 if os.environ.get("TOCSIN_FUZZ") == "1" else 2_000


def test_real_runs_raise_no_alarm_but_the_one_that_really_loops() -> None:
    assert not loops.real_alarms()
    runs = loops.real_runs()
    alarmed = {name for name, words in runs.items() if loops.breaches(words)}
    with_calls = {
        name for name, words in runs.items() if loops.breaches(" llm ".join(words).split())
    }
    assert alarmed == with_calls == {loops.REALLY_LOOPS}


@pytest.mark.slow
def test_healthy_runs_raise_no_alarm_once_their_kind_is_known() -> None:
    alarms = loops.false_alarms(HEALTHY_RUNS, before=1_000)
    print(f"seed {loops.SEED}: of {HEALTHY_RUNS} healthy runs alarmed: {alarms}")
    assert not any(alarms.values())


def test_loops_need_nothing_known_to_leave_healthy_runs_alone() -> None:
    assert loops.false_alarms(500)["runaway_loop"] == 0


@pytest.mark.parametrize("family", loops.FAMILIES, ids=lambda family: family.name)
def test_injected_loops_are_caught_at_the_repeat_that_makes_them_one(family: loops.Family) -> None:
    n = 3 * len(family.noises) + 5
    caught, at = loops.recall(family, n)
    print(f"seed {loops.SEED}: {family.name}: {caught} of {n}, at repeat {sorted(set(at))}")
    assert caught == n
    assert max(at) <= family.due + 1  # one call that is none of it may come in between


def test_recall_over_all_families_has_a_wilson_bound_of_98_percent() -> None:
    rng = random.Random(loops.SEED)
    n = 400
    caught = 0
    for i in range(n):
        family = loops.FAMILIES[i % len(loops.FAMILIES)]
        caught += loops.inject(family, rng.choice(family.noises), rng)[0]
    lower, _ = wilson(caught, n, loops.Z_99)
    print(f"seed {loops.SEED}: {caught} of {n} injected loops caught; 99 % bound {lower:.4f}")
    assert lower >= 0.98
