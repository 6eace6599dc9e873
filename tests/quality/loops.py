"""Loops injected into healthy runs: how many are caught, how soon, and at what false alarms.

    PYTHONPATH=tests python tests/quality/loops.py [scale]

Healthy runs are real (symbols of SWE-agent trajectories, span exports of seven frameworks)
and drawn: drawn ones have the habits that look like loops and are none. Into them go loops
of nine families, of many lengths, with noise between. Everything is seeded; `report` says it
as two Markdown tables. The unit tests run a small share of it.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from quality.watchman import wilson
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.run_tracker import RunTracker
from tocsin.flow.rule_tests.runs import EPOCH_MS, run_case, steps_of
from tocsin.flow.windows.fold_runs import fold_runs
from tocsin.types import RING, RUN_HEADER, RUN_VERSION, ChangedRun, Finding
from unit.decode_samples import decode_values

TESTS = Path(__file__).parents[1]
RULES = {rule.id: rule for rule in load_rules() if rule.id in {
    "runaway_loop", "run_depth", "run_fan_out", "run_burn",
}}  # fmt: skip
LOOP = RULES["runaway_loop"]
SEED = 20_240_601
#: Of the real runs, the one that hands in the same wrong flag five times: nobody injected it.
REALLY_LOOPS = "crypto/eps"

Words = list[str]
Labels = dict[str, str]
_LATER_MS = 8 * 3_600_000
Z_99 = 2.576  # of a two-sided 99 % interval
PARTS = 4  # shards that the healthy runs are shared among
Job = Callable[[], object]
Work = Callable[[Sequence[Job]], list[object]]


def in_turn(jobs: Sequence[Job]) -> list[object]:
    """The results of the jobs, one after the other."""
    return [job() for job in jobs]


# ---- healthy -----------------------------------------------------------------------------


def real_runs() -> dict[str, Words]:
    """SWE-agent runs as words, by name; the one that loops is among them."""
    file = TESTS / "unit" / "test_runs_swe_agent.json"
    return {run["run"]: run["steps"].split() for run in json.loads(file.read_text("utf-8"))["runs"]}


def real_traces() -> Iterator[tuple[str, ChangedRun, dict[str, str]]]:
    """The recorded traces of frameworks, through the real decode and fold."""
    for file in sorted((TESTS / "golden" / "decode").glob("*.otlp.json")):
        spans = decode_values(file.read_bytes()).spans
        for deltas, labels in fold_runs(spans, 1).values():
            for delta in deltas:
                header = (RUN_VERSION, delta.spans, delta.tokens, delta.cost_nano, delta.first_ms)
                state = np.array(header, RUN_HEADER).tobytes() + delta.steps
                yield file.name, ChangedRun(delta.trace_id, state), dict(labels)


def _habit(rng: random.Random) -> Words:
    """A stretch of work that repeats something and gets somewhere."""

    def new() -> int:
        return rng.randrange(10**9)

    def times(most: int) -> range:
        return range(rng.randint(1, most))

    job, seen, size = new(), new(), rng.choice([40, 200, 1500])

    def grown(tokens: int) -> Words:
        words = []
        for _ in times(9):
            tokens += 30 + int(size * rng.lognormvariate(0, 0.4))
            words += ["look", f"llm:{tokens}"]
        return words

    def workers() -> Words:
        crew = [f"@crew/{new()}" for _ in times(6)]
        first = [w for name in crew for w in (name, "llm", f"read({job})={seen}")]
        rest = [w for name in crew for w in (name, f"look({new()})={new()}")]
        return [*first, *rest, "@agent"]

    habits: list[Callable[[], Words]] = [
        lambda: [w for _ in times(6) for w in (f"edit({new()})=ok", f"test()={seen}")],
        lambda: [f"list({page})={new()}" for page in times(9)],
        lambda: [*(f"fetch({job})!timeout" for _ in times(2)), f"fetch({job})={new()}"],
        lambda: [*(f"job_status({job})=running" for _ in times(15)), f"job_status({job})=done"],
        lambda: [w for _ in times(4) for w in ("boss>aide", f"look({new()})={new()}", "aide>boss")],
        lambda: [f"scroll_down()={new()}" for _ in times(9)],
        lambda: [f"read_more({job})={new()}" for _ in times(9)],
        lambda: [f"read({job})={seen}", f"edit({new()})=ok", f"read({job})={new()}"],
        lambda: [*("llm!429" for _ in times(2)), "llm"],
        lambda: [f"tool{rng.randrange(9)}({new()})={new()}"],
        lambda: ["llm", *(f"fetch({new()})={new()}" for _ in times(8)), "llm"],
        lambda: [w for _ in times(3) for w in ("aide{", "llm", f"look({new()})={new()}", "}")],
        lambda: ["boss{", "llm", "aide{", f"look({new()})={new()}", "llm", "}", "llm", "}"],
        lambda: grown(rng.randint(300, 3_000)),
        workers,
    ]
    return rng.choice(habits)()


def healthy(rng: random.Random, most: int = 50) -> Words:
    """A run of at most `most` steps that does its work and ends."""
    words: Words = []
    goal = rng.randint(4, most - 12)
    while len(words) < goal:
        words += _habit(rng)
    # A model call before most acts: one that asks for many at once has them all to itself.
    words = [w for word in words for w in (("llm", word) if _acts(word, rng) else (word,))]
    kept: Words = []
    for word in words:
        if len(kept) >= most and not _open(kept):
            break
        kept.append(word)
    return [*kept, "@agent", "end"]


def _acts(word: str, rng: random.Random) -> bool:
    return word[0] not in "@}" and word[-1] != "{" and word[:3] != "llm" and rng.random() < 0.4


def _open(words: Words) -> int:
    return sum(word[-1] == "{" for word in words) - words.count("}")


# ---- loops -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of loop: its acts for so many repeats, and the repeats at which it is due."""

    name: str
    make: Callable[[random.Random, int], Words]
    period: int  # acts a repeat
    due: int  # repeats
    noises: tuple[str, ...]


