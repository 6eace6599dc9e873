"""`tocsin score`: rows in, the same rows with scores out, and one sentence for what is wrong."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cases import cases
from tocsin.cli.main import main
from tocsin.cli.score_csv import HEAD, grid, interval_of, read, score
from tocsin.errors import UserError


def table(rows: int = 900, seed: int = 4) -> list[str]:
    """A noisy day at five minutes, with missing rows, a missing value and two spikes."""
    rng = np.random.default_rng(seed)
    lines = []
    for i in range(rows):
        value = 50 + 10 * np.sin(i * 2 * np.pi / 288) + rng.normal()
        value += 60 if i in (500, 800) else 0
        if not 300 <= i < 320:
            lines.append(f"{1_400_000_000 + 300 * i},{value:.3f}")
    lines[400] = lines[400].split(",")[0] + ","
    return lines


LINES = table()


def run(*args: str, given_text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["score", *args], input=given_text)


def csv(lines: list[str]) -> str:
    return "\n".join(["timestamp,value", *lines]) + "\n"


def test_each_row_comes_back_in_order_with_a_score_and_an_alert() -> None:
    out = run("-", given_text=csv(LINES)).stdout.splitlines()
    assert out[0] == "timestamp,value,score,alert"
    assert [line.rsplit(",", 2)[0] for line in out[1:]] == LINES
    for line in out[1:]:
        assert re.fullmatch(r"[01]\.\d{6},[01]", ",".join(line.rsplit(",", 2)[1:]))
    alerts = [line.split(",")[0] for line in out if line.endswith(",1")]
    assert alerts == [str(1_400_000_000 + 300 * i) for i in (500, 800)]


WHOLE = score(read(io.StringIO(csv(LINES)), "test"))


@cases(10)
@given(st.integers(0, len(LINES)))
def test_the_scores_of_a_prefix_are_the_prefix_of_the_scores(cut: int) -> None:
    part = score(read(io.StringIO(csv(LINES[:cut])), "test"))
    assert np.array_equal(part.scores, WHOLE.scores[:cut])
    assert np.array_equal(part.alerts, WHOLE.alerts[:cut])


def test_every_way_to_write_a_time_gives_the_same_scores() -> None:
    def rewritten(form: str) -> list[str]:
        out = []
        for line in LINES:
            stamp, value = line.split(",")
            moment = np.datetime64(int(stamp), "s")
            text = {
                "ms": f"{stamp}000",
                "iso": f"{moment}Z",
                "nab": str(moment).replace("T", " "),
                "slash": str(moment).replace("T", " ").replace("-", "/"),
                "offset": f"{moment + np.timedelta64(2, 'h')}+02:00",
            }[form]
            out.append(f"{text},{value}")
        return out

    for form in ("ms", "iso", "nab", "slash", "offset"):
        found = score(read(io.StringIO(csv(rewritten(form))), form))
        assert np.array_equal(found.scores, WHOLE.scores), form


def test_other_columns_and_their_order_do_not_matter() -> None:
    text = "label,Value,KPI,Timestamp\n" + "\n".join(
        ",".join(("0", line.split(",")[1], "x", line.split(",")[0])) for line in LINES
    )
    assert np.array_equal(score(read(io.StringIO(text), "test")).scores, WHOLE.scores)


def test_the_interval_is_that_of_the_head_and_rows_are_where_their_times_say() -> None:
    times = np.array([0, 60, 121, 121, 100, 300, 360, 420.0])
    assert interval_of(times) == 60
    assert grid(times, 60.0).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    later = np.concatenate((np.arange(HEAD) * 60.0, HEAD * 60 + np.arange(500.0)))
    assert interval_of(later) == 60
    assert interval_of(np.array([5.0, 5.0])) == 60


def test_a_long_gap_keeps_the_hour_and_loses_the_days() -> None:
    year = 365 * 86_400.0
    ticks = grid(np.array([0, 60, year + 120, year + 180]), 60.0)
    assert ticks[2] < 3 * 1440
    assert ticks[2] % 1440 == 2
    assert ticks[3] == ticks[2] + 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column `timestamp`"),
        ("time,value\n1,2\n", "no column `timestamp` .*time, value"),
        ("timestamp,latency\n1,2\n", "no column `value`"),
        ("timestamp,value\n1,2\nyesterday,3\n", "line 3: cannot read the timestamp 'yesterday'"),
        ("timestamp,value\n1,2\n\n2,fast\n", "line 4: the value 'fast' is no number"),
        ("timestamp,value\n1\n", "line 2 has 1 of the header's 2 cells"),
        ("timestamp,value\nnan,1\n", "line 2: 'nan' is no time"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(io.StringIO(text), "kpi.csv")
    told = run("-", given_text=text)
    assert told.exit_code == 2
    assert told.stderr.startswith("tocsin: standard input")


def test_an_unknown_value_scores_nothing() -> None:
    for word in ("", "NaN", "null", "N/A"):
        rows = read(io.StringIO(f"timestamp,value\n1,{word}\n"), "test")
        assert np.isnan(rows.values[0])
    assert WHOLE.scores[400] == 0


def test_a_file_without_rows_gives_a_header() -> None:
    assert run("-", given_text="timestamp,value\n").stdout == "timestamp,value,score,alert\n"


def test_files_go_to_files_and_several_to_a_folder(tmp_path: Path) -> None:
    names = []
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(csv(LINES[:50]))
        names.append(str(tmp_path / name))
    assert run(names[0], "-o", str(tmp_path / "deep" / "out.csv")).exit_code == 0
    assert (tmp_path / "deep" / "out.csv").read_text().count("\n") == 51
    assert run(*names, "-o", str(tmp_path / "scores")).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "scores").iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["a.csv", "b.csv"], "need a folder"),
        (["a.csv", "-o", "a.csv"], "is one of the inputs"),
        (["a.csv", "x/a.csv", "-o", "out"], "two of the files are named a.csv"),
        (["missing.csv"], "cannot read missing.csv"),
        (["a.csv", "-", "-o", "out"], "standard input has no name"),
    ],
)
def test_a_wrong_use_is_one_sentence(
    args: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(csv(LINES[:5]))
    told = run(*args)
    assert told.exit_code == 2
    assert says in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_bad_file_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("timestamp,value\nx,1\n")
    assert run(str(tmp_path / "bad.csv"), "-o", str(tmp_path / "out.csv")).exit_code == 2
    assert not (tmp_path / "out.csv").exists()
