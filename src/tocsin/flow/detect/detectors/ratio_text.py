"""What an alert calls a ratio: 3,400 tokens a call, 0.042 USD a run, 12 tool calls a run."""

from dataclasses import dataclass

from tocsin.flow.detect.series import Series
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import split_series

#: Numerators: the name, and how many of the counter's unit make one of it.
_ABOVE = {
    "request_tokens": ("tokens", 1.0),
    "tokens": ("tokens", 1.0),
    "in": ("input tokens", 1.0),
    "out": ("output tokens", 1.0),
    "cost": ("USD", 1e9),
    "err": ("errors", 1.0),
    "to": ("timeouts", 1.0),
}
#: What a view counts, by the first word of its name.
_EVENTS = {"calls": "model calls", "tools": "tool calls", "handoffs": "handoffs", "runs": "runs"}


@dataclass(frozen=True, slots=True)
class Words:
    """What one rule's numerator and denominator are called."""

    above: str  # empty: the name of the events that the view counts
    below: str
    scale: float  # how many of the counter's unit make one of the unit that is read

    @property
    def unit(self) -> str:
        """The unit of the ratio."""
        return f"{self.above or 'events'} a {self.below}"

    def sentence(self, series: Series, i: int, value: float, usual: float, width_s: float) -> str:
        """What a person reads of entry `i`; the ratios are in the counter's unit."""
        view, _ = split_series(series.names[i])
        what = f"{self.above or _EVENTS.get(view.partition('_')[0], 'events')} a {self.below}"
        digits = ",.0f" if max(value, usual) / self.scale >= 1_000 else ",.3g"
        now, then = (format(part / self.scale, digits) for part in (value, usual))
        times = value / max(usual, 1e-300)
        return (
            f"{series.name(i)}: {now} {what} over {width_s / 60:.0f} min, "
            f"{times:.1f} times the usual {then}"
        )


def words_of(rule: RuleSpec) -> Words:
    """The words for a rule of the detector `ratio`."""
    above, scale = _ABOVE.get(rule.signal, ("", 1.0))
    return Words(above, "run" if rule.options["per"] == "runs" else "call", scale)
