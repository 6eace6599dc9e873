"""The generic residual scorer: how improbable is a value, given the series' own history?

Any numeric series, one value an interval. Five residuals (`residual_views.py`) are each turned
into a probability by the tail of their own distribution (`tail_fit.py`) and averaged; the result
is lowered for series that often have such peaks and reported once an episode (`episodes.py`).
A score depends on that and earlier values only, not on how they were cut into blocks: fitted
parameters change at fixed ticks (`update.py`), all else is a filter or a fixed window.
"""

from tocsin.flow.baseline.residual.scorer import ResidualBank, Scores
from tocsin.flow.baseline.residual.shape import ALERT_SCORE, Shape

__all__ = ["ALERT_SCORE", "ResidualBank", "Scores", "Shape"]
