"""Five views of what is unexpected in a value, each in units of its own usual size.

- `jump`: off the level of the last half hour, against the series' usual jump.
- `new_jump`: the same with the day's move taken out and the noise of this time of day, and only
  what exceeds the jolts of the last days at this time (after FluxEV, Li et al., WSDM 2021).
- `slow`, `slower`: the mean of the last few values (of the last ten) off the level of the last
  six hours, with the day's move taken out: steps, ramps, broken patterns.
- `range`: off the centre of all that was seen.

Levels follow the median of five, so that a spike does not move them; scales follow clipped
residuals, so that an incident does not stretch them. Both follow a lasting shift in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.residual import season
from tocsin.flow.baseline.residual.filters import lagged_ewma, mean_of, median5, start_ewma
from tocsin.flow.baseline.residual.model_state import RING, State
from tocsin.flow.baseline.residual.shape import Shape

CLIP = 6.0  # usual sizes beyond which a residual teaches no more
#: Of the level, and of the largest residual: a flat series that moves by less has not moved, and
#: of the rare values of one that is mostly 0 the small ones are told from the large ones.
_FLOOR, _FLOOR_HEIGHT = 2e-3, 5e-4
_TINY = 1e-60  # keeps a division by 0 at 0, in any unit
_RESTLESS, _RESTLESS_SLOW = 60.0, 240.0  # spans of how restless the residuals were lately
_PER_SIGMA = 1.25  # sigma of a normal in mean deviations
_NOISE_SHARE = 0.4  # of the time of day, in the variance of a jump; the rest is of late
_LONG = 10


@dataclass(frozen=True, slots=True)
class Learnt:
    """What holds until the next lesson, made once from the state."""

    noise: np.ndarray  # [rows, slots]
    envelope: np.ndarray  # [rows, slots]
    odd: np.ndarray  # [rows, slots], surprise that is usual at this time of day
    floor: np.ndarray  # [rows, 1], smallest believable residual
    scale1: np.ndarray  # [rows, 1]
    scale2: np.ndarray
    spread: np.ndarray
    beta1: np.ndarray  # [rows, 1], 0..1
    beta2: np.ndarray

    @classmethod
    def of(cls, shape: Shape, state: State) -> Learnt:
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
    """What the views say of a block [rows, T], and what the next lesson needs of it."""

    seen: np.ndarray  # bool
    z: np.ndarray  # [rows, views, T]
    expected: np.ndarray
    sigma: np.ndarray
    lesson: dict[str, np.ndarray]  # by state field


def start(shape: Shape, state: State, rows: np.ndarray, first: np.ndarray, tick: int) -> None:
    """Begin series with their first value: all that is known of them is that."""
    state["born"][rows] = tick
    state["ring"][rows] = first[:, None]
    state["centre"][rows] = first
    state["profile"][rows] = first[:, None]
    for name, span in (("m", shape.fast), ("ms", shape.fast), ("M", shape.slow),
                       ("Ms", shape.slow)):  # fmt: skip
        start_ewma(state, name, rows, first, span)


def _bridge(
    shape: Shape, state: State, x: np.ndarray, usual: np.ndarray, beta: np.ndarray, tick: int
) -> np.ndarray:
    """Fill gaps: the value before, moved as the day moves in between. Holds the newest value."""
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


def residuals(
    shape: Shape, state: State, learnt: Learnt, x: np.ndarray, tick: int
) -> ResidualBlock:
    """Views of `x` [rows, T] that begins at `tick`; moves the running part of the state."""
    seen, ticks = ~np.isnan(x), tick + np.arange(x.shape[1])
    slots = season.slot_of(shape, ticks)
    # The profile two ticks ago: as late as the median of five is.
    usual, usual_late = (season.expected(shape, state, t) for t in (ticks, ticks - 2))
    born = state["born"][:, None]
    known = (born >= 0) & (ticks >= born + shape.day + shape.chunk)
    now = _bridge(shape, state, x, usual, learnt.beta1 * known, tick)
    past = np.concatenate((state["ring"], now), 1)
    state["ring"] = past[:, -RING:].copy()
    med = median5(past, RING)

    level = lagged_ewma(state, "m", med, shape.fast)
    move = (usual - lagged_ewma(state, "ms", usual_late, shape.fast)) * known
    expected = level + learnt.beta1 * move
    e1 = now - expected
    noise = learnt.noise[:, slots]
    size = np.minimum(np.abs(e1), CLIP * np.maximum(noise, 0.3 * learnt.scale1))
    lately = lagged_ewma(state, "v", size, _RESTLESS)
    sigma = np.sqrt(_NOISE_SHARE * noise**2 + (1.0 - _NOISE_SHARE) * lately**2)
    sigma = _PER_SIGMA * np.maximum(sigma, 0.25 * learnt.scale1)
    z1 = e1 / sigma
    jump = (now - level) / (_PER_SIGMA * np.maximum(learnt.scale1, 0.25 * lately))
    new_jump = np.sign(z1) * np.maximum(np.abs(z1) - learnt.envelope[:, slots], 0.0)

    far = lagged_ewma(state, "M", med, shape.slow)
    far_move = (usual - lagged_ewma(state, "Ms", usual_late, shape.slow)) * known
    afar = far + learnt.beta2 * far_move
    e2 = mean_of(past, RING, shape.smooth) - afar
    size = np.minimum(np.abs(e2), CLIP * learnt.scale2)
    lately2 = lagged_ewma(state, "V", size, _RESTLESS_SLOW)
    sigma2 = _PER_SIGMA * np.sqrt(0.5 * learnt.scale2**2 + 0.5 * lately2**2)
    slower = (mean_of(past, RING, _LONG) - afar) / sigma2
    away = (now - state["centre"][:, None]) / (_PER_SIGMA * learnt.spread)
    lesson = {
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
        lesson={k: np.where(seen, v, np.nan).astype(np.float32) for k, v in lesson.items()},
    )
