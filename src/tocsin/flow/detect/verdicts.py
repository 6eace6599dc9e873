"""What a detector finds of many series, in columns. `findings.py` makes findings of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import contaminated
from tocsin.types import Baseline, Bools, Contributor, Floats, Ints, Severity, Unit


def _unknown() -> Floats:
    return np.array(np.nan)


def _no_baseline() -> Ints:
    return np.array(Baseline.NONE)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Columns of a closed window, one entry a judged series; what is left out is not known.

    One value (an array without dimensions) stands for a whole column of `expected`, `bound`,
    `p` and `baseline`.

    Attributes:
        rows: the series, as rows of the catalog.
        breach: effect, evidence and volume all hold.
        clear: the clear condition holds.
        observed: the value judged, in `unit`.
        expected: what was expected of it; NaN = nothing is, or it is not known.
        bound: the value from which on it breaches; NaN = not known.
        n: events that the value is made of.
        p: calibrated tail probability; NaN for structural rules.
        score: how far beyond the bound; 1.0 is the edge.
        baseline: a `Baseline` each.
        unit: of the three values, for a reader.
        sentence: entry -> what a person reads.
        severity: one an entry; None = the rule's.
        top: entry -> what drives it; None = not asked.
        at_least: the window is still open: `observed` can only grow.
        reach_s: how far each looked back; None = its window only.
        suspect: no breach, but nothing to learn from either; None = as `breach` says.
        unlearnable: the rows not to learn from, where they are not `rows`.
    """

    rows: Ints
    _: KW_ONLY
    breach: Bools
    clear: Bools
    observed: Floats
    expected: Floats = field(default_factory=_unknown)
    bound: Floats = field(default_factory=_unknown)
    n: Ints
    p: Floats = field(default_factory=_unknown)
    score: Floats
    baseline: Ints = field(default_factory=_no_baseline)
    unit: str
    sentence: Callable[[int], str]
    severity: tuple[Severity, ...] | None = None
    top: Callable[[int], tuple[Contributor, ...]] | None = None
    at_least: bool = False
    reach_s: Ints | None = None
    suspect: Bools | None = None
    unlearnable: Ints | None = None

    def __post_init__(self) -> None:
        for name in ("expected", "bound", "p", "baseline"):
            column = np.broadcast_to(getattr(self, name), len(self.rows))
            object.__setattr__(self, name, column)

    def early(self) -> Verdicts:
        """The same of an open window: only what no later flush can change."""
        return replace(self, at_least=True, top=None)

    def excluded(self, signal: str, graded: Graded) -> dict[str, Ints]:
        """The rows that must not be learned from, by the key they are excluded under."""
        bad = self.breach if self.suspect is None else self.breach | self.suspect
        rows = self.rows[bad] if self.unlearnable is None else self.unlearnable
        if not len(rows):
            return {}
        if self.reach_s is None or rows is self.unlearnable or self.suspect is not None:
            return {signal: rows}
        return contaminated(signal, rows, self.reach_s[bad], graded.at, graded.history.window_s)


#: Of no series at all: most rules of a calm window.
NOTHING = Verdicts(
    np.empty(0, np.int64),
    breach=np.empty(0, bool),
    clear=np.empty(0, bool),
    observed=np.empty(0),
    unit=Unit.EVENTS,
    sentence=lambda _: "",
    score=np.empty(0),
    n=np.empty(0, np.int64),
)
