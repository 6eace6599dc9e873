"""What each rule states of its alerts' life, as the policies that `alerts` goes by."""

from collections.abc import Iterable

from tocsin.flow.alerts.policy import STALE_S, Policy
from tocsin.flow.detect.detector import Rule, RunDetector


def policy_of(rule: Rule, window_s: int = 60) -> Policy:
    """The policy a rule states; `window_s` is the width of the pipeline's windows."""
    runs = isinstance(rule.judged_by, RunDetector)
    step_s = window_s * rule.every
    stale_s = rule.effect.get("idle_s", 900) if runs else max(STALE_S, 4 * step_s)
    return Policy(
        rule=rule.id,
        title=rule.title,
        kpi=rule.kpi,
        runbook=rule.runbook,
        m=rule.persistence.m,
        n=rule.persistence.n,
        clear_windows=rule.clear.windows,
        window_s=0 if runs else window_s,
        step_s=step_s,
        stale_s=int(stale_s),
        inhibited_by=rule.inhibited_by,
    )


def policies_of(rules: Iterable[Rule], window_s: int = 60) -> dict[str, Policy]:
    """The policies of these rules, by rule id."""
    return {rule.id: policy_of(rule, window_s) for rule in rules}
