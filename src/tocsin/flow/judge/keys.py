"""What each detector reads from a rule, and the numbers it ships with: one row a detector.

Numbers are the defaults of the detector catalogue. A key that is not in a row is refused in
a rule file, since a misspelt threshold is a threshold that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Keys:
    """What one detector reads, and the defaults it ships with. `open` admits any key.

    `of` is what it judges: windows of series, runs as they move, or runs that stand still.
    """

    effect: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)
    volume: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False
    of: Literal["windows", "runs", "pauses"] = "windows"


#: Detector -> its row.
DETECTORS: Mapping[str, Keys] = {
    # A window's total against its negative-binomial (counts) or gamma (sums) baseline.
    "spike": Keys({"ratio": 10.0}, {"p": 1e-6}, {"n": 20.0}),
    # Silence against the chance of no event at all for so long.
    "flatline": Keys({"silent_s": 300.0}, {"p": 1e-6}, {"day_n": 100.0}),
    # Parts of a whole: `points` of absolute change, `bound` its lower confidence limit.
    "share": Keys(
        {"points": 0.20, "bound": 0.10, "distance": 0.05},
        {"p": 1e-6, "bound_p": 1e-3},
        {"n": 100.0, "baseline": 1000.0},
    ),
    # A name that must not occur (`not_allowed`) or never did before (`first_seen`).
    "unexpected": Keys({"share": 0.01, "requests": 5.0}, {}, {"n": 1.0}, {"reason": "not_allowed"}),
    # A quantile of a duration against the same quantile of the baseline.
    "quantile": Keys(
        {"ratio": 1.2, "add_ms": 100.0, "q": 0.95},
        {"p": 1e-4, "early_p": 1e-6},
        {"n": 200.0, "wide_n": 500.0, "baseline": 1000.0},
    ),
    # Runs, step by step: loops, ping-pong, storms (flow/judge/runs).
    "loop": Keys(open=True, of="runs"),
    # Nesting of agents: `critical` times the limit is worse.
    "depth": Keys({"depth": 3.0, "critical": 2.0, "idle_s": 900.0}, of="runs"),
    # Children of one span at a time, agents of one run; `ratio` times the 99th percentile.
    "fan_out": Keys(
        {"children": 10.0, "agents": 20.0, "ratio": 3.0, "critical": 50.0, "idle_s": 900.0},
        of="runs",
    ),
    # Tokens and cost beyond `ratio` medians in circles; steps; hard caps (0 = none).
    "burn": Keys(
        {
            "ratio": 10.0,
            "loop_score": 0.5,
            "steps": 50.0,
            "steps_ratio": 2.0,
            "cap_tokens": 0.0,
            "cap_usd": 0.0,
            "idle_s": 900.0,
        },
        of="runs",
    ),
    # Runs that stand still: `ratio` times the longest usual run, of services that end theirs.
    "orphan": Keys({"silent_s": 1800.0, "ratio": 5.0, "ended": 20.0, "left": 0.05}, of="pauses"),
}
