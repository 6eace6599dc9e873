"""An alert event from a state that has just changed."""

import math
from typing import Final, cast

from tocsin.flow.alerts.contract import AlertContributor, AlertEvent, AlertReason, AlertStatus, Why
from tocsin.flow.alerts.policy import Policy
from tocsin.flow.alerts.state import AlertState
from tocsin.types import Finding, split_series

_TRACES: Final = 5
_TEXT: Final = 512


def event_of(
    state: AlertState, policy: Policy, reason: AlertReason, previous: AlertStatus | None,
    inhibitor: str = "",
) -> AlertEvent:  # fmt: skip
    """The event for `state` as it now is; `state.changed_ms` is its time."""
    finding, part = state.last, state.took_part()
    ended = state.status in {"resolved", "expired"}
    tokens = [m.tokens for _, m in part if m.tokens is not None]
    costs = [m.cost_nano for _, m in part if m.cost_nano is not None]
    traces = dict.fromkeys((*finding.traces, *(m.trace for _, m in part if m.trace)))
    lasted = (state.changed_ms - state.onset_ms) / 1000
    return AlertEvent(
        alert_id=state.alert_id,
        fingerprint=state.fingerprint,
        sequence=state.sequence,
        status=cast("AlertStatus", state.status),
        previous=previous,
        reason=reason,
        rule=state.rule,
        title=_cut(policy.title),
        kpi=policy.kpi,
        severity=state.severity,
        env=state.env,
        service=state.service,
        dims=dict(state.group),
        series=split_series(finding.series)[0],
        signal=finding.signal,
        unit=finding.unit,
        onset=state.onset_ms,
        at=state.changed_ms,
        window_s=policy.window_s,
        detected_after_s=max(0.0, (state.opened_ms - state.onset_ms) / 1000),
        duration_s=max(0.0, lasted) if ended else None,
        observed=_finite(finding.observed),
        expected=_finite(finding.expected),
        bound=_finite(finding.bound),
        at_least=finding.at_least,
        n=finding.n,
        p=_finite(finding.p),
        score=_finite(finding.score) or 0.0,
        baseline=finding.baseline,
        confidence=finding.confidence,
        summary=_cut(_summary(state, policy, reason, lasted)),
        why=_why(finding, policy),
        tokens_burnt=sum(tokens) if tokens else None,
        cost_burnt_usd=sum(costs) / 1e9 if costs else None,
        members=len(part),
        top=tuple(
            AlertContributor(dimension=c.dimension, value=c.value, share=c.share)
            for c in finding.top
        ),
        traces=tuple(traces)[:_TRACES],
        inhibitor=inhibitor,
        actor=state.actor,
        runbook=policy.runbook,
    )


def _summary(state: AlertState, policy: Policy, reason: AlertReason, lasted: float) -> str:
    """The event in one sentence."""
    if reason is AlertReason.CLEARED:
        return f"Back to normal after {_duration(lasted)}: {policy.title}."
    if reason is AlertReason.EXPIRED:
        return f"Nothing more heard of it after {_duration(lasted)}: {policy.title}."
    what = state.last.summary or _measured(state.last, policy)
    if reason is AlertReason.FLAPPING:
        return f"Opened {len(state.opens)} times, kept open until it stays quiet. {what}"
    return what


def _measured(finding: Finding, policy: Policy) -> str:
    text = f"{policy.title}: {finding.signal} is {_number(finding.observed)} {finding.unit}"
    if finding.expected is not None:
        text += f", expected {_number(finding.expected)}"
    return text + "."


def _why(finding: Finding, policy: Policy) -> Why:
    """The four conditions in words, with the numbers that met them."""
    sign = "at least " if finding.at_least else ""
    effect = f"{finding.signal} {sign}{_number(finding.observed)} {finding.unit}"
    if finding.expected is not None:
        effect += f" against {_number(finding.expected)} expected"
    if finding.bound is not None:
        effect += f", limit {_number(finding.bound)}"
    evidence = "structural: no baseline needed" if finding.p is None else f"p = {finding.p:.2g}"
    if finding.baseline != "none":
        evidence += f" on baseline {finding.baseline}"
    volume = f"n = {finding.n}"
    windows = "at once" if policy.n == 1 else f"{policy.m} of {policy.n} evaluations"
    sentence = f"{effect.strip().capitalize()}; {evidence}; {volume}; breached {windows}."
    return Why(
        sentence=sentence, effect=effect, evidence=evidence, volume=volume, persistence=windows
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
