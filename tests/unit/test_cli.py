"""The command line itself: help that is quick, and errors that are sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import tocsin
from tocsin.cli.main import main
from tocsin.config import DEV_FINGERPRINT_KEY
from tocsin.flow.detect.load_rules import SHIPPED


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
    return found


@pytest.mark.parametrize("path", commands(main), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    said = run(*path, "--help")
    assert said.exit_code == 0
    assert "Usage: main " + " ".join(path) in said.output
    assert len(said.output.splitlines()) > 4
    assert "\\b" not in said.output


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from tocsin.cli.main import main; main(['--help'], standalone_mode=False); "
        "heavy = {'polars', 'numpy', 'faust', 'aiokafka', 'redis', 'pydantic', 'river'}; "
        "sys.exit(', '.join(heavy & sys.modules.keys()) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_package_s() -> None:
    assert run("--version").output == f"tocsin, version {tocsin.__version__}\n"


def test_config_show_prints_every_setting_as_yaml_that_reads_back(tmp_path: Path) -> None:
    said = run("config", "show")
    assert said.exit_code == 0
    tree = yaml.safe_load(said.output)
    assert tree["kafka"]["bootstrap"] == "localhost:9092"
    assert tree["fingerprint_key"] == DEV_FINGERPRINT_KEY, "everyone knows this one"
    file = tmp_path / "shown.yaml"
    file.write_text(said.output)
    assert run("--config", str(file), "config", "check").exit_code == 0


def test_a_mistake_is_one_line_on_stderr_and_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SHARDS", "none")
    said = run("config", "show")
    assert said.exit_code == 2
    assert said.stdout == ""
    (line,) = said.stderr.splitlines()
    assert line.startswith("tocsin: Setting shards (TOCSIN_SHARDS)")


def test_a_folder_of_rules_passes_its_tests(tmp_path: Path) -> None:
    rule = SHIPPED / "unexpected_model.yaml"
    (tmp_path / rule.name).write_text(rule.read_text())
    said = run("check", str(tmp_path))
    assert said.exit_code == 0, said.output
    assert "0 failed" in said.stderr


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = run("watch", "--metrics-port", port)
    assert said.exit_code == 2
    assert port in said.stderr
    assert "--metrics-port" in said.stderr
