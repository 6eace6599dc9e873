"""A loop rule's numbers, as its file states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol

from tocsin.flow.detect.runs.repetition import LoopLimits
from tocsin.flow.rules.spec import RuleError

#: Read by lifecycle, not here: seconds without a step after which a loop's alert expires.
IDLE: Final = "idle_s"
_LIMITS: Final = tuple(field.name for field in fields(LoopLimits))


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Thresholds, and which tools poll (shell patterns on the tool's name, any case)."""

    limits: LoopLimits
    poll_tools: tuple[str, ...]


class RunRule(Protocol):
    """What a rule must say to be judged on runs; a RuleSpec does."""

    @property
    def id(self) -> str: ...
    @property
    def detector(self) -> str: ...
    @property
    def group_by(self) -> Sequence[str]: ...
    @property
    def effect(self) -> Mapping[str, float]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def run_settings(rule: RunRule) -> RunSettings:
    """The thresholds under `effect` and the patterns under `options.poll_tools`.

    Raises:
        RuleError: a key nobody reads, or a count so low that every call would be a loop.
    """
    unknown = [key for key in rule.effect if key not in (*_LIMITS, IDLE)]
    unknown += [key for key in rule.options if key != "poll_tools"]
    if unknown:
        known = ", ".join((*_LIMITS, IDLE, "poll_tools"))
        raise RuleError(f"rule {rule.id}: {unknown[0]!r} is not read by loops; known: {known}")
    limits = LoopLimits(**{key: int(rule.effect[key]) for key in _LIMITS if key in rule.effect})
    low = min(limits.repeat, limits.repeat_any, limits.cycle, limits.cycle_blind)
    if low < 2 or limits.max_period < 1 or limits.progress < 1:
        raise RuleError(f"rule {rule.id}: counts of a loop start at 2, progress at 1")
    patterns: Sequence[str] = rule.options.get("poll_tools", ())
    return RunSettings(limits, tuple(patterns))
