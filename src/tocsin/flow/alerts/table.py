"""The alerts of one shard: their states, and what moves them.

What outlasts a call is in blobs, by key; `restore` takes them up again:

    a:<fingerprint>  an alert's state       g:governor  openings of groups and services, some days
"""

from collections.abc import Collection, Mapping, Sequence

from tocsin.flow.alerts import governor, self_alert
from tocsin.flow.alerts.advance import advance
from tocsin.flow.alerts.contract import OPEN, AlertEvent
from tocsin.flow.alerts.governor import Budget, Governor
from tocsin.flow.alerts.policy import Policy
from tocsin.flow.alerts.state import AlertState
from tocsin.types import Finding, Group, Status

_PREFIX = "a:"


class AlertTable:
    """See the module.

    Args:
        policies: by rule id; the one of our own lag is added.
        budget: how many alerts may be false.
        evidence: rule id -> tail probability the rule asks for; structural rules have none.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        budget: Budget | None = None,
        evidence: Mapping[str, float] | None = None,
    ) -> None:
        self._policies = {**policies, self_alert.POLICY.rule: self_alert.POLICY}
        self._governor, self._evidence = Governor(budget or Budget()), evidence or {}
        self._states: dict[str, AlertState] = {}
        self._now_ms = 0
        self._runs_ms = 0  # event time up to which runs were judged

    @property
    def states(self) -> Mapping[str, AlertState]:
        """Alert states by fingerprint."""
        return self._states

    @property
    def now_ms(self) -> int:
        """The event time reached, epoch ms; it never goes back."""
        return self._now_ms

    def groups(self, statuses: Collection[Status] | None = None) -> dict[str, set[Group]]:
        """Rule id -> groups with an alert state, or with one of these statuses."""
        found: dict[str, set[Group]] = {}
        for state in self._states.values():
            if statuses is None or state.status in statuses:
                found.setdefault(state.rule, set()).add(state.group)
        return found

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take up what an earlier owner saved; only before the first `advance`.

        Raises:
            ValueError: a blob of another version.
        """
        for key, raw in blobs.items():
            if key.startswith(_PREFIX):
                self._states[key.removeprefix(_PREFIX)] = AlertState.decode(raw)
        if governor.BLOB in blobs:
            self._governor.restore(blobs[governor.BLOB])

    def advance(
        self, findings: Sequence[Finding], now_ms: int, *, closed_ms: int | None, runs_judged: bool
    ) -> tuple[tuple[AlertEvent, ...], dict[str, bytes | None]]:
        """Move the alerts by findings, and by time up to `now_ms` (event time).

        Gives events to publish, and blobs to save (None deletes one).

        Args:
            findings: of one step of detection; none, if only time passes.
            now_ms: may be less than before: then no time passes.
            closed_ms: end of the newest window in the baselines. Alerts on windows grow old only
                up to there: while a lagging partition holds windows open, none expires.
            runs_judged: whether runs were judged up to `now_ms`; alerts on runs grow old only
                up to the last instant for which that was so.
        """
        self._now_ms = max(self._now_ms, now_ms)
        if runs_judged:
            self._runs_ms = self._now_ms
        before = self._states
        governed = self._governor.govern(findings, before, self._evidence)
        events: tuple[AlertEvent, ...] = ()
        if before or governed:  # most windows of most shards have neither
            self._states, events = advance(
                before,
                governed,
                self._now_ms,
                self._policies,
                closed_ms=closed_ms,
                runs_ms=self._runs_ms,
            )
        return events, self._blobs(before, events)

    def lag_finding(self, low_ms: int, now_ms: int, after_ms: int) -> Finding | None:
        """What there is to say of our own lag, if anything new; see `self_alert.stalled`."""
        is_open = bool(self.groups(OPEN).get(self_alert.POLICY.rule))
        return self_alert.stalled(low_ms, now_ms - low_ms, after_ms, is_open=is_open)

    def _blobs(
        self, before: Mapping[str, AlertState], events: Sequence[AlertEvent]
    ) -> dict[str, bytes | None]:
        """What differs from what was saved last."""
        blobs: dict[str, bytes | None] = {
            _PREFIX + key: state.encode()
            for key, state in self._states.items()
            if state is not before.get(key)
        }
        blobs |= {_PREFIX + key: None for key in before if key not in self._states}
        openings = self._governor.update(events)
        if openings is not None:
            blobs[governor.BLOB] = openings
        return blobs
