"""Findings and time move alerts: one pure step.

Findings are applied in order of event time. Before each, all that time alone does up to that
instant is done. So the same findings give the same events however they are cut into ticks, and
a replay gives the events of the live run. A state is a value: it is replaced, never edited.
"""

import heapq
from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec.structs import replace

from tocsin.flow.alerts.contract import AlertEvent, AlertReason, AlertStatus, digest, fingerprint_of
from tocsin.flow.alerts.event import event_of
from tocsin.flow.alerts.member import after_finding
from tocsin.flow.alerts.policy import Policy, depths
from tocsin.flow.alerts.state import AlertState, due_ms, pruned
from tocsin.types import SEVERITIES, Finding, split_series

#: Openings an alert remembers; more than enough to see that it flaps.
_OPENS = 32


def advance(
    states: Mapping[str, AlertState],
    findings: Iterable[Finding],
    now_ms: int,
    policies: Mapping[str, Policy],
    *,
    closed_ms: int | None = None,
    runs_ms: int | None = None,
) -> tuple[dict[str, AlertState], tuple[AlertEvent, ...]]:
    """The states (by fingerprint) after these findings and up to `now_ms`, and the events.

    `now_ms` is the event time of the tick; it should not go back. Alerts of window rules age
    only up to `closed_ms`, the end of the last window that was judged (`now_ms` if not given):
    while windows cannot close, for lag, no alert expires for want of findings. Those of run
    rules age only up to `runs_ms`, the time up to which runs were judged. Ended states are
    dropped once neither flapping nor a latched member needs them. A state whose rule has no
    policy any more expires.

    Raises:
        KeyError: a finding's rule has no policy.
    """
    tick = _Tick(states, policies)
    order = tick.order
    ordered = sorted(findings, key=lambda f: (f.at_ms, order[f.rule], f.rule, f.group, f.series))
    closed = now_ms if closed_ms is None else min(closed_ms, now_ms)
    runs = now_ms if runs_ms is None else min(runs_ms, now_ms)
    for finding in ordered:
        before = min(finding.at_ms, now_ms) - 1
        tick.pass_time(min(before, runs), min(before, closed))
        tick.apply(finding)
    tick.pass_time(runs, closed)
    return tick.states, tuple(tick.events)


def acknowledge(
    states: Mapping[str, AlertState],
    fingerprint: str,
    actor: str,
    at_ms: int,
    policies: Mapping[str, Policy],
) -> tuple[dict[str, AlertState], tuple[AlertEvent, ...]]:
    """Mark a firing alert as acknowledged. Any other, or an unknown one, stays unchanged."""
    tick = _Tick(states, policies)
    state = states.get(fingerprint)
    if state is not None and state.status == "firing":
        changed = replace(state, status="acknowledged", actor=actor)
        tick.emit(changed, AlertReason.ACKNOWLEDGED, at_ms, "firing")
    return tick.states, tuple(tick.events)


