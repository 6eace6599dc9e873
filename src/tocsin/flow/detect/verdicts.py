"""What a detector finds of many series, in columns. `fold.py` makes findings of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import contaminated
from tocsin.types import Baseline, Bools, Contributor, Floats, Ints, Severity, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Columns, one entry a judged series. Made by `Verdicts.of`.

    Attributes:
        rows: the series, as rows of the catalog.
        breach: effect, evidence and volume all hold.
        clear: the clear condition holds.
        observed: the value judged, in `unit`.
        expected: what was expected of it; NaN = nothing is.
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
    breach: Bools
    clear: Bools
    observed: Floats
    expected: Floats
    bound: Floats
    n: Ints
    p: Floats
    score: Floats
    baseline: Ints
    unit: str
    sentence: Callable[[int], str]
    severity: tuple[Severity, ...] | None
    top: Callable[[int], tuple[Contributor, ...]] | None
    at_least: bool = False
    reach_s: Ints | None
    suspect: Bools | None
    unlearnable: Ints | None

    @classmethod
    def of(
        cls,
        rows: Ints,
        *,
        breach: Bools,
        clear: Bools,
        observed: Floats,
        unit: str,
        sentence: Callable[[int], str],
        score: Floats,
        n: Ints,
        expected: Floats | None = None,
        bound: Floats | None = None,
        p: Floats | None = None,
        baseline: Ints | Baseline = Baseline.NONE,
        severity: tuple[Severity, ...] | None = None,
        top: Callable[[int], tuple[Contributor, ...]] | None = None,
        reach_s: Ints | None = None,
        suspect: Bools | None = None,
        unlearnable: Ints | None = None,
    ) -> Self:
        """Verdicts of a closed window; what is left out is not known (NaN), or not asked."""
        unknown = np.full(len(rows), np.nan)
        return cls(
            rows=rows,
            breach=breach,
            clear=clear,
            observed=observed,
            expected=unknown if expected is None else expected,
            bound=unknown if bound is None else bound,
            n=n,
            p=unknown if p is None else p,
            score=score,
            baseline=np.broadcast_to(np.asarray(baseline, np.int64), len(rows)),
            unit=unit,
            sentence=sentence,
            severity=severity,
            top=top,
            reach_s=reach_s,
            suspect=suspect,
            unlearnable=unlearnable,
        )

    def early(self) -> Verdicts:
        """The same of an open window: only what no later flush can change."""
        return replace(self, at_least=True, top=None)

    def excluded(self, signal: str, graded: Graded) -> dict[str, Ints]:
        """The rows that must not be learned from, by the key they are excluded under."""
        if self.unlearnable is not None:
            return {signal: self.unlearnable} if len(self.unlearnable) else {}
        if self.suspect is not None:
            rows = self.rows[self.breach | self.suspect]
            return {signal: rows} if len(rows) else {}
        rows = self.rows[self.breach]
        if self.reach_s is None or not len(rows):
            return {signal: rows} if len(rows) else {}
        return contaminated(
            signal, rows, self.reach_s[self.breach], graded.at, graded.history.window_s
        )


#: Of no series at all: most rules of a calm window.
NOTHING = Verdicts.of(
    np.empty(0, np.int64),
    breach=np.empty(0, bool),
    clear=np.empty(0, bool),
    observed=np.empty(0),
    unit=Unit.EVENTS,
    sentence=lambda _: "",
    score=np.empty(0),
    n=np.empty(0, np.int64),
)
