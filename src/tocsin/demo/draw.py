"""Random choices of the fleet, vectorised: what happens in each run.

How many numbers are drawn depends on how many runs there are, and on nothing else that a fault
changes: of two fleets with the same runs, the one with a fault differs only in what it touches.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.demo.incidents import MINUTE_MS
from tocsin.demo.profiles import NEW_MODEL, Profile

#: Runs are drawn in blocks of this length, and no run is longer (see `_CAP_MS`).
BLOCK_MS = 5 * MINUTE_MS

# A run is a row of slots, filled from left to right: retrieve, plan, hand off, then up to five
# rounds of (tool call, model call), then verify.
ROUNDS = 5
RETRIEVE, PLAN, HANDOFF, FIRST_TOOL = 0, 1, 2, 3
TOOLS = np.arange(FIRST_TOOL, FIRST_TOOL + 2 * ROUNDS, 2)
MODELS = np.concatenate([[PLAN], TOOLS + 1])
VERIFY = FIRST_TOOL + 2 * ROUNDS
SLOTS = VERIFY + 1
#: Longest slot, ms. Three steps and five tools at 15 s, six model calls at 25 s: 270 s.
_CAP_MS = np.full(SLOTS, 15_000.0)
_CAP_MS[MODELS] = 25_000.0
_GAP_MS = 4.0  # between two slots: the framework's own time

_RETRIEVES, _VERIFIES = 0.7, 0.5  # share of runs that look something up; that check the answer
_RETRY = 0.01  # share of runs that make one call twice

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Runs:
    """R runs of one service: times in epoch ms, one column a slot or a round."""

    start_ms: Floats  # [R]
    present: Bools  # [R, SLOTS]
    begin_ms: Floats  # [R, SLOTS]
    end_ms: Floats  # [R, SLOTS]; absent slots take no time, so the last column ends the run
    error: Bools  # [R, SLOTS]
    model: Ints  # [R] index into the profile's models; one past them is NEW_MODEL
    route: Ints  # [R] index into the profile's routes
    tool: Ints  # [R, ROUNDS] index into the profile's tools
    tokens_in: Floats  # [R, ROUNDS + 1], of the model calls
    tokens_out: Floats  # [R, ROUNDS + 1]
    ttft_ms: Floats  # [R, ROUNDS + 1]
    repeats: Bools  # [R] the second tool call repeats the first, argument and result


def draw_runs(
    rng: np.random.Generator, profile: Profile, start_ms: Floats, now: Mapping[str, Floats]
) -> Runs:
    """What happens in the runs that start at `start_ms` ([R]).

    `now` has what is true as each run starts ([R] each), by its name in `conditions.State`.
    """
    n = len(start_ms)
    rounds = np.minimum(rng.poisson(now["tools"]), ROUNDS)
    present = np.ones((n, SLOTS), dtype=np.bool_)
    present[:, RETRIEVE] = rng.random(n) < _RETRIEVES
    present[:, HANDOFF] = rng.random(n) < now["handoffs"]
    present[:, TOOLS] = np.arange(ROUNDS) < rounds[:, None]
    present[:, TOOLS + 1] = present[:, TOOLS]
    present[:, VERIFY] = rng.random(n) < _VERIFIES

    error = np.zeros((n, SLOTS), dtype=np.bool_)
    error[:, MODELS] = rng.random((n, len(MODELS))) < now["errors"][:, None]
    error[:, TOOLS] = rng.random((n, ROUNDS)) < now["errors"][:, None]

    tool = rng.integers(0, len(profile.tools), (n, ROUNDS))
    repeats = (rng.random(n) < _RETRY) & (rounds > 1)
    tool[:, 1] = np.where(repeats, tool[:, 0], tool[:, 1])
    edges = np.cumsum([share for _, share in profile.routes])[:-1]
    route = np.searchsorted(edges, rng.random(n), side="right").astype(np.int64)
    # The first model, the second, or one that nobody has seen before.
    uniform = rng.random(n)
    model = np.where(uniform < now["share"], 0, 1)
    model = np.where(uniform >= 1.0 - now["new_model"], 2, model)

    calls = (n, len(MODELS))
    answer = now["tokens_out"][:, None]
    tokens_out = np.maximum(4.0, answer * _lognormal(rng, 0.45, calls)).round()
    # Each round adds its messages.
    prompt = now["tokens_in"][:, None] * (1.0 + 0.54 * np.arange(len(MODELS)))
    tokens_in = np.maximum(20.0, prompt * _lognormal(rng, 0.3, calls)).round()
    durations, ttft = _durations(rng, profile, now, model, tool, tokens_out)
    durations = np.where(present, np.minimum(durations, _CAP_MS), 0.0)
    end_ms = start_ms[:, None] + np.cumsum(durations + _GAP_MS * present, axis=1)
    return Runs(
        start_ms=start_ms,
        present=present,
        begin_ms=end_ms - durations,
        end_ms=end_ms,
        error=error & present,
        model=model,
        route=route,
        tool=tool,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        ttft_ms=np.minimum(ttft, durations[:, MODELS]),
        repeats=repeats,
    )


def _durations(
    rng: np.random.Generator, profile: Profile, now: Mapping[str, Floats],
    model: Ints, tool: Ints, tokens_out: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Milliseconds of every slot ([R, SLOTS]) and to the first token ([R, ROUNDS + 1])."""
    n = len(model)
    models = (*profile.models, NEW_MODEL)
    ttft = np.array([m.ttft_ms for m in models])[model][:, None]
    ttft = ttft * now["ttft_ms"][:, None] * _lognormal(rng, 0.3, tokens_out.shape)
    speed = np.array([m.tokens_per_s for m in models])[model][:, None]
    durations = np.empty((n, SLOTS))
    durations[:, RETRIEVE] = 110.0 * _lognormal(rng, 0.35, (n,))
    durations[:, HANDOFF] = 3.0 * _lognormal(rng, 0.3, (n,))
    durations[:, VERIFY] = 80.0 * _lognormal(rng, 0.3, (n,))
    median_ms = np.array([ms for _, ms in profile.tools])
    durations[:, TOOLS] = (
        median_ms[tool] * now["tool_ms"][:, None] * _lognormal(rng, 0.4, tool.shape)
    )
    writing = 1000.0 * tokens_out / speed * _lognormal(rng, 0.15, tokens_out.shape)
    durations[:, MODELS] = ttft + writing * now["call_ms"][:, None]
    return durations, ttft


def _lognormal(rng: np.random.Generator, sigma: float, size: tuple[int, ...]) -> Floats:
    """Factors with median 1."""
    factors: Floats = np.exp(sigma * rng.standard_normal(size))
    return factors
