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
    # The total of `width_s` against what the clock expects of it, and its record of a week.
    "surge": Keys({"ratio": 2.5, "width_s": 3600.0}, {"p": 1e-6}, {"n": 200.0}),
    # A series without a baseline, of a service that has one, with `n` events a minute.
    "newcomer": Keys({}, {}, {"n": 50.0}),
    # Silence against the chance of no event at all for so long.
    "flatline": Keys({"silent_s": 300.0, "rare_s": 86_400.0}, {"p": 1e-6}, {"day_n": 100.0}),
    # Three of four blocks of `width_s` at or below `part` of what the clock expects; blocks
    # widen to 45 minutes until `n` events are expected. Hours below `quiet` of the usual are quiet.
    "drop": Keys(
        {"part": 0.5, "width_s": 300.0, "quiet": 0.2}, {"p": 1e-3, "joint": 1e-6}, {"n": 50.0}
    ),
    # Parts of a whole: `points` of absolute change, `bound` its lower confidence limit.
    "share": Keys(
        {"points": 0.20, "bound": 0.10, "distance": 0.05},
        {"p": 1e-6, "bound_p": 1e-3},
        {"n": 100.0, "baseline": 1000.0},
    ),
    # A name that must not occur (`not_allowed`), never did before (`first_seen`), or stands in
    # for another model than was asked for (`substituted`).
    "unexpected": Keys({"share": 0.01, "requests": 5.0}, {}, {"n": 1.0}, {"reason": "not_allowed"}),
    # A quantile of a distribution against the same quantile of its baselines; `add` is in ms or
    # tokens, `tail` asks that it rose so much more than the median (0 = never asked).
    "quantile": Keys(
        {"ratio": 1.2, "add": 100.0, "q": 0.95, "tail": 0.0},
        {"p": 1e-4, "e": 1e4},
        {"n": 200.0, "wide_n": 500.0, "baseline": 1000.0},
        {"flat": {}, "strata": {}},
    ),
    # The part of calls that fail or time out, against an absolute threshold; `times` the usual
    # rate (0 = never asked) where that is above `usual`. Sooner: surely above it in minutes, and
    # surely `risen` times the usual rate in the hour (0 = never asked).
    # `early_e` and `risen_e` are in windows: see baseline/stats/rates.py.
    "rate": Keys(
        {
            "rate": 0.05,
            "critical": 0.20,
            "short_s": 300.0,
            "times": 0.0,
            "usual": 0.005,
            "risen": 1.5,
        },
        {
            "p": 0.01,
            "short_p": 0.05,
            "early_e": 1e6,
            "usual_p": 1e-4,
            "risen_e": 1e4,
            "risen_p": 1e-3,
        },
        {"k": 7.0, "n": 50.0, "last": 100.0, "baseline": 300.0},
    ),
    # Errors of one class in ten minutes: `new` to its service, or a `spike` of a known one;
    # either from `traces` different runs (0 = not asked).
    # `lift`: from so many times its part of the traffic on, a tool, model or route is named.
    "error_class": Keys(
        {"ratio": 3.0, "lift": 5.0}, {"p": 1e-6}, {"k": 10.0, "traces": 0.0}, {"reason": "spike"}
    ),
    # A ratio of two sums against the last day: `ratio` times it or `points` more (0 = not asked),
    # surely `bound` times; `flat`: the denominator rose by less (0 = not asked).
    "ratio": Keys(
        {"ratio": 1.5, "bound": 1.2, "points": 0.0, "flat": 0.0, "width_s": 900.0},
        {"p": 1e-3},
        {"n": 50.0, "k": 1.0},
        {"per": "self"},
    ),
    # Objectives of latency: the share beyond a limit, at its lower confidence limit.
    "slo": Keys({}, {"p": 1e-3}, {"n": 20.0}, {"slos": []}),
    # A quantile over the median of the same look; `growth` is on the day's own ratio.
    "tail": Keys(
        {"q": 0.95, "ratio": 4.0, "growth": 1.25}, {"p": 1e-3}, {"n": 200.0, "baseline": 1000.0}
    ),
    # A stage's part of the time of its service's runs.
    "stage": Keys({"share": 0.60, "points": 0.10}, {"p": 1e-5}, {"n": 100.0, "baseline": 500.0}),
    # One single duration: over the day's p99.9, and over its longest.
    "peak": Keys(
        {"ratio": 3.0, "highest": 3.0}, {}, {"n": 1.0, "baseline": 2000.0}, {"max_ms": {}}
    ),
    # The mean of a score; `add` in its own unit, `ratio` on the usual mean.
    "level": Keys(
        {"add": 0.05, "ratio": 1.1},
        {"p": 1e-5},
        {"n": 30.0, "baseline": 200.0},
        {"worse_up": [], "worse_down": []},
    ),
    # How odd any value is to the residual bank; `ratio` times the expected, or a part of it.
    "residual": Keys({"ratio": 1.5}, {"p": 0.05}, {"n": 20.0}),
    # Money against the budgets of the configuration, by kind (burn, share, forecast, call), or
    # a `day` dearer than the series' days. `share`: of a budget spent; `usd`: the least day.
    "budget": Keys(
        {"share": 0.8, "ratio": 1.5}, {"p": 1e-3}, {"n": 20.0, "usd": 1.0}, {"kind": "burn"}
    ),
    # Runs, step by step: loops, ping-pong, storms (flow/detect/runs).
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
