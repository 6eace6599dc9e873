"""What a backtest shows: counts, differences of two sets of rules, a picture; and its mistakes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpis import MINUTE_NS, rows
from native import encode
from spans import T0_NS
from tocsin.cli.main import main
from tocsin.flow.detect.load_rules import SHIPPED

SEED, HEALTHY, BAD = 3, 70, 4


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy minutes of two services, then four minutes of their faults."""
    until = T0_NS // MINUTE_NS * MINUTE_NS + 10 * 3_600_000_000_000
    path = tmp_path_factory.mktemp("replay") / "spans.ndjson.gz"
    lines = (encode(row) for row in rows(SEED, until, HEALTHY, BAD, ["traffic", "errors"]))
    path.write_bytes(gzip.compress(b"\n".join(lines), 1))
    return path


def ask(*args: str | Path, **env: str) -> tuple[int, str, str]:
    told = {"TOCSIN_WATCH__WARMUP_WINDOWS": "60", "TOCSIN_SHARDS": "2", **env}
    result = CliRunner().invoke(main, ["replay", *map(str, args)], env=told)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
def test_a_backtest_counts_differs_and_draws(recording: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    dearer = (SHIPPED / "spike_runs.yaml").read_text().replace("ratio: 10", "ratio: 1000")
    (rules / "spike_runs.yaml").write_text(dearer)
    report, picture = tmp_path / "report.json", tmp_path / "picture.html"
    code, out, err = ask(
        recording, "--json", "--against", rules, "--report", report, "--picture", picture,
        "--series", "runs_by_service prod svc-traffic",
    )  # fmt: skip
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    spikes = [e for e in events if e["rule"] == "spike_runs"]
    assert {e["service"] for e in spikes} == {"svc-traffic"}
    told = json.loads(report.read_text())
    assert told["alerts"] == len({e["alert_id"] for e in events if e["status"] == "firing"})
    assert told["days"] == pytest.approx((HEALTHY + BAD) / 1_440, rel=0.05)
    assert {row["rule"]: row["alerts"] for row in told["rules"]}["spike_runs"] == 1
    only = {(row["rule"], row["service"]) for row in told["against"]["only_here"]}
    assert ("spike_runs", "svc-traffic") in only
    assert picture.read_text().count("<svg") == 1
    assert "only of the rules in force" in err


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    code, _, err = ask(broken)
    assert code == 2
    assert "Cannot read" in err


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "Name one source"),
        (["a.ndjson", "--topic"], "Name one source"),
        (["a.ndjson", "--from", "6h"], "give them with --topic"),
        (["--topic", "--from", "yesterday"], "is no time"),
        (["missing.ndjson"], "Cannot read missing.ndjson"),
        (["--redis", "--against", "no-such-folder"], "no such folder of rules"),
    ],
)
def test_mistakes_are_one_sentence(args: list[str], sentence: str) -> None:
    code, _, err = ask(*args)
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
