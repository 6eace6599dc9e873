"""A/A: weeks of healthy traffic of all sorts. Whatever rings is a false alarm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quality.fleet import Fleet, varied
from quality.watchman import Opening, Progress, poisson_upper, watch
from tocsin.demo.conditions import DAY

#: Opening of an alert of these is no false alarm: a new name is news, and says so.
_NEWS = {"new_model"}


@dataclass(frozen=True, slots=True)
class Healthy:
    """What healthy traffic raised, over how much of it."""

    series: int
    series_days: float
    openings: tuple[Opening, ...]
    days: int

    def rate(self, severity: str) -> tuple[int, float, float]:
        """Episodes, episodes a series-day, and its 95 % upper limit."""
        count = sum(o.severity == severity for o in self.openings)
        return count, count / self.series_days, poisson_upper(count) / self.series_days

    def by_rule(self) -> Counter[str]:
        return Counter(o.rule for o in self.openings)

    def worst_services(self) -> Sequence[tuple[str, int]]:
        return Counter(o.service for o in self.openings).most_common(5)


def healthy(services: int, days: int, seed: int, progress: Progress | None = None) -> Healthy:
    """Watch `services` varied services for `days` days; the first is their warm-up."""
    fleet = Fleet(varied(services, np.random.default_rng(seed), days), seed=seed)
    found = watch(fleet, range(days * DAY), progress=progress)
    told = tuple(o for o in found.openings if o.rule not in _NEWS)
    return Healthy(len(found.series), found.series_days, told, days)


def together(parts: Sequence[Healthy]) -> Healthy:
    """Several fleets as one; services of the n-th are named `n:...`."""
    return Healthy(
        sum(part.series for part in parts),
        sum(part.series_days for part in parts),
        tuple(
            replace(opening, service=f"{number}:{opening.service}")
            for number, part in enumerate(parts)
            for opening in part.openings
        ),
        parts[0].days,
    )
