"""The names behind the symbols of a run: who did what, for the reader of an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tocsin.types import NONE, SEP


@dataclass(frozen=True, slots=True)
class Names:
    """A step's label, read."""

    env: str = NONE
    service: str = NONE
    agent: str = NONE
    kind: str = NONE
    act: str = NONE


@dataclass(slots=True)
class Reader:
    """Labels to names. `labels` maps STEP.label, as 16 hex digits, to the parts of a label."""

    labels: Mapping[str, str]
    _known: dict[int, Names] = field(default_factory=dict)

    def name(self, label: int) -> Names:
        """The names of one label; all `_none` while the table does not have it."""
        found = self._known.get(label)
        if found is None:
            parts = self.labels.get(f"{label:016x}", "").split(SEP)
            found = Names(*parts) if len(parts) == 5 else Names()
            self._known[label] = found
        return found

    def names(self, steps: np.ndarray) -> Sequence[Names]:
        """The names of each step (STEP)."""
        return [self.name(label) for label in steps["label"].tolist()]


def joined(names: Iterable[str]) -> str:
    """Distinct names in one order, whichever step of a cycle came first."""
    distinct = sorted(set(names))
    shown = "+".join(distinct[:3])
    return f"{shown}+{len(distinct) - 3} more" if len(distinct) > 3 else shown
