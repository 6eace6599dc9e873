"""The generic residual scorer: how surprising is a value, given what the series did before?

Any numeric series, one value an interval: five views of what is unexpected (`views.py`), each
made a probability by the tail of its own past (`tail.py`), averaged, measured against how often
this series cries already, and given once an episode (`episodes.py`). Strictly causal, and the
same to the last bit however the past was cut into blocks: what is learnt changes at fixed ticks
only, and in between everything is a linear filter or a function of a fixed window.
"""

from tocsin.flow.baseline.residual.scorer import ResidualBank, Scores
from tocsin.flow.baseline.residual.shape import ALERT_SCORE, Shape

__all__ = ["ALERT_SCORE", "ResidualBank", "Scores", "Shape"]
