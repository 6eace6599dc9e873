"""How long a service is known: of a new one everything is new."""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.types import join_series, split_series

_SUBSTITUTES = "calls_by_substitution"
#: The views by whose first sight the age of a service is told.
_WHOLES = ("calls_by_service", "runs_by_service", "tools_by_service")


def is_warm(graded: Graded, series: str) -> bool:
    """Whether the service of a series is past its warm-up. A stand-in asks for none."""
    if split_series(series)[0] == _SUBSTITUTES:
        return True
    return service_age(graded, series) >= min(graded.warmup * graded.history.window_s, 86_400)


def service_age(graded: Graded, series: str) -> int:
    """Seconds since the service of a series was first heard of, some 26 hours at most."""
    env, service = split_series(series)[1][:2]
    found = [graded.history.catalog.find(join_series(whole, env, service)) for whole in _WHOLES]
    rows = np.array([row for row in found if row >= 0], np.int64)
    return int(graded.history.age(rows, graded.at).max(initial=0))
