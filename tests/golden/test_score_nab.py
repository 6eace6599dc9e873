"""`tocsin score` on real files: what it alerts on, and what that is worth by the benchmark."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np

from quality import nab
from quality.run_score import NAB_DEV, nab_files
from tocsin.cli.score_csv import read, score

FILES = nab_files(only="realAWSCloudwatch")


def test_the_alert_column_keeps_its_worth() -> None:
    column = [
        nab.Labelled(alerts.astype(float), found.windows, found.days)
        for found, alerts in FILES.values()
    ]
    worth = nab.evaluate(column, threshold=0.5)
    assert worth.score > 50
    assert worth.false_per_day < 0.2


def test_the_sweep_keeps_its_worth() -> None:
    assert nab.evaluate([found for found, _ in FILES.values()]).score > 62


def test_there_is_one_alert_an_episode() -> None:
    for _, alerts in FILES.values():
        assert (np.diff(np.flatnonzero(alerts)) > 30).all()


def test_a_real_prefix_scores_as_the_whole() -> None:
    name = "realTweets/Twitter_volume_AAPL.csv"
    with gzip.open(Path(NAB_DEV) / f"{name}.gz", "rt") as file:
        lines = file.read().splitlines()
    whole = score(read(io.StringIO("\n".join(lines[:6000])), name))
    for cut in (63, 145, 1000, 4097, 5555):
        part = score(read(io.StringIO("\n".join(lines[: cut + 1])), name))
        assert np.array_equal(part.scores, whole.scores[:cut])
        assert np.array_equal(part.alerts, whole.alerts[:cut])
