"""A window beside the history of its shard: the input of detectors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tocsin.flow.baseline.history.cost_ledger import CostLedger
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.residual_history import ResidualHistory
from tocsin.flow.baseline.history.seen_names import SeenNames
from tocsin.flow.baseline.stats import sketch
from tocsin.types import Floats, WindowFrame


@dataclass(frozen=True, slots=True)
class Graded:
    """One window of one shard beside its history. Detectors only read it."""

    at: int  # start of the window, epoch s
    history: History  # up to before the window
    known: SeenNames
    warmup: int  # windows of age a series needs for a statistical judgement
    allowed_models: tuple[str, ...]
    current: Mapping[str, Floats]  # signal -> float64 [rows], 0 where silent
    sketches: Mapping[str, sketch.Sketches]  # signal -> of this window
    young_s: int = 0  # statistical findings of younger series are warnings at most
    #: Cost of the series with a budget.
    ledger: CostLedger = field(default_factory=CostLedger)
    #: Signal -> probability of so improbable a value, float64 by row; NaN where unknown.
    residuals: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """End of the window, epoch s."""
        return self.at + self.history.window_s

    @property
    def skip(self) -> int:
        """Newest windows of the history that an expectation for this window leaves out.

        Window `w` is expected from windows up to `w - 2`. While an open window is judged,
        `w - 1` may be open or closed, depending on when flushes came; so it is never used, and
        the same log gives the same alert whatever the timing.
        """
        last = self.history.last
        return 1 if last is not None and last >= self.at - self.history.window_s else 0


def grade(
    history: History,
    frame: WindowFrame,
    known: SeenNames,
    *,
    warmup: int,
    allowed_models: tuple[str, ...] = (),
    young_s: int = 0,
    ledger: CostLedger | None = None,
    residuals: ResidualHistory | None = None,
) -> Graded:
    """Put a window beside its shard's history, which must not hold it yet.

    Changes of its arguments only: `history` assigns rows to new series, `residuals` scores the
    window and learns it.
    """
    rows = history.rows(frame.series)
    current = np.zeros((len(history.signals), len(history.catalog)))
    current[:, rows] = history.counts.of(frame)
    columns = dict(zip(history.signals, current, strict=True))
    return Graded(
        frame.start,
        history,
        known,
        warmup,
        allowed_models,
        columns,
        {name: part.of(frame, rows) for name, part in history.sketches.items()},
        young_s,
        ledger or CostLedger(),
        residuals.score(frame, columns, history.catalog) if residuals is not None else {},
    )
