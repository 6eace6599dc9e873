"""Latency objectives, and cost budgets of model calls."""

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tocsin.types.findings import Severity

#: Which dimensions an objective may name together, beside env and service.
OBJECTIVES: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in ("", "agent", "route", "model", "provider", "tool", "stage", "route model",
                  "agent tool")
)  # fmt: skip
_LEVELS: Mapping[str, float] = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(frozen=True, slots=True)
class Slo:
    """A latency objective: what quantiles of some series may be at most.

    Dimensions are shell patterns; those left out are not looked at: with none, runs of the
    service are meant, with a model its calls, with a tool its calls, with a stage its steps.
    """

    env: str = "*"
    service: str = "*"
    agent: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    tool: str | None = None
    stage: str | None = None
    #: Of what: how long it took, or the time to the first token of streamed model calls.
    signal: Literal["duration", "ttft"] = "duration"
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    severity: Severity = "critical"

    def __post_init__(self) -> None:
        """Refuse an objective that no view can be held to."""
        if self.names not in OBJECTIVES:
            message = f"an objective cannot name {' and '.join(sorted(self.names))} together"
            raise ValueError(message)
        if self.signal == "ttft" and self.names & {"tool", "stage"}:
            message = "only model calls have a time to first token, no tool and no stage"
            raise ValueError(message)
        if not self.levels or any(ms <= 0 for _, ms in self.levels):
            message = "an objective needs one of p50_ms, p90_ms, p95_ms, p99_ms, above 0"
            raise ValueError(message)

    @property
    def names(self) -> frozenset[str]:
        """The dimensions it names, beside env and service."""
        return frozenset(self.where) - {"env", "service"}

    @property
    def where(self) -> dict[str, tuple[str, ...]]:
        """Dimension -> pattern."""
        dims = ("env", "service", "agent", "route", "model", "provider", "tool", "stage")
        return {dim: (value,) for dim in dims if (value := getattr(self, dim)) is not None}

    @property
    def levels(self) -> tuple[tuple[float, float], ...]:
        """(quantile 0..1, at most so many ms)."""
        given = ((q, getattr(self, name)) for name, q in _LEVELS.items())
        return tuple((q, ms) for q, ms in given if ms is not None)


#: Which dimensions a budget may name together, beside env and service.
BUDGETED: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split()) for names in ("", "agent", "route", "model", "provider", "route model")
)


@dataclass(frozen=True, slots=True)
class CostBudget:
    """What model calls may cost. Each series that matches has the budget for itself.

    Dimensions are shell patterns, as of Slo. A budget lies within one service, since no shard
    knows more; 0 is no limit of that kind. Days and months are those of the time zone.
    """

    env: str = "*"
    service: str = "*"
    agent: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    daily_usd: float = 0.0
    monthly_usd: float = 0.0
    per_call_usd: float = 0.0
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse a budget that no view can be held to, or that limits nothing."""
        if self.names not in BUDGETED:
            message = f"a budget cannot name {' and '.join(sorted(self.names))} together"
            raise ValueError(message)
        limits = (self.daily_usd, self.monthly_usd, self.per_call_usd)
        if min(limits) < 0 or not any(limits):
            message = "a budget needs daily_usd, monthly_usd or per_call_usd above 0"
            raise ValueError(message)
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            message = f"{self.time_zone!r} is no IANA time zone, like Europe/Berlin or UTC"
            raise ValueError(message) from None

    @property
    def names(self) -> frozenset[str]:
        """The dimensions it names, beside env and service."""
        return frozenset(self.where) - {"env", "service"}

    @property
    def where(self) -> dict[str, str]:
        """Dimension -> pattern."""
        dims = ("env", "service", "agent", "route", "model", "provider")
        return {dim: value for dim in dims if (value := getattr(self, dim)) is not None}
