"""`tocsin score` on real files: what it alerts on, and what that is worth by the benchmark."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from quality import nab
from quality.run_score import NAB_DEV, nab_files
from tocsin.cli.score_csv import read, score

Scored = dict[str, tuple[nab.Labelled, np.ndarray]]


@pytest.fixture(scope="module")
def files() -> Scored:
    """Seventeen files, four seconds: not at import, which every worker does."""
    return nab_files(only="realAWSCloudwatch")


@pytest.mark.slow
def test_the_alert_column_keeps_its_worth(files: Scored) -> None:
    column = [
        nab.Labelled(alerts.astype(float), found.windows, found.days)
        for found, alerts in files.values()
    ]
    worth = nab.evaluate(column, threshold=0.5)
    assert worth.score > 50
    assert worth.false_per_day < 0.2


@pytest.mark.slow
def test_the_sweep_keeps_its_worth(files: Scored) -> None:
    assert nab.evaluate([found for found, _ in files.values()]).score > 62


@pytest.mark.slow
def test_there_is_one_alert_an_episode(files: Scored) -> None:
    for _, alerts in files.values():
        assert (np.diff(np.flatnonzero(alerts)) > 30).all()


@pytest.mark.slow
def test_a_real_prefix_scores_as_the_whole() -> None:
    name = "realTweets/Twitter_volume_AAPL.csv"
    with gzip.open(Path(NAB_DEV) / f"{name}.gz", "rt") as file:
        lines = file.read().splitlines()
    whole = score(read(io.StringIO("\n".join(lines[:6000])), name))
    for cut in (63, 145, 1000, 4097, 5555):
        part = score(read(io.StringIO("\n".join(lines[: cut + 1])), name))
        assert np.array_equal(part.scores, whole.scores[:cut])
        assert np.array_equal(part.alerts, whole.alerts[:cut])
