"""The worked examples of CONTRIBUTING.md work, and touch what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_FENCE = re.compile(
    r"^```\w+ title=\"(?P<path>[^\"]+)\"(?: after='(?P<after>[^']*)')?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Edit(NamedTuple):
    path: str
    after: str | None  # the line it is inserted after; None = a new file
    text: str


def edits(heading: str) -> list[Edit]:
    """The code blocks of one section."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [Edit(m["path"], m["after"], m["text"]) for m in _FENCE.finditer(section)]


def apply(changes: list[Edit], to: Path) -> None:
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for change in changes:
        path = to / change.path
        if change.after is None:
            assert not path.exists(), f"{change.path} exists already"
            path.write_text(change.text, encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        assert lines.count(f"{change.after}\n") == 1, f"{change.path}: no one {change.after!r}"
        lines.insert(lines.index(f"{change.after}\n") + 1, change.text)
        path.write_text("".join(lines), encoding="utf-8")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(folder / "src"), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=env, cwd=folder
    )


@pytest.mark.slow
def test_a_detector_is_three_files(tmp_path: Path) -> None:
    changes = edits("Add a detector")
    assert len({change.path for change in changes}) == len(changes) == 3
    apply(changes, tmp_path)
    rules = tmp_path / "rules"
    rules.mkdir()
    shutil.copy(tmp_path / changes[1].path, rules)
    done = run(tmp_path, "-m", "tocsin", "check", str(rules))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quota_tools" in done.stdout


@pytest.mark.slow
def test_a_detector_of_ones_own_stands_beside_its_rule(tmp_path: Path) -> None:
    module, rule, _ = edits("Add a detector")
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "quota.py").write_text(module.text, encoding="utf-8")
    (folder / "quota_tools.yaml").write_text(rule.text, encoding="utf-8")
    env = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "check", str(folder)],
        capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quota_tools" in done.stdout


VIEW = """
from tocsin.flow.rule_tests.series import parse_key
print(parse_key("tools_by_route route=/pay")[0])
"""
FORMAT = """
import json
from types import SimpleNamespace
from tocsin.flow.decode import Limits, decode
line = {
    "agent_log": 1, "trace": "0af7651916cd43dd8448eb211c80319c", "span": "b7ad6b7169203331",
    "began": 1760000000.0, "ended": 1760000001.5,
    "fields": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1",
               "service.name": "shop", "gen_ai.input.messages": "a secret"},
}
record = SimpleNamespace(value=json.dumps(line).encode(), headers=())
found = decode([record], Limits(), b"key")
(row,) = found.spans.to_dicts()
assert not found.rejects and "a secret" not in str(row)
print(row["kind"], row["service"], row["model"])
"""
SINK = """
import asyncio
from tocsin.notify.sinks import open_sink
sink = open_sink("summaries:out.txt")
asyncio.run(sink.close())
print(sink.name)
"""


@pytest.mark.parametrize(
    ("heading", "script", "said"),
    [
        ("Add a view", VIEW, "tools_by_route\x1fprod\x1fshop\x1f/pay"),
        ("Add a wire format", FORMAT, "llm shop m-1"),
        ("Add a sink", SINK, "summaries"),
    ],
)
def test_an_example_works(heading: str, script: str, said: str, tmp_path: Path) -> None:
    apply(edits(heading), tmp_path)
    done = run(tmp_path, "-c", script)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
