"""Power curves: each kind of fault at three sizes in three volumes, through the shipped rules.

Every cell is a handful of services that live healthily for `HISTORY` windows and then break,
each at its own minute. A cell's figure is how many of them some expected rule told, and how
long after the onset; an alert of a service before its onset is a false one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quality.fleet import Fleet
from quality.watchman import Opening, Progress, watch, wilson
from tocsin.demo.conditions import DAY, Fault, Service

HISTORY = DAY + 120  # a day and two hours: the warm-up is over, no weeks are known


@dataclass(frozen=True, slots=True)
class Question:
    """A kind of fault, the rules that should tell it, and where to ask."""

    kind: str
    sizes: tuple[float, float, float]
    rates: tuple[float, float, float]  # runs a minute
    rules: tuple[str, ...]  # prefixes of rule ids
    minutes: int = 120  # how long the fault lasts, and is waited for
    unit: str = "x"


QUESTIONS: tuple[Question, ...] = (
    Question("rate", (3.0, 10.0, 30.0), (1, 10, 60), ("spike_", "surge_"), 30),
    Question("silence", (5, 10, 30), (0.5, 3, 30), ("flatline", "drop_"), 60, "min"),
    Question("drop", (0.6, 0.4, 0.2), (5, 20, 60), ("drop_",), 120),
    Question("share", (0.12, 0.25, 0.35), (1, 5, 30), ("share_",), 120, "points"),
    Question("latency", (1.1, 1.3, 1.6), (2, 10, 60), ("latency_calls", "latency_runs"), 120),
    Question("tool_latency", (1.2, 1.7, 3.0), (2, 10, 60), ("latency_tools",), 120),
    Question("ttft", (1.1, 1.4, 2.0), (2, 10, 60), ("ttft_",), 120),
    Question("tokens", (1.2, 1.7, 3.0), (1, 5, 30), ("tokens_",), 120),
    Question("tail", (1.2, 2.0, 4.0), (5, 20, 60), ("tokens_",), 120),
    Question("cost", (1.2, 1.8, 3.0), (1, 5, 30), ("cost_",), 120),
    Question("calls", (1.2, 1.8, 3.0), (1, 5, 30), ("invocations_",), 120),
    Question("handoffs", (1.2, 2.0, 4.0), (2, 10, 60), ("handoff_",), 120),
    Question("errors", (0.03, 0.10, 0.30), (2, 10, 60), ("error_rate",), 60, "rate"),
    Question("timeouts", (0.006, 0.03, 0.10), (5, 20, 60), ("timeout_",), 120, "rate"),
    Question("new_class", (0.0005, 0.02, 0.10), (2, 10, 60), ("error_class",), 60, "rate"),
    Question("stage", (0.5, 0.7, 0.85), (2, 10, 60), ("stage_share",), 120, "of run time"),
    Question("score", (-0.02, -0.15, -0.4), (2, 10, 60), ("score_",), 120, "change"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault size in one volume."""

    question: Question
    size: float
    rate: float
    of: int
    caught: int
    delays_min: tuple[float, ...]
    false: int

    @property
    def bounds(self) -> tuple[float, float]:
        return wilson(self.caught, self.of)


def ask(
    question: Question, repeats: int, seed: int, progress: Progress | None = None
) -> list[Cell]:
    """The nine cells of a question, `repeats` services each."""
    rng = np.random.default_rng([seed, QUESTIONS.index(question)])
    services: list[Service] = []
    faults: list[Fault] = []
    for size in question.sizes:
        for rate in question.rates:
            for repeat in range(repeats):
                name = f"{size:g}-{rate:g}-{repeat}"
                services.append(_service(name, rate, rng))
                faults.append(_fault(question, name, size, HISTORY + int(rng.integers(0, 60))))
    fleet = Fleet(services, faults, seed)
    last = HISTORY + 60 + question.minutes + 15
    found = watch(fleet, range(last), progress=progress).openings
    return [
        _cell(question, size, rate, faults, found)
        for size in question.sizes
        for rate in question.rates
    ]


def _service(name: str, rate: float, rng: np.random.Generator) -> Service:
    """Healthy, at its usual hour: the day's curve is kept low, the volume is the question."""
    return Service(
        name,
        rate=rate,
        size=float(rng.choice([5, 20, 50])),
        daily=float(rng.uniform(0.1, 0.3)),
        weekend=1.0,
        phase=float(rng.uniform(0, 24)),
        bursts=0.0,
        sigma=float(rng.uniform(0.4, 0.6)),
        wander=0.02,
    )


def _fault(question: Question, name: str, size: float, first: int) -> Fault:
    if question.kind == "silence":
        return Fault("rate", name, first, first + int(size), 0.0)
    kind = "rate" if question.kind == "drop" else question.kind
    return Fault(kind, name, first, first + question.minutes, size)


def _cell(
    question: Question, size: float, rate: float, faults: Sequence[Fault],
    found: Sequence[Opening],
) -> Cell:  # fmt: skip
    prefix = f"{size:g}-{rate:g}-"
    mine = [fault for fault in faults if fault.service.startswith(prefix)]
    delays, false = [], 0
    for fault in mine:
        told = [o for o in found if o.service == fault.service]
        false += sum(o.window < fault.first for o in told)
        hits = [
            o.window
            for o in told
            if fault.first <= o.window < fault.last + 15 and o.rule.startswith(question.rules)
        ]
        delays += [min(hits) + 1 - fault.first] if hits else []
    return Cell(question, size, rate, len(mine), len(delays), tuple(delays), false)


def table(cells: Sequence[Cell]) -> str:
    """Markdown: one row a size, one column a volume."""
    rates = sorted({cell.rate for cell in cells})
    lines = [
        "| size | " + " | ".join(f"{rate:g} runs/min" for rate in rates) + " |",
        "|---" * (len(rates) + 1) + "|",
    ]
    for size in dict.fromkeys(cell.size for cell in cells):
        row = [next(c for c in cells if c.size == size and c.rate == rate) for rate in rates]
        lines.append(f"| {size:g} {row[0].question.unit} | " + " | ".join(map(_show, row)) + " |")
    return "\n".join(lines)


def _show(cell: Cell) -> str:
    low, high = cell.bounds
    delay = f", {np.median(cell.delays_min):.0f} min" if cell.delays_min else ""
    return f"{cell.caught}/{cell.of} ({low:.2f}–{high:.2f}){delay}"
