"""Tables of what spans say, typed by hand beside recorded exports."""

from __future__ import annotations

from pathlib import Path


def read_table(path: Path) -> dict[str, list[list[str]]]:
    """Heading -> the cells of the lines below it.

    A heading is a line of one word; lines that begin with # and empty ones say nothing.
    """
    table: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split()
        if not cells or line.startswith("#"):
            continue
        if len(cells) == 1:
            rows = table.setdefault(cells[0], [])
        else:
            rows.append(cells)
    return table
