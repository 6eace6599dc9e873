"""Five residuals of a value (*views*), each in units of its own usual size.

- `jump`: distance from the level of the last half hour, over the series' usual jump.
- `new_jump`: the same without the daily profile's move, over the noise of this time of day, less
  the largest jump of the last days at this time (after FluxEV, Li et al., WSDM 2021).
- `slow`, `slower`: the mean of the last few values (of the last ten) from the level of the last
  six hours, without the daily profile's move: steps, ramps, broken patterns.
- `range`: distance from the centre of all values.

Levels follow the median of five, so that a spike does not move them; scales follow clipped
residuals, so that an incident does not widen them. Both adapt to a lasting shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.residual import season
from tocsin.flow.baseline.residual.filters import lagged_ewma, mean_of, median5, start_ewma
from tocsin.flow.baseline.residual.model_state import RING, State
from tocsin.flow.baseline.residual.shape import Shape
from tocsin.types import Bools, Floats, Ints

CLIP = 6.0  # usual sizes at which a residual is clipped before it updates a scale
#: Least scale, as a part of the level and of the largest residual: for a flat series, and for
#: one that is mostly 0 with rare values of very different size.
_FLOOR, _FLOOR_HEIGHT = 2e-3, 5e-4
_TINY = 1e-60  # keeps a division by 0 at 0, in any unit
_RESTLESS, _RESTLESS_SLOW = 60.0, 240.0  # spans (ticks) of the mean |residual| of late
_PER_SIGMA = 1.25  # sigma of a normal in mean deviations
_NOISE_SHARE = 0.4  # weight of the noise of the time of day against that of late
_LONG = 10


@dataclass(frozen=True, slots=True)
class Fitted:
    """Parameters derived from the state; constant until the next update."""

    noise: Floats  # [rows, slots]
    envelope: Floats  # [rows, slots]
    odd: Floats  # [rows, slots], the usual surprise at this time of day
    floor: Floats  # [rows, 1], smallest believable residual
    scale1: Floats  # [rows, 1]
    scale2: Floats
    spread: Floats
    beta1: Floats  # [rows, 1], 0..1
    beta2: Floats

    @classmethod
    def of(cls, shape: Shape, state: State) -> Fitted:
        floor = _FLOOR * np.abs(state["centre"]) + _FLOOR_HEIGHT * state["height"] + _TINY
        floor = floor[:, None]
        scale1 = np.maximum(state["scale1"][:, None], floor)
        usual, trust = season.noise(shape, state)
        return cls(
            noise=trust * usual + (1.0 - trust) * scale1,
            envelope=season.envelope(shape, state),
            odd=season.usual_oddness(shape, state),
            floor=floor,
            scale1=scale1,
            scale2=np.maximum(state["scale2"][:, None], floor),
            spread=np.maximum(state["spread"][:, None], floor),
            beta1=_slope(state["beta1"]),
            beta2=_slope(state["beta2"]),
        )


def _slope(sums: np.ndarray) -> np.ndarray:
    return np.clip(sums[:, :1] / (sums[:, 1:] + _TINY), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ResidualBlock:
    """The views of a block [rows, T], and what the next update needs of it."""

    seen: Bools  # bool
    z: Floats  # [rows, views, T]
    expected: Floats
    sigma: Floats
    pending: dict[str, np.ndarray]  # by state field


def start(shape: Shape, state: State, rows: Ints, first: Floats, tick: int) -> None:
    """Begin series with their first value."""
    state["born"][rows] = tick
    state["ring"][rows] = first[:, None]
    state["centre"][rows] = first
    state["profile"][rows] = first[:, None]
    for name, span in (("m", shape.fast), ("ms", shape.fast), ("M", shape.slow),
                       ("Ms", shape.slow)):  # fmt: skip
        start_ewma(state, name, rows, first, span)


def _bridge(
    shape: Shape, state: State, x: Floats, usual: Floats, beta: Floats, tick: int
) -> np.ndarray:
    """Fill gaps with the last value plus the profile's move since; keeps the newest value."""
    seen = ~np.isnan(x)
    at = np.maximum.accumulate(np.where(seen, np.arange(x.shape[1]), -1), axis=1)
    inside, column = at >= 0, np.maximum(at, 0)
    if seen.all():
        filled = x
    else:
        held_usual = season.expected_of(shape, state, state["held_at"])
        value = np.where(inside, np.take_along_axis(x, column, 1), state["held"][:, None])
        before = np.where(inside, np.take_along_axis(usual, column, 1), held_usual[:, None])
        filled = np.where(seen, x, value + beta * (usual - before))
    newest, any_seen = column[:, -1], inside[:, -1]
    state["held"] = np.where(any_seen, x[np.arange(len(x)), newest], state["held"])
    state["held_at"] = np.where(any_seen, tick + newest, state["held_at"])
    return filled


