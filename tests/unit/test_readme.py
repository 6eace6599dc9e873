"""The pages that `make docs` writes are current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_pages_made_of_rules_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "rule_pages.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr
    assert done.returncode == 0


def test_every_page_that_is_linked_exists() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for link in (part.split(")")[0].split("#")[0] for part in text.split("](")[1:]):
            if link and "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links {link}"


def test_every_file_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[a-z_]+/)+[a-z0-9_*]+\.(?:py|lua|yaml|json))`", text)
    assert len(named) > 30
    for name in named:
        rooms = (ROOT / "src" / "tocsin", ROOT / "src" / "tocsin" / "flow" / "baseline", ROOT)
        assert any(list(room.glob(name)) for room in rooms), name
