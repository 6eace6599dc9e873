"""Alert events for tests of what reads them."""

from __future__ import annotations

from tocsin.flow.alerts.contract import AlertEvent, AlertReason, fingerprint_of


def event(number: int, sequence: int = 0) -> AlertEvent:
    """Event `sequence` of alert `number`."""
    return AlertEvent(
        alert_id=f"alert-{number}", fingerprint=fingerprint_of("spike", (("n", str(number)),)),
        sequence=sequence, status="firing", previous=None, reason=AlertReason.OPENED,
        rule="spike", title="Spike", kpi="cost", severity="warning", env="prod", service="shop",
        dims={}, series="calls_by_service", signal="n", unit="calls", onset=1_000, at=61_000,
        window_s=60, detected_after_s=60.0, observed=9.0, expected=1.0, bound=3.0, at_least=False,
        n=9, p=None, score=3.0, baseline="none", confidence="normal", summary=f"spike {number}",
    )  # fmt: skip
