"""A loop rule's numbers, as its file states them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from tocsin.flow.detect.runs.repetition import LoopLimits
from tocsin.flow.rules.spec import RuleError, RuleSpec

#: Seconds without a step after which a loop's alert expires; read by lifecycle.
IDLE: Final = "idle_s"
_LIMITS: Final = tuple(field.name for field in fields(LoopLimits))


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Thresholds, and the tools meant to be polled: shell patterns of names, in any case."""

    limits: LoopLimits
    poll_tools: tuple[str, ...]


def loop_settings(rule: RuleSpec) -> LoopSettings:
    """The thresholds under `effect` and the patterns under `options.poll_tools`.

    Raises:
        RuleError: a count so low that every call would be a loop.
    """
    limits = LoopLimits(**{key: int(rule.effect[key]) for key in _LIMITS if key in rule.effect})
    low = min(limits.repeat, limits.repeat_any, limits.cycle, limits.cycle_blind)
    if low < 2 or limits.max_period < 1 or limits.progress < 1:
        raise RuleError("effect: counts of a loop start at 2, progress and max_period at 1")
    patterns: Sequence[str] = rule.options.get("poll_tools", ())
    return LoopSettings(limits, tuple(patterns))
