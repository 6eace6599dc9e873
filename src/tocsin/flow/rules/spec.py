"""Rules are data: one YAML file each, the file's stem its id. This is rule contract v1.

A rule binds a *detector* to a signal and views, and states what a statistical alert needs:

- `effect`: how large the change must be (ten times, twenty points, 20 %);
- `evidence`: how improbable the window must be on the series' own baseline;
- `volume`: the least number of events;
- `persistence`: breached in m of the last n evaluations.

`clear` is its own, lower, level: an alert closes only when the level holds for `windows`
evaluations in a row. `every` says how many windows lie between two evaluations. Values a
file leaves out come from its detector's defaults; keys that the detector does not read are
refused where the file is loaded (`detect/load_rules.py`).
"""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.flow.baseline.history.history import MINUTES_S
from tocsin.flow.windows.views import VIEWS
from tocsin.types import CostBudget, Severity, Slo

VERSION = 1
DIMS: Mapping[str, tuple[str, ...]] = {view.name: view.dims for view in VIEWS}


class RuleError(ValueError):
    """A rule file with a mistake: one sentence with the file and the key."""


#: The signal that a detector reads.
Signal = Literal[
    "n", "err", "to", "in", "out", "tokens", "cost", "score",
    "duration", "ttft", "request_tokens", "steps",
]  # fmt: skip


#: The ten KPIs, and one for rules of users beyond them.
Kpi = Literal[
    "traffic", "models", "tools", "tokens", "cost", "latency",
    "steps", "errors", "depth", "handoffs", "custom",
]  # fmt: skip


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Persistence(_Closed):
    """Breached in `m` of the last `n` evaluations."""

    m: Annotated[int, Field(ge=1)] = 1
    n: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.m > self.n:
            message = f"persistence.m ({self.m}) cannot exceed persistence.n ({self.n})"
            raise ValueError(message)
        return self


class Clear(_Closed):
    """Clear when at or below `level` (in the effect's unit) for `windows` evaluations."""

    windows: Annotated[int, Field(ge=1)] = 5
    level: float | None = None

    def at(self, default: float) -> float:
        """The level, or what a detector takes for it where the rule names none."""
        return default if self.level is None else self.level


class RuleTest(_Closed):
    """An inline test: series in the language of `rule_tests/series.py`, and the expected result."""

    name: str
    expect: Literal["fires", "silent"]
    series: dict[str, str] = Field(default_factory=dict)
    #: For run rules, in the language of `rule_tests/runs.py`; for window rules unused.
    runs: Any = None
    warmup: Annotated[int, Field(ge=1)] = 30
    window_s: Annotated[int, Field(ge=1)] = 60
    allowed_models: tuple[str, ...] = ()
    slos: tuple[Slo, ...] = ()
    cost_budgets: tuple[CostBudget, ...] = ()
    #: When the first window starts, UTC, and the weeks before it by the hour: see series.py.
    start: dt.datetime | None = None
    hours: dict[str, str] = Field(default_factory=dict)
    weeks: Annotated[int, Field(ge=1, le=6)] = 4
    timezone: str = "UTC"
    holidays: tuple[dt.date, ...] = ()
    quiet_hours: tuple[str, ...] = ()
    seed: int = 1
    #: The first evaluation that may fire and the last that must have, counted from 1.
    fires_from: int | None = None
    fires_by: int | None = None
    severity: Severity | None = None
    #: What the finding must name: its series' last dimension value.
    names: str | None = None


class RuleSpec(_Closed):
    """One rule. `id` is the stem of its file; every other field is in the file."""

    id: str
    version: Literal[1] = 1
    title: str
    #: When it alerts, in a sentence or two; shown in `docs/rules.md`.
    about: str = ""
    kpi: Kpi
    detector: str
    signal: Signal = "n"
    views: tuple[str, ...] = ()  # broadest first: the first that breaches leads the alert
    #: Only series whose dimension matches one of some shell patterns: {score_name: ["*toxic*"]}.
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    effect: dict[str, float] = Field(default_factory=dict)
    evidence: dict[str, float] = Field(default_factory=dict)
    volume: dict[str, float] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    persistence: Persistence = Persistence()
    clear: Clear = Clear()
    every: Annotated[int, Field(ge=1, le=60)] = 1
    severity: Severity = "warning"
    group_by: tuple[str, ...] = ("env", "service")
    inhibited_by: tuple[str, ...] = ()
    contributors: tuple[str, ...] = ()  # views whose series may explain the change
    runbook: Annotated[tuple[str, ...], Field(min_length=1)]
    tests: tuple[RuleTest, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if (width_s := self.effect.get("width_s", 0.0)) > MINUTES_S:
            message = f"effect.width_s is {width_s:g}; windows are kept for {MINUTES_S} s"
            raise ValueError(message)
        for view in self.views + self.contributors:
            if view not in DIMS:
                _fail(f"view {view!r} is unknown", DIMS)
        for view in self.views:
            for dim in self.group_by:
                if dim not in DIMS[view]:
                    _fail(f"group_by {dim!r} is not a dimension of view {view!r}", DIMS[view])
            for dim in self.where:
                if dim not in DIMS[view]:
                    _fail(f"where.{dim} is not a dimension of view {view!r}", DIMS[view])
        return self


def _fail(what: str, known: Mapping[str, object] | tuple[str, ...]) -> NoReturn:
    message = f"{what}; known: {', '.join(known)}"
    raise ValueError(message)
