"""Who waits for the tests is told why, and who does not wait is left in peace."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import progress


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "terminal"
    monkeypatch.setattr(progress, "_terminal", os.open(path, os.O_CREAT | os.O_WRONLY))
    return path


def test_a_long_thing_is_named_while_it_lasts(terminal: Path) -> None:
    with progress.told_when_long("a long thing", after_s=0.01):
        while not terminal.read_text():
            time.sleep(0.01)
    assert terminal.read_text() == "\n[a long thing]\n"


def test_a_short_thing_is_not(terminal: Path) -> None:
    with progress.told_when_long("a short thing", after_s=0.1):
        pass
    time.sleep(0.2)
    assert terminal.read_text() == ""
