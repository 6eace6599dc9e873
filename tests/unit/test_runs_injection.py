"""How many loops are caught, how soon, and how often a healthy run is called one.

Healthy runs: what real coding agents did (symbols of SWE-agent trajectories, see the JSON
file beside this one), and drawn ones with the habits that look like loops and are none:
edit and test until it passes, pages of a list, a retry that helps, polling, a supervisor.
Loops: nine families spliced into them, with and without model calls and noise between.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tocsin.flow.judge.rules import load_rules
from tocsin.flow.judge.runs import judge_runs, run_case
from tocsin.flow.judge.runs.cases import expand, steps_of
from tocsin.types import RUN_HEADER, ChangedRun, Finding

RULE = next(rule for rule in load_rules() if rule.id == "runaway_loop")
REAL = json.loads(Path(__file__).with_name("test_runs_swe_agent.json").read_text("utf-8"))["runs"]
#: One of the real runs hands in the same wrong flag five times: a loop nobody injected.
LOOPS = "crypto/eps"
SEED = 20_240_601
#: TOCSIN_FUZZ=1 draws enough of them to bound the rate at one in ten thousand.
HEALTHY_RUNS = 70_000 if os.environ.get("TOCSIN_FUZZ") == "1" else 4_000


def wilson(hits: int, n: int, z: float = 2.576) -> tuple[float, float]:
    """The 99 % interval of a share."""
    centre, half = hits + z * z / 2, z * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return (centre - half) / (n + z * z), (centre + half) / (n + z * z)


def judge(text: str, shake: random.Random | None = None) -> list[Finding]:
    """Breaches of a run; `shake` delivers it out of order, and some of it twice."""
    run, labels = run_case(text)
    if shake is not None:
        steps = steps_of(run)
        order = [*range(len(steps)), *shake.choices(range(len(steps)), k=4)]
        shake.shuffle(order)
        body = np.ascontiguousarray(steps[order]).tobytes()
        run = ChangedRun(run.trace_id, run.state[: RUN_HEADER.itemsize] + body)
    return [finding for finding in judge_runs([RULE], [run], labels) if finding.breach]


# ---- healthy -----------------------------------------------------------------------------


def _habit(rng: random.Random) -> list[str]:
    """A stretch of work that repeats something and gets somewhere."""

    def new() -> int:
        return rng.randrange(10**9)

    def times(most: int) -> range:
        return range(rng.randint(1, most))

    job, seen = new(), new()
    habits: list[Callable[[], list[str]]] = [
        lambda: [w for _ in times(6) for w in (f"edit({new()})=ok", f"test()={seen}")],
        lambda: [f"list({page})={new()}" for page in times(9)],
        lambda: [*(f"fetch({job})!timeout" for _ in times(2)), f"fetch({job})={new()}"],
        lambda: [*(f"job_status({job})=running" for _ in times(15)), f"job_status({job})=done"],
        lambda: [w for _ in times(4) for w in ("boss>aide", f"look({new()})={new()}", "aide>boss")],
        lambda: [f"scroll_down()={new()}" for _ in times(9)],
        lambda: [f"query({job})={new()}" for _ in times(4)],
        lambda: [f"read({job})={seen}", f"edit({new()})=ok", f"read({job})={new()}"],
        lambda: [*("llm!429" for _ in times(2)), "llm"],
        lambda: [f"tool{rng.randrange(9)}({new()})={new()}"],
    ]
    return rng.choice(habits)()


def healthy(rng: random.Random) -> list[str]:
    """A run of at most 64 steps."""
    words: list[str] = []
    while len(words) < rng.randint(4, 48):
        words += _habit(rng)
    return [w for word in words for w in (("llm", word) if rng.random() < 0.4 else (word,))][:64]


def test_real_runs_raise_no_alarm_but_the_one_that_really_loops() -> None:
    alarmed = {run["run"] for run in REAL if judge(run["steps"])}
    with_calls = {run["run"] for run in REAL if judge(" llm ".join(run["steps"].split()))}
    assert alarmed == with_calls == {LOOPS}


def test_healthy_runs_raise_no_alarm() -> None:
    rng = random.Random(SEED)
    alarms = sum(bool(judge(" ".join(healthy(rng)))) for _ in range(HEALTHY_RUNS))
    _, upper = wilson(alarms, HEALTHY_RUNS)
    print(f"seed {SEED}: {alarms} of {HEALTHY_RUNS} healthy runs alarmed; 99 % bound {upper:.2e}")
    assert alarms == 0


# ---- loops -------------------------------------------------------------------------------


def _cycle(period: int) -> Callable[[random.Random, int], list[str]]:
    return lambda rng, times: [f"c{i}({rng.randrange(9)})=r" for i in range(period)] * times


FAMILIES: dict[str, tuple[Callable[[random.Random, int], list[str]], int]] = {
    "same result": (lambda _, k: ["search(q)=none"] * k, 3),
    "same error": (lambda _, k: ["search(q)!timeout"] * k, 3),
    "error, no arguments": (lambda _, k: ["search!timeout"] * k, 3),
    "whatever the result": (lambda _, k: [f"search(q)={i}" for i in range(k + 2)], 5),
    "results unknown": (lambda _, k: ["search(q)"] * (k + 2), 5),
    "model errors": (lambda _, k: ["llm!overloaded"] * k, 3),
    "ping-pong": (lambda _, k: ["@a", *(["a>b", "b>a"] * k)], 6),
    "ping-pong with work": (lambda _, k: ["@a", *(["a>b", "look(1)=x", "b>a"] * k)], 9),
    "stuck poll": (lambda _, k: ["job_status(7)=wait"] * (k + 17), 20),
    **{f"cycle of {p}": (_cycle(p), 3 * p) for p in range(2, 9)},
}


def _noisy(words: list[str], noise: str, rng: random.Random) -> list[str]:
    """What lies between two calls of a loop without being part of it."""
    if noise == "none":
        return words
    share = 1.0 if noise == "a model call each" else 0.3
    return [w for word in words for w in (("llm", word) if rng.random() < share else (word,))]


@pytest.mark.parametrize("noise", ["none", "a model call each", "some model calls"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_injected_loops_are_caught_at_the_step_that_makes_them_one(family: str, noise: str) -> None:
    make, at_action = FAMILIES[family]
    caught, n = 0, 60
    rng = random.Random(f"{SEED} {family} {noise}")
    for _ in range(n):
        real = rng.choice([r for r in REAL if r["run"] != LOOPS])["steps"].split()
        before = [*real[: rng.randrange(len(real))], "plan(0)=ok"]
        loop = make(rng, rng.randint(3, 5))
        if family == "model errors" or (family == "stuck poll" and noise != "none"):
            loop_noisy = loop  # a good answer between would end the one; the ring holds the other
        else:
            loop_noisy = _noisy(loop, noise, rng)
        words = [*before, *loop_noisy]
        found = judge(" ".join(words), shake=rng)
        caught += bool(found)
        if found:
            _assert_first(found[0], words, len(before), at_action)
    lower, _ = wilson(caught, n)
    print(f"seed {SEED}: {family}, {noise}: {caught} of {n} caught; 99 % bound {lower:.3f}")
    assert caught == n


def _assert_first(found: Finding, words: list[str], before: int, at_action: int) -> None:
    """The alarm's time is that of the action that completed the loop, none later."""
    run, _ = run_case(" ".join(words))
    steps = [word for word in expand(" ".join(words)) if word[0] != "@"]
    acts = [i for i, word in enumerate(steps) if i >= before and word != "llm"]
    assert found.at_ms <= steps_of(run)["end_ms"][acts[at_action - 1]]


def test_recall_over_all_families_has_a_wilson_bound_of_98_percent() -> None:
    rng = random.Random(SEED)
    names = list(FAMILIES)
    n = 1_000
    caught = 0
    for i in range(n):
        make, _ = FAMILIES[names[i % len(names)]]
        words = [*healthy(rng)[:20], "plan(0)=ok", *make(rng, rng.randint(3, 6))][-64:]
        caught += bool(judge(" ".join(words), shake=rng))
    lower, _ = wilson(caught, n)
    print(f"seed {SEED}: {caught} of {n} injected loops caught; 99 % bound {lower:.4f}")
    assert lower >= 0.98