def residuals(shape: Shape, state: State, fitted: Fitted, x: Floats, tick: int) -> ResidualBlock:
    """Views of `x` [rows, T] that begins at `tick`; moves the running part of the state."""
    seen, ticks = ~np.isnan(x), tick + np.arange(x.shape[1])
    slots = season.slot_of(shape, ticks)
    # The profile two ticks ago: as late as the median of five is.
    usual, usual_late = (season.expected(shape, state, t) for t in (ticks, ticks - 2))
    born = state["born"][:, None]
    known = (born >= 0) & (ticks >= born + shape.day + shape.chunk)
    now = _bridge(shape, state, x, usual, fitted.beta1 * known, tick)
    history = np.concatenate((state["ring"], now), 1)
    state["ring"] = history[:, -RING:].copy()
    med = median5(history, RING)

    level = lagged_ewma(state, "m", med, shape.fast)
    move = (usual - lagged_ewma(state, "ms", usual_late, shape.fast)) * known
    expected = level + fitted.beta1 * move
    e1 = now - expected
    noise = fitted.noise[:, slots]
    size = np.minimum(np.abs(e1), CLIP * np.maximum(noise, 0.3 * fitted.scale1))
    lately = lagged_ewma(state, "v", size, _RESTLESS)
    sigma = np.sqrt(_NOISE_SHARE * noise**2 + (1.0 - _NOISE_SHARE) * lately**2)
    sigma = _PER_SIGMA * np.maximum(sigma, 0.25 * fitted.scale1)
    z1 = e1 / sigma
    jump = (now - level) / (_PER_SIGMA * np.maximum(fitted.scale1, 0.25 * lately))
    new_jump = np.sign(z1) * np.maximum(np.abs(z1) - fitted.envelope[:, slots], 0.0)

    far = lagged_ewma(state, "M", med, shape.slow)
    far_move = (usual - lagged_ewma(state, "Ms", usual_late, shape.slow)) * known
    afar = far + fitted.beta2 * far_move
    e2 = mean_of(history, RING, shape.smooth) - afar
    size = np.minimum(np.abs(e2), CLIP * fitted.scale2)
    lately2 = lagged_ewma(state, "V", size, _RESTLESS_SLOW)
    sigma2 = _PER_SIGMA * np.sqrt(0.5 * fitted.scale2**2 + 0.5 * lately2**2)
    slower = (mean_of(history, RING, _LONG) - afar) / sigma2
    away = (now - state["centre"][:, None]) / (_PER_SIGMA * fitted.spread)
    pending = {
        "p_med": med,
        "p_e1": e1,
        "p_d1": move,
        "p_e2": e2,
        "p_d2": far_move,
        "p_z": np.clip(z1, -99.0, 99.0),
    }
    return ResidualBlock(
        seen=seen,
        z=np.stack((jump, new_jump, e2 / sigma2, slower, away), 1),
        expected=expected,
        sigma=sigma,
        pending={k: np.where(seen, v, np.nan).astype(np.float32) for k, v in pending.items()},
    )
