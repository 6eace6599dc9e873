"""Level shifts: when excluded values become the new normal, and from when on.

Anomalous windows are excluded from the baselines (in *quarantine*). Where 16 windows in a row of
a series are, a *shift* is open. It is *marked* once all of them lie on one side of the expected
value, ADWIN or Page-Hinkley finds a change in the residuals (both are run anew over the windows
of the shard, so none of their state is stored), and the residuals vary no more than before. A
shift is accepted

- when it is marked, and the alert is acknowledged or a change to the service explains it;
- after a day, or a week for errors, timeouts and cost.

Then the exclusion of its windows ends, and the seasonal profile is multiplied by the ratio of
the new level to the old. A shift without an excluded window for an hour is dropped.

River is used here and nowhere else: its two detectors see one series at a time, few series, and
keep no state. Baselines and residuals are of all series of a shard at once and are stored; River
takes one value a call (mean and variance by EWMA of 10,000 series: 1.1 ms; numpy: 0.01 ms), and
stores its models as pickles only.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S
from tocsin.flow.baseline.history.hour_codec import HOURS
from tocsin.types import Floats

BLOB: Final = "l:levels"
VERSION: Final = 1
RUN: Final = 16  # windows in a row
_SLOW: Final = frozenset({"err", "to", "cost"})
_FAST_S, _SLOW_S = DAY_S, 7 * DAY_S
_OVER_S: Final = 3_600
_KEEP_S: Final = HOURS * 3_600
#: Largest ratio of the residuals' deviation to that before, and a deviation that always passes.
_SETTLED, _CALM = 1.5, 0.25

Key = tuple[str, str]  # signal, series


class LevelShift(msgspec.Struct, frozen=True, array_like=True):
    """One shift. Times are starts of windows, epoch s; 0 = not yet."""

    since: int
    newest: int  # of the windows in quarantine
    marked: int = 0
    accepted: int = 0
    factor: float = 0.0  # natural logarithm of new level over old; known when it is accepted

    def readmits(self, start: int, seconds: int) -> bool:
        """Whether the exclusion of a window or quarter-hour in quarantine has ended."""
        return bool(self.accepted) and self.since < start + seconds and start <= self.accepted


class LevelShifts:
    """The open and accepted shifts of one shard."""

    def __init__(self) -> None:
        self._open: dict[Key, LevelShift] = {}
        self._accepted: dict[Key, tuple[LevelShift, ...]] = {}

    def readmits(self, signal: str, series: str, start: int, seconds: int) -> bool:
        """Whether an accepted shift of a series ends the exclusion of [start, start + seconds)."""
        shifts = self._accepted.get((signal, series), ())
        return any(shift.readmits(start, seconds) for shift in shifts)

    def accepted(self, signal: str) -> list[tuple[str, int, float]]:
        """The accepted shifts of a signal: series, since when, log factor."""
        return [
            (series, shift.since, shift.factor)
            for (name, series), shifts in self._accepted.items()
            if name == signal
            for shift in shifts
        ]

    def note(self, key: Key, at: int, run_s: int) -> LevelShift:
        """Open or continue the shift of a series excluded for `run_s` seconds up to `at`."""
        held = self._open.get(key)
        shift = msgspec.structs.replace(held, newest=at) if held else LevelShift(at - run_s, at)
        self._open[key] = shift
        return shift

    def mark(self, key: Key, at: int) -> LevelShift:
        """Mark an open shift as a new level."""
        self._open[key] = msgspec.structs.replace(self._open[key], marked=at)
        return self._open[key]

    def accept(self, key: Key, at: int, factor: float) -> None:
        """Accept an open shift; `factor` is the log of new level over old."""
        shift = msgspec.structs.replace(self._open.pop(key), accepted=at, factor=factor)
        self._accepted[key] = (*self._accepted.get(key, ()), shift)

    def settle(self, at: int) -> None:
        """Drop open shifts that are over, and accepted ones older than the weeks kept."""
        self._open = {k: s for k, s in self._open.items() if at - s.newest < _OVER_S}
        kept = {
            key: tuple(shift for shift in shifts if at - shift.accepted < _KEEP_S)
            for key, shifts in self._accepted.items()
        }
        self._accepted = {key: shifts for key, shifts in kept.items() if shifts}

    def encode(self) -> bytes | None:
        """The blob; None where there is nothing to keep."""
        if not self._open and not self._accepted:
            return None
        opened = [(*key, shift) for key, shift in sorted(self._open.items())]
        done = [(*key, shift) for key, shifts in sorted(self._accepted.items()) for shift in shifts]
        return msgspec.msgpack.encode((VERSION, opened, done))

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """From the store. Raises ValueError (a blob of another version)."""
        if BLOB not in blobs:
            return
        version, opened, done = msgspec.msgpack.decode(
            blobs[BLOB], type=tuple[int, list[_Row], list[_Row]]
        )
        if version != VERSION:
            raise ValueError(f"levels of version {version}; this release reads {VERSION}")
        for signal, series, shift in opened:
            self._open[signal, series] = shift
        for signal, series, shift in done:
            key = signal, series
            self._accepted[key] = (*self._accepted.get(key, ()), shift)


_Row = tuple[str, str, LevelShift]


def is_due(signal: str, shift: LevelShift, at: int) -> bool:
    """Whether a shift has lasted so long that it is accepted, marked or not."""
    return at - shift.since >= (_SLOW_S if signal in _SLOW else _FAST_S)


def is_new_level(before: Floats, since: Floats) -> bool:
    """Whether residuals have moved to another level and stay there.

    Args:
        before: log(actual / expected) of windows that were learned from, oldest first.
        since: of the windows in quarantine, oldest first, at least RUN.
    """
    last = since[-RUN:]
    if len(last) < RUN or not (np.all(last > 0) or np.all(last < 0)):
        return False
    noise = float(np.std(before)) if len(before) >= RUN else _CALM
    if float(np.std(last)) > max(_SETTLED * noise, _CALM):
        return False
    return _has_changed([*before.tolist(), *since.tolist()], noise)


def _has_changed(residuals: Iterable[float], noise: float) -> bool:
    """Whether ADWIN or Page-Hinkley finds a change in a series of residuals."""
    # Slow to load (0.7 s of CPU: it brings scipy.stats), and hardly ever needed.
    from river.drift import ADWIN, PageHinkley

    unit = max(noise, 0.05)
    adwin: Any = ADWIN(delta=0.002, clock=1, grace_period=5, min_window_length=5)  # type: ignore[no-untyped-call]
    hinkley: Any = PageHinkley(min_instances=RUN, delta=0.5, threshold=20.0)
    found = False
    for value in residuals:
        adwin.update(value)
        hinkley.update(value / unit)
        found = found or adwin.drift_detected or hinkley.drift_detected
    return found
