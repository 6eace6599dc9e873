"""Findings and alert states become alert states and events."""

from tocsin.flow.alerts.advance import acknowledge, advance
from tocsin.flow.alerts.governor import Budget, Governor
from tocsin.flow.alerts.policy import Policy
from tocsin.flow.alerts.state import AlertState
from tocsin.flow.alerts.table import AlertTable

__all__ = ["AlertState", "AlertTable", "Budget", "Governor", "Policy", "acknowledge", "advance"]
