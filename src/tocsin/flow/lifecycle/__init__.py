"""Findings and alert states become alert states and events."""

from tocsin.flow.lifecycle.advance import acknowledge, advance
from tocsin.flow.lifecycle.governor import Budget, Governor
from tocsin.flow.lifecycle.policy import Policy, policies_of
from tocsin.flow.lifecycle.state import AlertState

__all__ = ["AlertState", "Budget", "Governor", "Policy", "acknowledge", "advance", "policies_of"]
