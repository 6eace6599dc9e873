"""Laws of the bank's past: a restart at any window goes on with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.flow.baseline import frames as frame_bytes
from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.frames import totals
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS
from tocsin.flow.baseline.history.residual_history import BLOB, ResidualHistory
from tocsin.flow.rule_tests.series import frame_of, frames_of
from tocsin.types import WindowFrame

READS = {"n": {"runs_by_service", "calls_by_service"}, "tokens": {"calls_by_service"}}
HOUR = 60
FRAMES = frames_of(
    {
        "runs_by_service": "~40/30x399",
        "runs_by_service service=late": "_x130 ~40/30x269",
        "calls_by_service": "~90/30x249 _x20 ~90/30x129",
        "calls_by_service.in": "~90000/30x249 _x20 ~90000/30x129",
        "tools_by_service": "~10x399",
    },
    seed=4,
)


class Live:
    """A bank's past with the store it writes to, as a shard's detector drives it."""

    def __init__(self, blobs: dict[str, bytes] | None = None) -> None:
        self.blobs = dict(blobs or {})
        self.catalog = Catalog()
        for key in sorted(key for key in self.blobs if key.startswith("m:")):
            self.catalog.rows(frame_bytes.decode(self.blobs[key])[0].series)
        self.past = ResidualHistory(60, READS)
        self.past.restore(self.blobs, self.catalog)

    def close(self, frame: WindowFrame, excluded: dict[str, list[str]]) -> dict[str, float]:
        """p by "signal series", after the window is kept as a shard keeps it."""
        rows = self.catalog.rows(frame.series)
        columns = {signal: np.zeros(len(self.catalog)) for signal in READS}
        for signal, column in columns.items():
            column[rows] = totals(frame, SIGNAL_FIELDS[signal])
        said = self.past.score(frame, columns, self.catalog)
        out = {s: np.array([self.catalog.find(n) for n in names]) for s, names in excluded.items()}
        self.blobs |= {k: v for k, v in self.past.learn(out).items() if v is not None}
        self.blobs[f"m:{frame.start}"] = frame_bytes.encode(frame, excluded)
        old = f"m:{frame.start - 3 * 3600}"
        self.blobs.pop(old, None)
        return {
            f"{signal} {self.catalog.names[row]}": p[row]
            for signal, p in said.items()
            for row in range(len(p))
        }


def excluded_of(i: int) -> dict[str, list[str]]:
    """An incident across the full hour, when the bank learns."""
    bad = {"n": ["runs_by_service\x1fprod\x1fshop"]}
    return bad if 160 <= i < 190 else {}


def lived(windows: list[int], restart_every: int = 0) -> list[dict[str, float]]:
    live, told = Live(), []
    for count, i in enumerate(windows):
        if restart_every and count and count % restart_every == 0:
            live = Live(live.blobs)
        told.append(live.close(FRAMES[i], excluded_of(i)))
    return told


WINDOWS = [*range(200), *range(290, 400)]  # an hour and a half nobody evaluated
WHOLE = lived(WINDOWS)


@pytest.mark.parametrize("every", [pytest.param(5, marks=pytest.mark.slow), 60, 113])
def test_a_restart_at_any_window_goes_on_with_the_same_bits(every: int) -> None:
    for one, two in zip(lived(WINDOWS, every), WHOLE, strict=True):
        assert one.keys() == two.keys()
        assert np.array_equal(list(one.values()), list(two.values()), equal_nan=True)


def test_it_is_saved_by_the_hour_and_no_more() -> None:
    live, saved = Live(), []
    for i in range(200):
        live.close(FRAMES[i], {})
        if live.blobs.pop(BLOB, None) is not None:
            saved.append(FRAMES[i].start // 60 + 1)
    assert saved == [t for t in range(FRAMES[0].start // 60 + 1, saved[-1] + 1) if t % HOUR == 0]


def test_nothing_is_said_before_there_is_a_past_nor_long_after_an_onset() -> None:
    runs = np.array([said["n runs_by_service\x1fprod\x1fshop"] for said in WHOLE[:200]])
    assert np.flatnonzero(np.isnan(runs)).tolist() == [*range(144), *range(171, 191)]


def test_only_the_views_that_a_rule_reads_have_rows() -> None:
    names = {name for name, p in WHOLE[-1].items() if np.isfinite(p)}
    assert names == {
        "n runs_by_service\x1fprod\x1fshop",
        "n runs_by_service\x1fprod\x1flate",
        "n calls_by_service\x1fprod\x1fshop",
        "tokens calls_by_service\x1fprod\x1fshop",
    }


@pytest.mark.slow
def test_a_level_that_taught_nothing_for_a_day_begins_anew() -> None:
    """After a day of exclusion the new level is no surprise: its first values are its past."""
    frames = frames_of({"runs_by_service": "~40/30x199 ~400/30x1599"}, seed=6)
    live = Live()
    name = "runs_by_service\x1fprod\x1fshop"
    p = []
    for i, frame in enumerate(frames):
        said = live.close(frame, {"n": [name]} if 200 <= i < 1640 else {})
        p.append(said[f"n {name}"])
    assert np.isfinite(p[150:200]).all()
    assert np.isnan(p[211:1640]).all()
    assert np.isnan(p[1641 : 1641 + 144]).all()


def test_a_blob_of_another_version_is_refused() -> None:
    live = Live()
    for i in range(60):
        live.close(FRAMES[i], {})
    other = live.blobs[BLOB].replace(b"\x01", b"\x02", 1)
    with pytest.raises(ValueError, match="version 2"):
        Live({**live.blobs, BLOB: other})


def test_who_is_excluded_but_not_known_marks_nobody_else_that_is_not() -> None:
    """A bank keeps a series for a while that the catalog has forgotten; its row there is none."""
    live = Live()
    for i in range(100):
        live.close(FRAMES[i], {})
    silent = [(f"m:{FRAMES[i].start}", frame_of(FRAMES[i].start, 60, {})) for i in range(100, 103)]
    stored = {key: raw for key, raw in live.blobs.items() if not key.startswith("m:")}
    plain, ghost = (
        Live(stored | {key: frame_bytes.encode(frame, out) for key, frame in silent})
        for out in ({}, {"n": ["runs_by_service\x1fprod\x1fgone"]})
    )
    assert len(plain.past._out) > 0
    assert np.array_equal(ghost.past._out, plain.past._out)
