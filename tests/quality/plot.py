"""Line charts as SVG text, so that a page of figures needs no plotting library."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from math import log10

_W, _H, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 220, 44, 40, 26, 96
_COLOURS = ("#357abd", "#e08e0b", "#c0392b", "#2e8b57", "#7d5ba6")


def lines(
    title: str,
    x_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    top: float = 1.0,
) -> str:
    """A chart of (x, y) points a series, x on a log scale, y from 0 to `top`."""
    xs = sorted({x for points in series.values() for x, _ in points})
    low, high = log10(xs[0]), log10(xs[-1])
    across, down = _W - _LEFT - _RIGHT, _H - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        part = (log10(x) - low) / (high - low) if high > low else 0.5
        return _LEFT + part * across, _TOP + (1 - min(y, top) / top) * down

    out = [
        (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{_W}' height='{_H}' "
            "font-family='sans-serif' font-size='11'>"
        ),
        f"<rect width='{_W}' height='{_H}' fill='#fff'/>",
        f"<text x='{_LEFT}' y='16' font-size='13'>{html.escape(title)}</text>",
        (
            f"<text x='{_LEFT + across / 2}' y='{_H - 6}' text-anchor='middle'>"
            f"{html.escape(x_label)}</text>"
        ),
    ]
    for share in (0.0, 0.5, 1.0):
        _, y = at(xs[0], share * top)
        out.append(f"<line x1='{_LEFT}' x2='{_LEFT + across}' y1='{y}' y2='{y}' stroke='#ddd'/>")
        label = f"{share * top:g}"
        out.append(f"<text x='{_LEFT - 6}' y='{y + 4}' text-anchor='end'>{label}</text>")
    for x in xs:
        px, _ = at(x, 0)
        out.append(f"<text x='{px}' y='{_H - 24}' text-anchor='middle'>{x:g}</text>")
    for i, (name, points) in enumerate(series.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        placed = [at(x, y) for x, y in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        out += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in placed]
        y = _TOP + 12 + 16 * i
        out.append(
            f"<text x='{_W - _RIGHT + 12}' y='{y}' fill='{colour}'>{html.escape(name)}</text>"
        )
    return "".join([*out, "</svg>\n"])
