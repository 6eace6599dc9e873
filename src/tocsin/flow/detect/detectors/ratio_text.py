"""How a ratio is spoken of: 3,400 tokens a call, 0.042 USD a run, 12 tool calls a run."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.detect.verdicts import name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import split_series

#: What is above the line: its name, and how many of the counter's unit make one.
_ABOVE = {
    "request_tokens": ("tokens", 1.0),
    "tokens": ("tokens", 1.0),
    "in": ("input tokens", 1.0),
    "out": ("output tokens", 1.0),
    "cost": ("USD", 1e9),
    "err": ("errors", 1.0),
    "to": ("timeouts", 1.0),
}
#: Of counted events: what they are, by the first word of their view.
_EVENTS = {"calls": "model calls", "tools": "tool calls", "handoffs": "handoffs", "runs": "runs"}


@dataclass(frozen=True, slots=True)
class Words:
    """Of one rule: `scale` is how many of the counter's unit make one for a reader."""

    above: str  # empty = the events that a view counts
    below: str
    scale: float

    @property
    def unit(self) -> str:
        return f"{self.above or 'events'} a {self.below}"

    def sentence(self, graded: Graded, row: int, value: float, usual: float, width: float) -> str:
        """What a person reads of one series."""
        view, _ = split_series(graded.history.catalog.names[row])
        what = f"{self.above or _EVENTS.get(view.partition('_')[0], 'events')} a {self.below}"
        digits = ",.0f" if max(value, usual) / self.scale >= 1_000 else ",.3g"
        now, then = (format(part / self.scale, digits) for part in (value, usual))
        times = value / max(usual, 1e-300)
        return (
            f"{name_of(graded, row)}: {now} {what} over {width / 60:.0f} min, "
            f"{times:.1f} times the usual {then}"
        )


def of(rule: RuleSpec) -> Words:
    """The words for a rule of the detector `ratio`."""
    above, scale = _ABOVE.get(rule.signal, ("", 1.0))
    return Words(above, "run" if rule.options["per"] == "runs" else "call", scale)
