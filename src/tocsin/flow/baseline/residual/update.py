"""Updates of the fitted parameters at the end of each chunk, from the values of the chunk."""

import numpy as np

from tocsin.flow.baseline.residual import episodes, season, tail_fit
from tocsin.flow.baseline.residual.model_state import State
from tocsin.flow.baseline.residual.residual_views import CLIP
from tocsin.flow.baseline.residual.shape import VIEWS, Shape
from tocsin.flow.baseline.residual.tail_fit import BINS

_FADE_DAYS = 14.0  # half-life of scales and tails
_FADE_DAYS_BETA = 5.0
_TRUSTED = 20.0  # values behind a scale before its updates are clipped
_EARLY = 24  # values a series has before its residuals are counted
_CENTRE_CLIP = 5.0
#: Cells of one view: the bins of both sides.
_CELLS = 2 * BINS


def learn(shape: Shape, state: State, tick: int) -> None:
    """Update scales, profile and tails from the chunk that ends before `tick`, and clear it."""
    ticks = np.arange(tick - shape.chunk, tick)
    fade = 0.5 ** (shape.chunk / (_FADE_DAYS * shape.day))
    _scales(state, fade)
    _slopes(shape, state)
    season.learn(shape, state, ticks)
    _tails(state, fade)
    episodes.fade(shape, state, shape.chunk)
    for name in ("p_med", "p_e1", "p_d1", "p_e2", "p_d2", "p_z"):
        state[name][...] = np.nan


def _scales(state: State, fade: float) -> None:
    seen = ~np.isnan(state["p_med"])
    count = seen.sum(1)
    old = state["weight"] * fade
    new = old + count
    divisor = np.maximum(new, 1e-9)

    def blend(name: str, sizes: np.ndarray) -> None:
        limit = np.where(state["weight"] > _TRUSTED, CLIP * state[name], np.inf)[:, None]
        total = np.where(seen, np.minimum(np.abs(sizes), limit), 0.0).sum(1)
        state[name] = np.where(count > 0, (state[name] * old + total) / divisor, state[name])

    values = state["p_med"].astype(np.float64)
    centre, reach = state["centre"][:, None], _CENTRE_CLIP * state["spread"][:, None]
    clipped = np.clip(values, centre - reach, centre + reach)
    clipped = np.where(state["weight"][:, None] > _TRUSTED, clipped, values)
    jumps = np.where(seen, np.abs(state["p_e1"]), 0.0).max(1)
    state["height"] = np.maximum(state["height"] * fade, jumps)
    blend("scale1", state["p_e1"].astype(np.float64))
    blend("scale2", state["p_e2"].astype(np.float64))
    blend("spread", values - centre)
    total = np.where(seen, clipped, 0.0).sum(1)
    moved = (state["centre"] * old + total) / divisor
    state["centre"] = np.where(count > 0, moved, state["centre"])
    state["weight"] = new


def _slopes(shape: Shape, state: State) -> None:
    """Slopes of the series' moves on those of the daily profile."""
    fade = 0.5 ** (shape.chunk / (_FADE_DAYS_BETA * shape.day))
    for sums, error, move, scale in (
        ("beta1", "p_e1", "p_d1", "scale1"),
        ("beta2", "p_e2", "p_d2", "scale2"),
    ):
        slope = np.clip(state[sums][:, :1] / (state[sums][:, 1:] + 1e-60), 0.0, 1.0)
        predicted = np.nan_to_num(state[move].astype(np.float64))
        limit = CLIP * state[scale][:, None]
        actual = np.nan_to_num(state[error].astype(np.float64)) + slope * predicted
        actual = np.clip(actual, -limit, limit)
        state[sums][:, 0] = state[sums][:, 0] * fade + (actual * predicted).sum(1)
        state[sums][:, 1] = state[sums][:, 1] * fade + (predicted * predicted).sum(1)


def _tails(state: State, fade: float) -> None:
    """Count the sizes of the residuals, each side and view by itself."""
    tails = state["tails"]
    counts = np.zeros_like(tails)
    ready = (~np.isnan(state["p_med"])) & (state["n"] > _EARLY)[:, None]
    rows, columns = np.nonzero(ready)
    cells = counts.reshape(-1)
    for view in range(len(VIEWS)):
        at = rows * (len(VIEWS) * _CELLS) + view * _CELLS + state["p_bin"][rows, view, columns]
        np.add.at(cells, at, np.float32(1.0))
    counts = tail_fit.declustered(counts, tails)
    tails *= np.float32(fade)
    tails += counts
