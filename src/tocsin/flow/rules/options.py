"""Options of rules with a schema of their own, validated when the rule is loaded."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tocsin.flow.baseline.history.sketch_history import SKETCH_PREFIX
from tocsin.flow.windows.views import VIEWS
from tocsin.types import Slo

_DIMS: Mapping[str, tuple[str, ...]] = {view.name: view.dims for view in VIEWS}


class Equivalence(BaseModel):
    """Options of the test that a distribution has not changed: see `detect/equivalence.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal: str | None = None
    q: Annotated[float, Field(gt=0, lt=1)] = 0.95
    band: Annotated[float, Field(gt=0, lt=1)] = 0.10
    sure: Annotated[float, Field(ge=0.5, lt=1)] | None = None


_SLOS = TypeAdapter(tuple[Slo, ...])
_LIMITS = TypeAdapter(dict[str, Annotated[float, Field(gt=0)]])


def equivalence_of(options: Mapping[str, Any]) -> Equivalence | None:
    """The `equivalence` option; None without it. Raises ValueError."""
    given = options.get("equivalence")
    if not given:
        return None
    equivalence = Equivalence.model_validate(given)
    if equivalence.signal is not None and equivalence.signal not in SKETCH_PREFIX:
        known = ", ".join(SKETCH_PREFIX)
        message = f"equivalence.signal {equivalence.signal!r} is no distribution; known: {known}"
        raise ValueError(message)
    return equivalence


def one_of(options: Mapping[str, Any], name: str, known: Collection[str]) -> None:
    """Refuse an option that is none of the known words. Raises ValueError."""
    if options[name] not in known:
        message = f"options.{name} {options[name]!r} is unknown; known: {', '.join(known)}"
        raise ValueError(message)


def strata_of(options: Mapping[str, Any]) -> Mapping[str, str]:
    """The `strata` option: view -> the finer view its strata are in. Raises ValueError."""
    given: Mapping[str, str] = options.get("strata") or {}
    for view, finer in given.items():
        if view not in _DIMS or finer not in _DIMS:
            message = f"strata: view {view if view not in _DIMS else finer!r} is unknown"
            raise ValueError(message)
        if not set(_DIMS[view]) < set(_DIMS[finer]):
            message = f"strata: view {finer!r} is no finer than {view!r}"
            raise ValueError(message)
    return given


def slos_of(options: Mapping[str, Any]) -> tuple[Slo, ...]:
    """The `slos` option: objectives as the configuration writes them. Raises ValueError."""
    return _SLOS.validate_python(options.get("slos") or ())


def max_ms_of(options: Mapping[str, Any]) -> Mapping[str, float]:
    """The `max_ms` option: shell pattern -> the longest allowed, ms. Raises ValueError."""
    return _LIMITS.validate_python(options.get("max_ms") or {})
