"""The sections of docs/quality.md: each measures one thing and says it in Markdown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from quality import bad_days, loops, plot, run_score
from quality.healthy import healthy, together
from quality.power import QUESTIONS, Cell, Question, ask, table

#: Told (what, done, of) now and then.
Step = Callable[[str, int, int], None]
SEED = 20_261
#: Fleets that the healthy services are shared among, each with a seed of its own.
FLEETS, WORKERS = 4, 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what stands below it, and pictures by file name."""

    title: str
    text: str
    files: Mapping[str, str] = field(default_factory=dict)


def spread(step: Step, what: str, jobs: Sequence[Callable[[], T]]) -> list[T]:
    """The results of the jobs in their order, run on two cores; each can be pickled."""
    with ProcessPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(job) for job in jobs]
        for done, _ in enumerate(as_completed(futures), 1):
            step(what, done, len(jobs))
        return [future.result() for future in futures]


def section_healthy(scale: float, step: Step) -> Section:
    """A/A: healthy traffic for four weeks."""
    services, days = max(1, round(6 * scale)) * FLEETS, 28
    fleets = [partial(healthy, services // FLEETS, days, SEED + i) for i in range(FLEETS)]
    found = together(spread(step, "fleets", fleets))
    warnings, pages = found.rate("warning"), found.rate("critical")
    rules = ", ".join(f"{rule} {count}" for rule, count in found.by_rule().most_common())
    worst = ", ".join(f"{service} {count}" for service, count in found.worst_services())
    text = f"""
{services} services of all sorts (0.2 to 60 runs a minute, over-dispersed, with days, weekends,
holidays, bursts up to 2.5 times, wandering latencies and error rates) for {days} days:
{found.series:,} series, **{found.series_days:,.0f} series-days**, seed {SEED}.
Whatever rings is false.

| | episodes | a series-day | 95 % upper limit | gate |
|---|---|---|---|---|
| warnings | {warnings[0]} | {warnings[1]:.5f} | {warnings[2]:.5f} | 0.05 |
| pages (critical) | {pages[0]} | {pages[1]:.5f} | {pages[2]:.5f} | 0.005 |

By rule: {rules or "none"}. By service: {worst or "none"}.
"""
    return Section("Healthy traffic (A/A)", text.strip())


def section_power(scale: float, step: Step) -> Section:
    """Injected faults: three sizes in three volumes each."""
    repeats = max(2, round(10 * scale))
    parts, files, false = [], {}, 0
    asked = spread(step, "questions", [partial(ask, q, repeats, SEED) for q in QUESTIONS])
    for question, cells in zip(QUESTIONS, asked, strict=True):
        false += sum(cell.false for cell in cells)
        files[f"power-{question.kind}.svg"] = _curve(question, cells)
        parts.append(
            f"### {question.kind}\n\n{table(cells)}\n\n"
            f"![power of {question.kind}](quality/power-{question.kind}.svg)"
        )
    intro = (
        f"Each cell: caught of {repeats} services (Wilson 95 % bounds), and the median minutes "
        "from the onset to the alert, windows and persistence included. The smallest size of each "
        "kind lies below the rule's threshold and is meant to stay silent. Alerts before an "
        f"onset: {false}."
    )
    return Section("Power: injected faults", "\n\n".join([intro, *parts]), files)


def section_bad_days(scale: float, step: Step) -> Section:
    """Troubles, and what they leave behind."""
    count = max(2, round(8 * scale))
    jobs = [partial(bad_days.live_through, i, count, SEED) for i in range(len(bad_days.SCENARIOS))]
    answers = spread(step, "troubles", jobs)
    text = (
        "The same fleet lives with a trouble and without it. The trouble itself is to be told; "
        "after it, alarms must be as few as they would have been.\n\n" + bad_days.table(answers)
    )
    return Section("Bad days", text)


def section_loops(scale: float, step: Step) -> Section:
    """Loops spliced into healthy runs, and healthy runs that must not ring."""
    text = loops.report(scale, partial(spread, step, "families"))
    return Section("Runs: loops injected, healthy runs", text)


def section_score(scale: float, step: Step) -> Section:
    """`tocsin score` on public data and on a simulated fleet of KPIs."""
    del scale
    step("series", 0, 1)
    text = (
        "The two groups are what was developed on, so these figures are in-sample; the other "
        "five groups of the benchmark and the per-minute service KPIs of AIOPS and WSD were "
        "never looked at. The published goals are 65 (standard) and 55 (low false positives) "
        "over all 58 files, and at most 0.06 false rows a series-day.\n\n" + run_score.report()
    )
    return Section("`tocsin score`: any series", text)


#: Scripts of tests/bench whose figures are asked for here, and what each measures.
BENCHES = (
    ("bench_detect.py", "4000", "Closing a window of 4,000 series (goal 20 us a series-window)"),
    ("bench_replay.py", "10", "`tocsin replay` of ten minutes (goal 200,000 spans/s)"),
)


def section_cost(scale: float, step: Step) -> Section:
    """What judging costs, by the scripts of `make bench`; one after the other, on one core."""
    del scale
    intro = (
        "Processor time on whatever machine this ran on; elsewhere only the ratios hold. That a "
        "replay says byte for byte what was said live is a test: `tests/e2e/test_replay.py`."
    )
    parts = [intro]
    for done, (script, size, what) in enumerate(BENCHES):
        step(script, done, len(BENCHES))
        path = Path(__file__).parents[1] / "bench" / script
        ran = subprocess.run(
            [sys.executable, str(path), size], capture_output=True, text=True, check=True
        )
        parts.append(f"{what}:\n\n```\n{ran.stdout.strip()}\n```")
    return Section("Cost", "\n\n".join(parts))


def _curve(question: Question, cells: list[Cell]) -> str:
    series = {
        f"{size:g} {question.unit}": [(c.rate, c.caught / c.of) for c in cells if c.size == size]
        for size in question.sizes
    }
    return plot.lines(f"{question.kind}: share caught", "runs a minute", series)


SECTIONS: Mapping[str, Callable[[float, Step], Section]] = {
    "healthy": section_healthy,
    "power": section_power,
    "bad_days": section_bad_days,
    "loops": section_loops,
    "score": section_score,
    "cost": section_cost,
}