_ALL = ("none", "model calls", "some model calls", "one other call", "another agent")
_OWN = ("none", "model calls", "some model calls")


def _cycle(period: int) -> Callable[[random.Random, int], Words]:
    return lambda rng, times: [f"c{i}({rng.randrange(9)})=r" for i in range(period)] * times


def _storm(rng: random.Random, times: int) -> Words:
    """The same error, and waits that double."""
    return [w for k in range(times) for w in ("charge(7)!timeout", f"+{2**k * rng.random():.2f}")]


def _near(rng: random.Random, times: int, tools: Sequence[str]) -> Words:
    """Blind turns that grow the context by a constant step, but for a token or two."""
    tokens, step, words = rng.randint(500, 20_000), rng.randint(40, 900), list[str]()
    for _ in range(times):
        tokens += step
        words += [*tools, f"llm:{tokens + rng.randint(-1, 1)}"]
    return [f"llm:{tokens - times * step}", *words]


def _two(rng: random.Random, times: int) -> Words:
    results = [str(rng.randrange(2)) for _ in range(times)]
    results[1:3] = ["0", "1"]  # no three alike at the start: it is the fifth that counts
    results[0], results[3], results[4] = "1", "0", "1"
    return [f"search(q)={result}" for result in results]


FAMILIES: tuple[Family, ...] = (
    Family("identical call, same result", lambda _, k: ["search(q)=none"] * k, 1, 3, _ALL),
    Family("identical call, same error", lambda _, k: ["search(q)!denied"] * k, 1, 3, _ALL),
    Family("error, arguments unknown", lambda _, k: ["search!denied"] * k, 1, 3, _ALL),
    Family("retry storm, growing gaps", _storm, 1, 3, _ALL),
    Family("model errors", lambda _, k: ["llm!overloaded"] * k, 1, 3, ("none",)),
    *(Family(f"cycle of {p}", _cycle(p), p, 3, _ALL) for p in range(2, 9)),
    Family("ping-pong", lambda _, k: ["@a", *["a>b", "b>a"] * k], 2, 3, _OWN),
    Family("ping-pong with work", lambda _, k: ["@a", *["a>b", "do(1)=x", "b>a"] * k], 3, 3, _OWN),
    Family("poll that never changes", lambda _, k: ["job_status(7)=wait"] * k, 1, 20, ("none",)),
    Family("same call, two results", _two, 1, 5, _ALL),
    Family("blind: results unknown", lambda _, k: ["search(q)"] * k, 1, 5, _ALL),
    Family("near: constant growth", lambda r, k: _near(r, k, ["look"]), 1, 8, ("none",)),
    Family("near: two tools a turn", lambda r, k: _near(r, k, ["look", "put"]), 2, 8, ("none",)),
)


