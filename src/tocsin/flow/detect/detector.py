"""What a detector is: one declaration with all that anyone asks of it.

A detector's module ends in `DETECTOR = WindowDetector(...)`, or RunDetector or PauseDetector.
It states the keys a rule may set with their defaults, what it reads, and how it judges. To add
one see CONTRIBUTING.md; a user's own stands beside the rules that name it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ConfigDict, Field, InstanceOf

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.pauses import Pause
from tocsin.flow.detect.runs.step_ring import Rings
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import Verdicts
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding, Floats, Slo


class Configured(Protocol):
    """What of the configuration a detector may add to a rule's options."""

    @property
    def poll_tools(self) -> tuple[str, ...]: ...
    @property
    def slos(self) -> tuple[Slo, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """What all detectors have.

    Attributes:
        name: how rules name it.
        effect: the thresholds a person understands, with defaults. A key that is in none of
            the four is refused in a rule file: a misspelt threshold would be none at all.
        evidence: how improbable, with defaults.
        volume: the floors on events, with defaults.
        options: whatever else, with defaults.
        check: refuses options it cannot read. Raises ValueError with one sentence.
        configured: what the configuration adds to lists in `options`.
    """

    name: str
    effect: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)
    volume: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[RuleSpec], object] = lambda _: None
    configured: Callable[[Configured], Mapping[str, Sequence[Any]]] = lambda _: {}


class Excludes:
    """Which baseline a breach is kept out of: a function of the rule for `excludes`."""

    @staticmethod
    def nothing(rule: RuleSpec) -> str | None:
        """Whatever is found is learned from."""
        del rule
        return None

    @staticmethod
    def its_signal(rule: RuleSpec) -> str | None:
        """That of the rule's own signal."""
        return rule.signal


def its_views(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Reads the past of the rule's own signal, of the rule's views."""
    return {rule.signal: rule.views}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDetector(Detector):
    """Judges series window by window.

    Attributes:
        judge: verdicts of a closed window.
        judge_open: verdicts of an open window, for signals that can only grow: (series,
            values so far, events so far). None: it waits for the close.
        excludes: the baseline that a breach is kept out of: a signal, SHARE, or None.
        reads: the signals whose past it needs, and of which views.
        scores_residuals: whether it needs the residual scores of the rule's signal.
    """

    judge: Callable[[Series], Verdicts]
    judge_open: Callable[[Series, Floats, Floats], Verdicts] | None = None
    excludes: Callable[[RuleSpec], str | None] = Excludes.nothing
    reads: Callable[[RuleSpec], Mapping[str, Collection[str]]] = its_views
    scores_residuals: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetector(Detector):
    """Judges runs as their steps come in.

    Attributes:
        judge: findings of the runs that moved, from the event times at which each threshold
            first held: they depend on the steps, not on how many arrived at once.
        limit: (effect, quantity, what is known of it) -> what a run may come to; inf for a
            quantity that it does not judge. None: it holds no quantity against a limit.
        finds_loops: what it finds are loops: a run that looped and ended is no healthy one, and
            its statistics are not learned from. Such a detector needs no statistics itself.
    """

    judge: Callable[[RuleSpec, Rings, Reader, RunStats], list[Finding]]
    limit: Callable[[Mapping[str, float], Quantity, Level | None], float] | None = None
    finds_loops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseDetector(Detector):
    """Judges runs that stand still, when a window closes.

    Attributes:
        judge: (rule, trace and pause of each, since ms, up to ms, statistics) -> findings.
        limit_ms: how long a run may stand still.
    """

    judge: Callable[[RuleSpec, Iterable[tuple[str, Pause]], int, int, RunStats], list[Finding]]
    limit_ms: Callable[[RuleSpec, Pause, RunStats], int]


class Rule(RuleSpec):
    """A rule with the detector that judges it."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    judged_by: InstanceOf[Detector] = Field(exclude=True, repr=False)


def with_configuration(rule: Rule, settings: Configured) -> Rule:
    """The rule with what the configuration adds to its options."""
    added = {
        name: [*rule.options.get(name, ()), *more]
        for name, more in rule.judged_by.configured(settings).items()
        if more
    }
    if not added:
        return rule
    return rule.model_copy(update={"options": {**rule.options, **added}})
