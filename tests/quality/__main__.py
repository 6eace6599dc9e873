"""`make quality`: measures what is detected, and writes docs/quality.md.

    python -m quality [--scale 0.2] [--only healthy,power] [--to docs]

Every figure is taken at the shipped thresholds. Seeds are fixed and printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from quality import sections
from quality.sections import Section, Step

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the sections that are asked for; keep what others said before."""
    parser = argparse.ArgumentParser(prog="python -m quality", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size, 0..1")
    parser.add_argument("--only", default="", help="names of sections, by commas")
    parser.add_argument("--to", type=Path, default=ROOT / "docs", help="folder of the page")
    asked = parser.parse_args()
    wanted = [name for name in asked.only.split(",") if name] or list(sections.SECTIONS)
    unknown = set(wanted) - set(sections.SECTIONS)
    if unknown:
        parser.error(f"no section {min(unknown)!r}; there are {', '.join(sections.SECTIONS)}")
    folder: Path = asked.to / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    held = folder / "figures.json"
    said: dict[str, dict[str, str]] = json.loads(held.read_text()) if held.exists() else {}
    console = Console()
    for name in wanted:
        began = time.monotonic()
        section = _run(sections.SECTIONS[name], name, asked.scale, console)
        for file, text in section.files.items():
            (folder / file).write_text(text, encoding="utf-8")
        minutes = (time.monotonic() - began) / 60
        note = f"*Scale {asked.scale:g}; {minutes:.1f} minutes on two cores.*"
        said[name] = {"title": section.title, "text": section.text, "note": note}
        console.print(f"[bold]{section.title}[/]\n{section.text}\n{note}\n", highlight=False)
        held.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _write(asked.to / "quality.md", said)


def _run(make: Callable[[float, Step], Section], name: str, scale: float, out: Console) -> Section:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task(name, total=None)

        def step(what: str, done: int, of: int) -> None:
            progress.update(task, description=f"{name} {what}", completed=done, total=of)

        return make(scale, step)


def _write(page: Path, said: dict[str, dict[str, str]]) -> None:
    intro = (ROOT / "tests" / "quality" / "intro.md").read_text(encoding="utf-8")
    parts = [intro.rstrip()]
    for name in sections.SECTIONS:
        if name in said:
            one = said[name]
            parts.append(f"## {one['title']}\n\n{one['text'].rstrip()}\n\n{one['note']}")
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