def noisy(words: Words, noise: str, period: int, rng: random.Random) -> Words:
    """What lies between the acts of a loop without being part of it."""
    if noise == "one other call":
        at = rng.randrange(period)  # before the loop has gone round once
        return [*words[:at], f"other({rng.randrange(10**9)})=x", *words[at:]]
    between = {
        "none": (0.0, []),
        "model calls": (1.0, ["llm"]),
        "some model calls": (0.3, ["llm"]),
        "another agent": (0.5, ["@other", "look(NEW)=NEW", "@agent"]),
    }
    share, words_between = between[noise]
    out: Words = []
    for word in words:
        if word[0] not in "@+" and rng.random() < share:
            out += [w.replace("NEW", str(rng.randrange(10**9))) for w in words_between]
        out.append(word)
    return out


# ---- measuring ---------------------------------------------------------------------------


def breaches(
    words: Words, shake: random.Random | None = None, rules: Sequence[Rule] = (LOOP,)
) -> list[Finding]:
    """Breaches of a run, the earliest first; `shake` delivers it out of order, some of it twice."""
    run, labels = run_case(" ".join(words))
    if shake is not None:
        steps = steps_of(run)
        order = [*range(len(steps)), *shake.choices(range(len(steps)), k=4)]
        shake.shuffle(order)
        body = np.ascontiguousarray(steps[order]).tobytes()
        run = ChangedRun(run.trace_id, run.state[: RUN_HEADER.itemsize] + body)
    found = [finding for finding in RunTracker(rules).judge([run], labels) if finding.breach]
    return sorted(found, key=lambda finding: finding.at_ms)


def inject(family: Family, noise: str, rng: random.Random) -> tuple[bool, int]:
    """Splice one loop into a healthy run: was it caught, and at which of its repeats?"""
    real = [words for name, words in sorted(real_runs_cached().items()) if name != REALLY_LOOPS]
    base = rng.choice(real) if rng.random() < 0.5 else healthy(rng, 30)[:-2]
    base = base[: rng.randrange(1, len(base) + 1)]
    base = [*base, *["}"] * max(0, _open(base)), "@agent", "plan(0)=ok"]
    loop = family.make(rng, family.due + rng.randint(1, 6))
    spliced = noisy(loop, noise, family.period, rng)
    ends = steps_of(run_case(" ".join([*base, *spliced]))[0])["end_ms"]
    start = len(steps_of(run_case(" ".join(base))[0]))
    caught = [f for f in breaches([*base, *spliced], rng) if f.at_ms >= ends[start]]
    if not caught:
        return False, 0
    acts = [word for word in spliced if word[0] not in "@+"]
    acts = acts[: int(np.searchsorted(ends, caught[0].at_ms)) - start + 1]
    own = [word for word in acts if word in set(loop) and word[:4] != "llm:"]
    return True, math.ceil(len(own) / family.period)


_REAL: dict[str, Words] = {}


def real_runs_cached() -> dict[str, Words]:
    """`real_runs`, read once."""
    if not _REAL:
        _REAL.update(real_runs())
    return _REAL


def drawn(rng: random.Random, count: int, late_ms: int = 0) -> tuple[list[ChangedRun], Labels]:
    """So many healthy runs and their labels; each ends `late_ms` later than it would."""
    runs, labels = [], dict[str, str]()
    for i in range(count):
        run, part = run_case(" ".join(healthy(rng)), trace_id=f"t{late_ms}-{i}")
        labels |= part
        steps = steps_of(run).copy()[-RING:]
        steps["end_ms"] += late_ms
        runs.append(ChangedRun(run.trace_id, run.state[: RUN_HEADER.itemsize] + steps.tobytes()))
    return runs, labels


def known(rng: random.Random, count: int) -> RunTracker:
    """A shard that has seen so many healthy runs end, eight hours ago."""
    track = RunTracker(list(RULES.values()))
    if count:
        track.see(*drawn(rng, count))
        track.close(EPOCH_MS + 3_600_000)
    return track


