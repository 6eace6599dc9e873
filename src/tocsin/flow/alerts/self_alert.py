"""Our own lag: one alert about the pipeline, instead of flatline alerts of every service.

While the low watermark stands still no window closes, so no rule takes our lag for silence. This
alert reports it. Shard 0 alone judges it, against the clock. A log does not say how far it is
behind the clock, so a replay never raises this alert.
"""

from typing import Final

from tocsin.flow.alerts.policy import Policy
from tocsin.types import Finding, Unit, join_series

POLICY: Final = Policy(
    rule="pipeline_stalled",
    title="Tocsin itself is behind",
    kpi="custom",
    runbook=(
        "Until this ends nothing is judged but what is in the windows already: no alert is no proof of health.",  # noqa: E501
        "Is every ingest worker up? `tocsin_consumer_lag_records` by partition says which one is behind, or has no owner.",  # noqa: E501
        "Is Redis up, and does it have memory? Ingest says in its log what it waits for.",
        "If the lag shrinks, wait: the windows close as it catches up, and what happened meanwhile is told late.",  # noqa: E501
        "If it grows, add ingest workers, up to one a partition of the spans topic.",
    ),
    window_s=0,
    stale_s=7 * 86_400,  # it ends when the lag ends, not for want of findings
    max_age_s=7 * 86_400,
)
_GROUP: Final = (("env", "tocsin"), ("service", "tocsin"))


def stalled(low_ms: int, behind_ms: int, after_ms: int, *, is_open: bool) -> Finding | None:
    """A finding if the lag begins or ends, else None.

    Args:
        low_ms: the low watermark: the topic is evaluated up to here.
        behind_ms: how far that is behind the clock.
        after_ms: how far counts as stalled; it ends below half of that.
        is_open: whether the alert is open.
    """
    breach = behind_ms > after_ms and not is_open
    clear = behind_ms < after_ms / 2 and is_open
    if not (breach or clear):
        return None
    return Finding(
        rule=POLICY.rule,
        series=join_series("pipeline", "tocsin", "tocsin"),
        group=_GROUP,
        window=low_ms // 1_000,
        at_ms=low_ms + after_ms if breach else low_ms,
        breach=breach,
        clear=clear,
        severity="critical",
        signal="watermark",
        unit=Unit.SECONDS,
        # The event must not depend on the moment at which the lag was measured.
        observed=after_ms / 1_000,
        expected=None,
        bound=after_ms / 1_000,
        n=1,
        score=1.0,
        at_least=True,
        confidence="high",
        summary=f"Nothing after this moment is judged: the pipeline is more than "
        f"{after_ms / 1_000:,.0f} s behind the clock.",
    )