class _Tick:
    """The states and events of one call, while it changes them."""

    def __init__(self, states: Mapping[str, AlertState], policies: Mapping[str, Policy]) -> None:
        self.states = dict(states)
        self.policies = policies
        self.order = depths(policies.values())
        self.events: list[AlertEvent] = []
        # (due time, fingerprint) of each state: of rules on runs, and of rules on windows.
        self._due: tuple[list[tuple[int, str]], list[tuple[int, str]]] = ([], [])
        for state in states.values():
            self._queue(state).append(self._entry(state))
        for queue in self._due:
            heapq.heapify(queue)

    # ---- time ------------------------------------------------------------------------

    def pass_time(self, runs_ms: int, windows_ms: int) -> None:
        """Do all that time alone does to alerts up to and including these instants, in order."""
        limits = (runs_ms, windows_ms)
        while ripe := [
            queue
            for queue, limit in zip(self._due, limits, strict=True)
            if queue and queue[0][0] <= limit
        ]:
            due, key = entry = heapq.heappop(min(ripe, key=lambda queue: queue[0]))
            state = self.states.get(key)
            if state is not None and self._entry(state) == entry:
                self._expire_due(state, due)

    def _expire_due(self, state: AlertState, at_ms: int) -> None:
        policy = self.policies.get(state.rule)
        if not state.is_open():
            del self.states[state.fingerprint]
        elif policy is None or at_ms >= state.opened_ms + policy.max_age_s * 1000:
            aged = {
                series: replace(m, open=False, latched=m.breaching, bits=0)
                for series, m in state.members.items()
            }
            self._end(replace(state, members=aged), AlertReason.EXPIRED, at_ms)
        elif not any(member.open for member in state.members.values()):
            self._end(state, AlertReason.CLEARED, at_ms)
        else:
            stale = at_ms - policy.stale_s * 1000
            left = {
                series: replace(m, open=m.open and m.at_ms > stale, bits=0)
                if m.at_ms <= stale
                else m
                for series, m in state.members.items()
            }
            state = replace(state, members=left)
            if any(member.open for member in left.values()):
                self._keep(state)
            else:
                self._end(state, AlertReason.EXPIRED, at_ms)

    # ---- findings --------------------------------------------------------------------

    def apply(self, finding: Finding) -> None:
        policy = self.policies[finding.rule]
        key = fingerprint_of(finding.rule, finding.group)
        state = self.states.get(key)
        before = state.members.get(finding.series) if state is not None else None
        member = after_finding(before, finding, policy)
        if member is None or member is before:
            return
        state = state or _pending(key, finding)
        state = replace(state, members=pruned({**state.members, finding.series: member}))
        if finding.series not in state.members:  # dropped: the alert has MEMBERS others
            return
        if state.is_open():
            self._update_open(state, finding, opened=member.open and not (before and before.open))
        elif member.open:
            self._open(state, finding)
        elif any(m.bits or m.latched for m in state.members.values()) or state.ended_ms:
            self._keep(state)
        else:
            self.states.pop(key, None)

    def _open(self, state: AlertState, finding: Finding) -> None:
        """The alert opens or reopens; as suppressed if an open alert explains it."""
        policy = self.policies[state.rule]
        at_ms = max(finding.at_ms, state.changed_ms)
        since = at_ms - policy.flap_within_s * 1000
        opens = (*(t for t in state.opens if t > since), at_ms)[-_OPENS:]
        young = at_ms < state.opened_ms + policy.max_age_s * 1000
        again = young and state.sequence > 0 and at_ms - state.ended_ms <= policy.fold_s * 1000
        flapping = len(opens) >= policy.flap_opens
        previous = cast("AlertStatus", state.status) if again else None
        if not again:
            onset_ms = state.members[finding.series].onset_ms
            state = replace(
                state,
                alert_id=digest(state.fingerprint, str(onset_ms), str(at_ms)),
                sequence=0,
                onset_ms=onset_ms,
                opened_ms=at_ms,
            )
        inhibitor = self._inhibitor(state)
        reason = AlertReason.REOPENED if again else AlertReason.OPENED
        if inhibitor:
            reason = AlertReason.SUPPRESSED
        elif flapping:
            reason = AlertReason.FLAPPING
        state = replace(
            state,
            status="suppressed" if inhibitor else "firing",
            severity=finding.severity,
            opens=opens,
            flapping=flapping,
            last=finding,
            actor="",
        )
        self.emit(state, reason, at_ms, previous, inhibitor)
        self._suppress_below(state, at_ms)

    def _update_open(self, state: AlertState, finding: Finding, *, opened: bool) -> None:
        """Apply a finding to an open alert: it may escalate, widen, be unsuppressed or end."""
        policy = self.policies[state.rule]
        at_ms = max(finding.at_ms, state.changed_ms)
        member = state.members[finding.series]
        if not member.open:
            over = not any(m.open for m in state.members.values())
            if over and not state.flapping:
                self._end(state, AlertReason.CLEARED, at_ms)
            else:
                self._keep(state)
            return
        worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(state.severity)
        grown = finding.score >= 2 * max(1.0, state.emitted_score)
        wider = opened and len(state.took_part()) >= 2 * max(1, state.emitted_members)
        previous = cast("AlertStatus", state.status)
        if finding.breach and worse:
            state = replace(state, severity=finding.severity, last=finding)
        elif finding.breach and (grown or wider):
            state = replace(state, last=finding)
        if state.status == "suppressed":
            if finding.breach and not self._inhibitor(state):
                state = replace(state, status="firing", last=finding)
                self.emit(state, AlertReason.UNSUPPRESSED, at_ms, previous)
            else:
                self._keep(state)
        elif finding.breach and worse:
            self.emit(replace(state, status="firing"), AlertReason.ESCALATED, at_ms, previous)
        elif finding.breach and (grown or wider) and not (state.flapping and policy.window_s):
            self.emit(state, AlertReason.UPDATED, at_ms, previous)
        else:
            self._keep(state)

    def _end(self, state: AlertState, reason: AlertReason, at_ms: int) -> None:
        previous = cast("AlertStatus", state.status)
        status = "expired" if reason is AlertReason.EXPIRED else "resolved"
        at_ms = max(at_ms, state.changed_ms)
        state = replace(state, status=status, ended_ms=at_ms, flapping=False)
        self.emit(state, reason, at_ms, previous)
        self._release_below(state, at_ms)

    # ---- inhibition ------------------------------------------------------------------

    def _explains(self, upper: AlertState, lower: AlertState) -> bool:
        """Whether an alert inhibits another; rules that inhibit each other in a circle do not."""
        policy = self.policies.get(lower.rule)
        return (
            policy is not None
            and upper.rule in policy.inhibited_by
            and self.order.get(upper.rule, 0) < self.order[lower.rule]
            and upper.is_open()
            and (upper.env, upper.service) == (lower.env, lower.service)
        )

    def _inhibitor(self, state: AlertState) -> str:
        """The rule whose open alert on the same environment and service explains this one."""
        above = (o.rule for o in self.states.values() if self._explains(o, state))
        return min(above, default="")

    def _below(self, state: AlertState) -> list[AlertState]:
        """Open alerts that an alert of this rule explains, in a fixed order."""
        open_ = replace(state, status="firing")
        found = [o for o in self.states.values() if o.is_open() and self._explains(open_, o)]
        return sorted(found, key=lambda other: other.fingerprint)

    def _suppress_below(self, state: AlertState, at_ms: int) -> None:
        for other in self._below(state):
            if other.status != "suppressed":
                previous = cast("AlertStatus", other.status)
                suppressed = replace(other, status="suppressed")
                self.emit(suppressed, AlertReason.SUPPRESSED, at_ms, previous, state.rule)

    def _release_below(self, state: AlertState, at_ms: int) -> None:
        for other in self._below(state):
            breaching = any(m.open and m.breaching for m in other.members.values())
            if other.status == "suppressed" and breaching and not self._inhibitor(other):
                released = replace(other, status="firing")
                self.emit(released, AlertReason.UNSUPPRESSED, at_ms, "suppressed")

    # ---- states ----------------------------------------------------------------------

    def emit(
        self, state: AlertState, reason: AlertReason, at_ms: int, previous: AlertStatus | None,
        inhibitor: str = "",
    ) -> None:  # fmt: skip
        """Add an event of the state, and keep the state with the score and width of the event."""
        policy = self.policies.get(state.rule) or Policy(state.rule, state.rule, "custom")
        state = replace(state, changed_ms=max(at_ms, state.changed_ms))
        self.events.append(event_of(state, policy, reason, previous, inhibitor))
        ended = not state.is_open()
        self._keep(
            replace(
                state,
                sequence=state.sequence + 1,
                emitted_score=0.0 if ended else max(state.emitted_score, state.last.score),
                emitted_members=0 if ended else len(state.took_part()),
            )
        )

    def _keep(self, state: AlertState) -> None:
        self.states[state.fingerprint] = state
        heapq.heappush(self._queue(state), self._entry(state))

    def _entry(self, state: AlertState) -> tuple[int, str]:
        return due_ms(state, self.policies.get(state.rule)), state.fingerprint

    def _queue(self, state: AlertState) -> list[tuple[int, str]]:
        policy = self.policies.get(state.rule)
        return self._due[policy is not None and policy.window_s > 0]


def _pending(key: str, finding: Finding) -> AlertState:
    _, values = split_series(finding.series)
    env, service, *_ = (*values, "", "")
    fields: dict[str, Any] = {"rule": finding.rule, "group": finding.group, "last": finding}
    return AlertState(fingerprint=key, env=env, service=service, **fields)