def false_alarms(count: int, before: int = 0, seed: int = SEED) -> Counter[str]:
    """Of so many drawn healthy runs, how many each rule alarms at, `before` others known."""
    rng = random.Random(seed)
    track = known(rng, before)
    alarmed = Counter(dict.fromkeys(RULES, 0))
    for first in range(0, count, 500):
        runs, labels = drawn(rng, min(500, count - first), _LATER_MS + first)
        found = track.judge(runs, labels)
        for rule in RULES:
            alarmed[rule] += len({f.traces[0] for f in found if f.breach and f.rule == rule})
    return alarmed


def real_alarms() -> Counter[str]:
    """Rule -> real runs and traces it alarms at, but for the one that really loops."""
    rules = list(RULES.values())
    alarmed: Counter[str] = Counter()
    for name, words in real_runs().items():
        if name != REALLY_LOOPS:
            alarmed.update({f.rule for f in breaches(words, rules=rules)})
    for _, run, labels in real_traces():
        alarmed.update({f.rule for f in RunTracker(rules).judge([run], labels) if f.breach})
    return alarmed


def report(scale: float = 1.0, work: Work = in_turn) -> str:
    """Recall by family and false alarms by rule, as Markdown. Scale 1 takes half an hour of a
    core; `work` does the jobs it is given and returns their results in order.
    """
    each, runs = max(10, round(400 * scale)), PARTS * max(250, round(100_000 / PARTS * scale))
    families = [partial(_recall_of, number, each) for number in range(len(FAMILIES))]
    share = [partial(false_alarms, runs // PARTS, 2_000, SEED + i) for i in range(PARTS)]
    alone = [partial(false_alarms, runs // 5)]
    results = work([*share, *alone, *families])
    *shared, first = (cast("Counter[str]", result) for result in results[: PARTS + 1])
    found = [cast("tuple[int, list[int]]", result) for result in results[PARTS + 1 :]]
    then = sum(shared, Counter(dict.fromkeys(RULES, 0)))
    lines = [
        f"Loops injected into healthy runs (seed {SEED}); 99 % Wilson bounds.",
        "",
        "| family | noise | caught | recall, lower bound | caught at repeat: median, last | due |",
        "|---|---|---|---|---|---|",
    ]
    total = hits = 0
    for family, (caught, at) in zip(FAMILIES, found, strict=True):
        total, hits = total + each, hits + caught
        lines.append(
            f"| {family.name} | {len(family.noises)} kinds | {caught} of {each} "
            f"| {wilson(caught, each, Z_99)[0]:.4f} | {np.median(at):.0f}, {max(at)} "
            f"| {family.due} |"
        )
    lower = wilson(hits, total, Z_99)[0]
    lines.append(f"| all | | {hits} of {total} | {lower:.4f} | | |")
    said = (
        f"Healthy runs: {runs:,} drawn, with 2,000 of their kind known before (and {runs // 5:,} "
        f"with nothing known), {len(real_runs()) - 1} real runs, {len(list(real_traces()))} real "
        "traces."
    )
    lines += [
        "",
        said,
        "",
        "| rule | drawn runs that alarm | upper bound | nothing known | real ones |",
        "|---|---|---|---|---|",
    ]
    real = real_alarms()
    for rule in RULES:
        count = then[rule]
        bound, early = wilson(count, runs, Z_99)[1], first[rule] / (runs // 5)
        lines.append(f"| {rule} | {count} | {bound:.1e} | {early:.1e} | {real.get(rule, 0)} |")
    return "\n".join(lines)


def recall(family: Family, count: int, seed: int = SEED) -> tuple[int, list[int]]:
    """How many of so many loops of a family are caught, and at which repeat each was."""
    rng = random.Random(f"{seed} {family.name}")
    results = [inject(family, family.noises[i % len(family.noises)], rng) for i in range(count)]
    return sum(caught for caught, _ in results), [at for caught, at in results if caught] or [0]


def _recall_of(number: int, count: int) -> tuple[int, list[int]]:
    """`recall` of a family by its number: families hold closures, which no process can be sent."""
    return recall(FAMILIES[number], count)


if __name__ == "__main__":
    sys.stdout.write(report(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0) + "\n")
