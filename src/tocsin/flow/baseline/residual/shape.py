"""Sizes that follow from the interval: season length, filter spans, weights of the views.

All constants of the scorer are here. None is fitted to a series; they were chosen once on the
simulated fleet of `tests/quality` and two groups of the Numenta benchmark, and hold for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAY_S = 86_400
#: The score at which an alert is raised; scores are centred on it.
ALERT_SCORE = 0.5
#: Values a series needs before it is scored.
WARM_UP = 144
VIEWS = ("jump", "new_jump", "slow", "slower", "range")


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes and weights for one interval; see `of`."""

    interval_s: float
    day: int  # ticks a day
    slots: int  # parts of the day that have a profile of their own
    chunk: int  # ticks between two updates of the fitted parameters
    fast: float  # span of the short EWMA, ticks
    slow: float  # span of the long one
    smooth: int  # values the slow view averages
    weights: tuple[float, ...]  # of VIEWS, sum 1
    level: float  # surprise (log10 of days between such values) at which an alert is raised
    opens: float  # surprise below which a value opens no episode
    longest: float  # values that an episode lasts at the most after its last high one
    margin: float  # least excess over the record for a later value of an episode to be reported
    again: float  # the same within `episodes.APART` values of an alert

    @classmethod
    def of(cls, interval_s: float) -> Shape:
        """The shape for series with one value every `interval_s` > 0 seconds.

        At a minute, incidents are steps and spikes of a few values, which the fast views show.
        A value of five minutes or more is an average already: incidents show in the level over
        many values, and in the range.
        """
        if not interval_s > 0:
            raise ValueError(f"interval_s must be positive, not {interval_s}")
        day = max(round(DAY_S / interval_s), 1)
        coarse = float(np.clip(np.log(interval_s / 60) / np.log(5), 0, 1))
        weights = (1 - coarse) * np.array(_MINUTE) + coarse * np.array(_FIVE_MINUTES)
        weights /= weights.sum()
        return cls(
            interval_s=float(interval_s),
            day=day,
            slots=min(288, day),
            chunk=min(int(np.clip(round(3600 / interval_s), 4, 60)), day),
            fast=20.0 + 10.0 * coarse,
            slow=float(np.clip(6 * 3600 / interval_s, 60, 400)),
            smooth=3 if coarse < 0.5 else 5,
            weights=tuple(float(w) for w in weights),
            level=(1 - coarse) * _LEVEL_MINUTE + coarse * _LEVEL_FIVE,
            opens=(1 - coarse) * _OPENS_MINUTE + coarse * _OPENS_FIVE,
            longest=(1 - coarse) * 60 + coarse * 150,
            margin=(1 - coarse) * 0.1 + coarse * 0.4,
            again=(1 - coarse) * 0.1 + coarse * 2.0,
        )


_MINUTE = (0.5, 1.0, 1.5, 1.0, 0.1)
_FIVE_MINUTES = (1.0, 0.0, 1.0, 0.0, 1.0)
_LEVEL_MINUTE, _LEVEL_FIVE = -1.2, -0.25
_OPENS_MINUTE, _OPENS_FIVE = -2.1, -1.6
