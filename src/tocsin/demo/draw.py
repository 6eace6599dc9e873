"""Random choices of the fleet, vectorised: when runs arrive, and what happens in each.

Everything is drawn first as if nothing were wrong; incidents are then laid over the draws, so
they change only what they touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.demo.incidents import MINUTE_MS, Incident, IncidentKind
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

_ARRIVAL_SHAPE = 25.0  # gamma shape of a minute's rate: 20 % more spread than Poisson alone
_BURST_CHANCE = 0.004  # of a minute with about twice the traffic
_DAY_SWING = 0.3  # of the mean rate, highest at 15:00 UTC
_RETRIEVES, _VERIFIES = 0.7, 0.5  # share of runs that look something up; that check the answer
_MODEL_ERROR, _TOOL_ERROR, _RETRY = 0.004, 0.006, 0.01

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


def models_of(profile: Profile) -> list[tuple[str, str]]:
    """(provider, model) by the index that `Runs.model` uses."""
    known = [model for model, _ in profile.models]
    return [(model.provider, model.name) for model in (*known, NEW_MODEL)]


def arrivals(rng: np.random.Generator, profile: Profile, block_ms: int) -> Floats:
    """Start times of the runs that arrive in one block: a gamma-mixed Poisson with bursts."""
    minutes = np.arange(block_ms, block_ms + BLOCK_MS, MINUTE_MS)
    count = len(minutes)
    rate = profile.runs_per_minute * _day_shape(minutes)
    rate *= rng.gamma(_ARRIVAL_SHAPE, 1.0 / _ARRIVAL_SHAPE, size=count)
    rate *= np.where(rng.random(count) < _BURST_CHANCE, rng.uniform(1.7, 2.3, count), 1.0)
    runs = rng.poisson(rate)
    return np.repeat(minutes, runs) + rng.uniform(0.0, MINUTE_MS, int(runs.sum()))


def extra_arrivals(
    rng: np.random.Generator, profile: Profile, block_ms: int, incidents: Sequence[Incident]
) -> Floats:
    """Start times of the runs that spikes add to one block."""
    starts = [np.empty(0)]
    for spike in _of_kind("spike", incidents):
        from_ms = max(spike.from_ms, block_ms)
        length = min(spike.to_ms, block_ms + BLOCK_MS) - from_ms
        if length > 0:
            rate = profile.runs_per_minute * float(_day_shape(np.array([from_ms]))[0])
            count = rng.poisson(rate * (spike.size - 1.0) * length / MINUTE_MS)
            starts.append(from_ms + rng.uniform(0.0, length, int(count)))
    return np.concatenate(starts)


def draw_runs(
    rng: np.random.Generator, profile: Profile, start_ms: Floats, incidents: Sequence[Incident]
) -> Runs:
    """What happens in the runs that start at `start_ms` ([R])."""
    n = len(start_ms)
    rounds = np.minimum(rng.poisson(profile.rounds, n), ROUNDS)
    present = np.ones((n, SLOTS), dtype=np.bool_)
    present[:, RETRIEVE] = rng.random(n) < _RETRIEVES
    present[:, HANDOFF] = rng.random(n) < profile.handoff_share
    present[:, TOOLS] = np.arange(ROUNDS) < rounds[:, None]
    present[:, TOOLS + 1] = present[:, TOOLS]
    present[:, VERIFY] = rng.random(n) < _VERIFIES

    error = np.zeros((n, SLOTS), dtype=np.bool_)
    error[:, MODELS] = rng.random((n, len(MODELS))) < _MODEL_ERROR
    error[:, TOOLS] = rng.random((n, ROUNDS)) < _TOOL_ERROR

    tool = rng.integers(0, len(profile.tools), (n, ROUNDS))
    repeats = (rng.random(n) < _RETRY) & (rounds > 1)
    tool[:, 1] = np.where(repeats, tool[:, 0], tool[:, 1])
    route = _pick(rng.random(n), np.array([share for _, share in profile.routes]))
    model = _pick_models(rng.random(n), start_ms, profile, incidents)

    calls = (n, len(MODELS))
    tokens_out = np.maximum(4.0, profile.output_tokens * _lognormal(rng, 0.45, calls)).round()
    prompt = 700.0 + 380.0 * np.arange(len(MODELS))  # each round adds its messages
    tokens_in = np.maximum(20.0, prompt * _lognormal(rng, 0.3, calls)).round()
    durations, ttft = _durations(rng, profile, model, tool, tokens_out)
    slowed = _slowed(start_ms, incidents)[:, None]
    durations = np.where(present, np.minimum(durations * slowed, _CAP_MS), 0.0)
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
        ttft_ms=np.minimum(ttft * slowed, durations[:, MODELS]),
        repeats=repeats,
    )


def _durations(
    rng: np.random.Generator, profile: Profile, model: Ints, tool: Ints, tokens_out: Floats
) -> tuple[Floats, Floats]:
    """Milliseconds of every slot ([R, SLOTS]) and to the first token ([R, ROUNDS + 1])."""
    n = len(model)
    models = [known for known, _ in profile.models] + [NEW_MODEL]
    ttft = np.array([m.ttft_ms for m in models])[model][:, None]
    ttft = ttft * _lognormal(rng, 0.3, tokens_out.shape)
    speed = np.array([m.tokens_per_s for m in models])[model][:, None]
    durations = np.empty((n, SLOTS))
    durations[:, RETRIEVE] = 110.0 * _lognormal(rng, 0.35, (n,))
    durations[:, HANDOFF] = 3.0 * _lognormal(rng, 0.3, (n,))
    durations[:, VERIFY] = 80.0 * _lognormal(rng, 0.3, (n,))
    median_ms = np.array([ms for _, ms in profile.tools])
    durations[:, TOOLS] = median_ms[tool] * _lognormal(rng, 0.4, tool.shape)
    writing = 1000.0 * tokens_out / speed * _lognormal(rng, 0.15, tokens_out.shape)
    durations[:, MODELS] = ttft + writing
    return durations, ttft


def _pick_models(
    uniform: Floats, start_ms: Floats, profile: Profile, incidents: Sequence[Incident]
) -> Ints:
    """A model a run; a routing incident moves share from the first model to the second."""
    shares = np.array([*(share for _, share in profile.models), 0.0])
    chosen = _pick(uniform, shares)
    for shift in _of_kind("routing", incidents):
        moved = shares.copy()
        moved[0] -= shift.size + shift.new_model_share
        moved[1] += shift.size
        moved[-1] += shift.new_model_share
        inside = (start_ms >= shift.from_ms) & (start_ms < shift.to_ms)
        chosen = np.where(inside, _pick(uniform, moved), chosen)
    return chosen


def _pick(uniform: Floats, shares: Floats) -> Ints:
    """Index of the share that each number of [0, 1) falls into."""
    edges = np.cumsum(shares)[:-1]
    return np.searchsorted(edges, uniform, side="right").astype(np.int64)


def _slowed(start_ms: Floats, incidents: Sequence[Incident]) -> Floats:
    factor = np.ones(len(start_ms))
    for slow in _of_kind("latency", incidents):
        factor[(start_ms >= slow.from_ms) & (start_ms < slow.to_ms)] *= slow.size
    return factor


def _of_kind(kind: IncidentKind, incidents: Sequence[Incident]) -> list[Incident]:
    return [incident for incident in incidents if incident.kind == kind]


def _day_shape(at_ms: Ints) -> Floats:
    hours = (at_ms / 3_600_000.0) % 24.0
    return 1.0 + _DAY_SWING * np.sin(2.0 * np.pi * (hours - 9.0) / 24.0)


def _lognormal(rng: np.random.Generator, sigma: float, size: tuple[int, ...]) -> Floats:
    """Factors with median 1."""
    factors: Floats = np.exp(sigma * rng.standard_normal(size))
    return factors
