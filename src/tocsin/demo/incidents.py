"""Labelled incidents as data: what goes wrong, where, and when; and the demo's scenario of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from tocsin.demo.conditions import Fault

IncidentKind = Literal["loop", "spike", "flatline", "routing", "latency"]
KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that goes wrong in one service during [from_ms, to_ms), in event time.

    `size` is in the kind's own unit: spike, the factor on arrivals; routing, the points of
    share (0..1) that move from the first model to the second; latency, the factor on model and
    tool durations; loop, the seconds between two identical calls; flatline has none. What
    changes the traffic of a service changes it with the fleet's minutes.
    """

    kind: IncidentKind
    service: str
    from_ms: int
    to_ms: int
    size: float = 0.0
    #: routing only: a model nobody has seen, and its share of the calls.
    new_model: str = ""
    new_model_share: float = 0.0

    def faults(self, start_ms: int) -> tuple[Fault, ...]:
        """What it changes in the traffic of its service, in minutes from `start_ms`.

        A loop is a run of its own, and changes nothing.
        """
        first, last = (-((start_ms - at) // MINUTE_MS) for at in (self.from_ms, self.to_ms))
        changed: Mapping[IncidentKind, Mapping[str, float]] = {
            "spike": {"rate": self.size},
            "flatline": {"rate": 0.0},
            "routing": {
                "share": -self.size - self.new_model_share,
                "new_model": self.new_model_share,
            },
            "latency": dict.fromkeys(("latency", "ttft", "tool_latency"), self.size),
        }
        sizes = changed.get(self.kind, {})
        return tuple(Fault(kind, self.service, first, last, size) for kind, size in sizes.items())

    def describe(self) -> str:
        """What happens, in a few words."""
        match self.kind:
            case "loop":
                return f"one run repeats a tool call every {self.size:.0f} s"
            case "spike":
                return f"runs x{self.size:.0f}"
            case "flatline":
                return "no spans at all"
            case "routing":
                moved = f"{100 * self.size:.0f} points of share move"
                return f"{moved}, {self.new_model} appears" if self.new_model else moved
            case "latency":
                return f"model and tool calls x{self.size:.2f} slower"


#: When each incident starts and how long it lasts, in minutes of the live phase. The two that
#: need a comparison of distributions come first and stay: they are decided on quarter hours.
_PLAN: tuple[tuple[IncidentKind, float, float, float], ...] = (
    ("routing", 4, 60, 0.40),
    ("latency", 8, 60, 1.50),
    ("flatline", 20, 15, 0.0),
    ("loop", 38, 12, 8.0),
    ("spike", 52, 6, 14.0),
)
#: Minutes of the live phase: the last incident, and time for it to be seen.
LIVE_MINUTES = 70


def scenario(seed: int, services: Sequence[str], live_from_ms: int) -> tuple[Incident, ...]:
    """Five incidents, one of each kind, each on another service, in order of onset.

    The seed picks the services and moves each onset by nought to two whole minutes. Raises
    ValueError when there are fewer services than kinds.
    """
    if len(services) < len(KINDS):
        raise ValueError(f"{len(KINDS)} incidents need {len(KINDS)} services, got {len(services)}")
    rng = np.random.default_rng([seed, 0x1C1D])
    chosen = rng.permutation(len(services))[: len(_PLAN)]
    jitter_ms = MINUTE_MS * rng.integers(0, 3, size=len(_PLAN))
    incidents = []
    for (kind, start, length, size), which, jitter in zip(_PLAN, chosen, jitter_ms, strict=True):
        from_ms = live_from_ms + int(start * MINUTE_MS) + int(jitter)
        incidents.append(
            Incident(
                kind=kind,
                service=services[int(which)],
                from_ms=from_ms,
                to_ms=from_ms + int(length * MINUTE_MS),
                size=size,
                new_model="nova-2-preview" if kind == "routing" else "",
                new_model_share=0.06 if kind == "routing" else 0.0,
            )
        )
    return tuple(sorted(incidents, key=lambda incident: incident.from_ms))
