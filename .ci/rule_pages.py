"""docs/rules.md and README.md's table of rules, from the rule files. --check: are they stale?"""

from __future__ import annotations

import sys
from pathlib import Path

from tocsin.cli.rules import page, table
from tocsin.flow.detect.load_rules import load_rules
from tocsin.flow.detect.registry import DETECTORS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- rules: begin, made by `make docs` -->\n", "<!-- rules: end -->\n"


def wanted() -> dict[Path, str]:
    """Path -> text that it should have."""
    rules = load_rules()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return {
        ROOT / "docs" / "rules.md": "\n".join(page(rules, DETECTORS)) + "\n",
        readme: before + BEGIN + "\n".join(table(rules)) + "\n" + END + after,
    }


def stale() -> list[Path]:
    """The pages whose text differs."""
    return [
        path
        for path, text in wanted().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    old = stale()
    if "--check" in sys.argv:
        for path in old:
            print(f"{path.relative_to(ROOT)} is stale; run `make docs`", file=sys.stderr)
        sys.exit(1 if old else 0)
    for path in old:
        path.write_text(wanted()[path], encoding="utf-8")
        print(path.relative_to(ROOT))
