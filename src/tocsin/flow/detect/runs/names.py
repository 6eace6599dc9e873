"""The names behind the labels of steps: who did what, for the text of an alert."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.flow.detect.runs.step_ring import Steps
from tocsin.types import NONE, SEP


@dataclass(frozen=True, slots=True)
class Names:
    """What a step's label says; `act` is the tool, model or target of a hand-off."""

    env: str = NONE
    service: str = NONE
    agent: str = NONE
    kind: str = NONE
    act: str = NONE


@dataclass(slots=True)
class Reader:
    """Labels to names. `labels` maps STEP.label, as 16 hex digits, to the names joined by SEP."""

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

    def names(self, steps: Steps) -> Sequence[Names]:
        """The names of each step."""
        return [self.name(label) for label in steps["label"].tolist()]


def joined(names: Iterable[str]) -> str:
    """Distinct names, sorted, so that it does not matter with which step a cycle began."""
    distinct = sorted(set(names))
    shown = "+".join(distinct[:3])
    return f"{shown}+{len(distinct) - 3} more" if len(distinct) > 3 else shown
