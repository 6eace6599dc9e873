"""What detection hands to alerts: findings, and how severe they are."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]
Status = Literal["pending", "firing", "acknowledged", "suppressed", "resolved", "expired"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

#: group_by dimension -> value, in the order of the rule: what one alert is about.
Group = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Contributor:
    """A dimension value that drives a finding, and its share of the change (0..1)."""

    dimension: str
    value: str
    share: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's judgement of one series (or run) in one window.

    `breach` says the rule's effect, evidence and volume hold now; `clear` that its clear
    condition holds. Neither: in between, which keeps a firing alert firing.
    """

    rule: str
    series: str  # the series key, or `run SEP env SEP service SEP trace_id`
    group: Group  # with the rule, the alert's identity
    window: int  # start of the window it was judged in
    at_ms: int  # event time at which it became true: the window's end, or the step's end
    breach: bool
    clear: bool
    severity: Severity
    signal: str
    unit: str
    observed: float | None
    expected: float | None
    bound: float | None
    n: int
    p: float | None = None  # calibrated; None for structural rules
    score: float = 0.0  # 1.0 is the edge
    at_least: bool = False  # judged before the window closed: `observed` can only grow
    baseline: str = "none"
    confidence: Literal["low", "normal", "high"] = "normal"
    summary: str = ""
    tokens_burnt: int | None = None
    cost_burnt_nano: int | None = None
    top: tuple[Contributor, ...] = ()
    traces: tuple[str, ...] = ()
