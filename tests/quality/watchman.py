"""Runs a fleet through the live detection code, and says what was opened for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from quality.fleet import Fleet
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import WindowFrame

Progress = Callable[[int, int], None]
_OPENINGS = {"opened", "reopened", "flapping", "unsuppressed"}


@dataclass(frozen=True, slots=True)
class Opening:
    """An alert began: which, of whom, in which window, and how it read."""

    rule: str
    service: str
    severity: str
    window: int  # index in the fleet
    at_s: int
    summary: str


@dataclass(slots=True)
class Watched:
    """What a fleet brought: openings in order, and how much was judged."""

    openings: list[Opening] = field(default_factory=list)
    series: set[str] = field(default_factory=set)
    windows: int = 0

    @property
    def series_days(self) -> float:
        return len(self.series) * self.windows / 1_440


def watch(
    fleet: Fleet,
    windows: Iterable[int],
    *,
    rules: Sequence[Rule] | None = None,
    settings: DetectSettings | None = None,
    change: Callable[[int, WindowFrame], WindowFrame | None] | None = None,
    progress: Progress | None = None,
) -> Watched:
    """Judge these windows of a fleet in order.

    Args:
        fleet: what to watch.
        windows: indices, ascending.
        rules: the shipped ones unless given.
        settings: the shipped ones unless given.
        change: (index, window) -> what arrives instead; None = the window is never evaluated.
        progress: told (done, of).
    """
    evaluator = ShardEvaluator(tuple(rules or load_rules()), settings or DetectSettings())
    indices, found = list(windows), Watched()
    for done, i in enumerate(indices, 1):
        frame = fleet.frame(i)
        got = change(i, frame) if change else frame
        if got is None:
            continue
        found.series.update(got.series)
        found.windows += 1
        result = evaluator.evaluate_window(got)
        found.openings += [
            opening for event in result.events if (opening := _opening(event, fleet)) is not None
        ]
        if progress:
            progress(done, len(indices))
    return found


def _opening(event: AlertEvent, fleet: Fleet) -> Opening | None:
    if event.status != "firing" or event.reason not in _OPENINGS:
        return None
    at_s = event.at // 1_000
    return Opening(
        event.rule,
        event.service,
        event.severity,
        (at_s - 1 - fleet.start) // 60,
        at_s,
        event.summary,
    )


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a proportion (Wilson 1927); (0, 1) of nothing."""
    if not of:
        return 0.0, 1.0
    p = hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * float(np.sqrt(p * (1 - p) / of + z * z / (4 * of * of)))
    return max(0.0, middle - half), min(1.0, middle + half)


def poisson_upper(count: int, z_level: float = 0.95) -> float:
    """Upper confidence limit of a Poisson mean given a count (Garwood 1936)."""
    from scipy.stats import chi2

    return float(chi2.ppf(z_level, 2 * (count + 1)) / 2)
