"""Updates of the level shifts (`history/level_shifts.py`) by each judged window."""

from collections.abc import Callable, Mapping

import numpy as np

from tocsin.flow.baseline.expect.counts import expect
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history import level_shifts
from tocsin.types import Baseline

#: Of a marked shift (signal, row, since): whether it is accepted at once.
Hastened = Callable[[str, int, int], bool]


def note(
    graded: Graded, excluded: Mapping[str, np.ndarray], hastened: Hastened
) -> dict[str, bytes | None]:
    """Update the shifts from a judged window that is not learned yet; returns the blob to save.

    Args:
        graded: the window beside its history.
        excluded: signal -> rows excluded from the baselines.
        hastened: whether a marked shift was acknowledged, or is explained by a change.
    """
    history, at = graded.history, graded.at
    before = history.level_shifts.encode()
    for signal in history.signals:
        rows = excluded.get(signal, np.empty(0, np.int64))
        if len(rows):
            run = history.counts.quarantined(signal, rows)
            for row, windows in zip(rows.tolist(), run.tolist(), strict=True):
                if windows + 1 >= level_shifts.RUN:
                    _step(graded, signal, row, windows, hastened)
    history.level_shifts.settle(at)
    after = history.level_shifts.encode()
    return {level_shifts.BLOB: after} if after != before else {}


def _step(graded: Graded, signal: str, row: int, run: int, hastened: Hastened) -> None:
    history, at = graded.history, graded.at
    key = signal, history.catalog.names[row]
    shift = history.level_shifts.note(key, at, run * history.window_s)
    if not shift.marked and _is_new_level(graded, signal, row, run):
        shift = history.level_shifts.mark(key, at)
    if level_shifts.is_due(signal, shift, at) or (
        shift.marked and hastened(signal, row, shift.since)
    ):
        history.level_shifts.accept(key, at, _factor(graded, signal, row, run))
        history.readmit(signal, row, shift.since)


def _windows(graded: Graded, signal: str, row: int, count: int) -> np.ndarray:
    """Raw values of the newest windows, the one under judgement last."""
    before = graded.history.counts.trailing(signal, np.array([row]), graded.history.width)[0]
    values = np.append(before, graded.current[signal][row])
    return values[-count:]


def _is_new_level(graded: Graded, signal: str, row: int, run: int) -> bool:
    rows = np.array([row])
    expected = expect(graded.history, signal, rows, at=graded.at, warmup=graded.warmup)
    mean = (expected.low[0] + expected.high[0]) / 2
    known = graded.history.counts.minutes(signal, rows)[0]
    learned = np.log1p(known[np.isfinite(known)]) - np.log1p(mean)
    since = _windows(graded, signal, row, run + 1)
    since = np.log1p(since[np.isfinite(since)]) - np.log1p(mean)
    return bool(expected.ready[0]) and level_shifts.is_new_level(learned, since)


def _factor(graded: Graded, signal: str, row: int, run: int) -> float:
    """Median log ratio of the quarantined windows to the profile; 0 without a profile."""
    history = graded.history
    values = _windows(graded, signal, row, run + 1)
    times = graded.at - np.arange(len(values) - 1, -1, -1) * history.window_s
    seasonal = history.seasonal.rates(signal, np.array([row]), times + history.window_s // 2)
    if seasonal.kind[0] == Baseline.NONE:
        return 0.0
    ratio = np.log(values + 0.5) - np.log(seasonal.rate[0] * history.window_s + 0.5)
    return float(np.nanmedian(ratio)) if np.isfinite(ratio).any() else 0.0
