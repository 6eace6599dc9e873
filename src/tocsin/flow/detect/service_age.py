"""How long a service is known: everything of a new service is new, and that is no news."""

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.calendars import DAY_S
from tocsin.types import join_series, split_series

_SUBSTITUTIONS = "calls_by_substitution"
#: The views with one series a service: the age of the oldest is the service's.
_BY_SERVICE = ("calls_by_service", "runs_by_service", "tools_by_service")


def is_service_warm(graded: Graded, series: str) -> bool:
    """Whether the service of a series (its key) is known for longer than the warm-up.

    Always so of a model that answered in another's stead: of that a new service is told too.
    """
    if split_series(series)[0] == _SUBSTITUTIONS:
        return True
    return service_age_s(graded, series) >= min(graded.warmup * graded.history.window_s, DAY_S)


def is_new(graded: Graded, series: str) -> bool:
    """Whether a series (its key) was never met before, in a service past its warm-up."""
    return graded.known.is_new(series, graded.at, lambda name: is_service_warm(graded, name))


def service_age_s(graded: Graded, series: str) -> int:
    """Seconds since the service of a series was first heard of, as `History.age` counts them."""
    env, service = split_series(series)[1][:2]
    rows = graded.history.catalog.known(join_series(view, env, service) for view in _BY_SERVICE)
    return int(graded.history.age(rows, graded.at).max(initial=0))
