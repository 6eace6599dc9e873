"""A page with a chart a series: its value, the band that was expected, and its alerts.

One HTML file with inline SVG, so that it opens anywhere and needs nothing.
"""

import html
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from tocsin.cli.text import utc
from tocsin.flow.baseline.expect.counts import expect
from tocsin.flow.baseline.graded import Graded
from tocsin.run.replay.report import Episode
from tocsin.types import SEP

_MOST = 40  # charts a page
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 960, 200, 64, 22
_MINUTE = "%Y-%m-%d %H:%M"
_COLOURS = {"critical": "#c0392b", "warning": "#e08e0b", "info": "#4a7ebb"}


@dataclass(slots=True)
class ChartSeries:
    """One series and signal, window by window."""

    at: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


class Recorder:
    """Keeps what was seen and expected of the series whose names match a pattern.

    Patterns are shell patterns over `view env service ...`, the parts joined by blanks.
    """

    def __init__(self, patterns: Sequence[str], signal: str = "n") -> None:
        self._patterns, self._signal = patterns, signal
        self.charts: dict[str, ChartSeries] = defaultdict(ChartSeries)

    def __call__(self, graded: Graded) -> None:
        """Take up a window, as ShardDetector's observer."""
        if self._signal not in graded.current:
            return
        names = graded.history.catalog.names
        rows = np.array([i for i, name in enumerate(names) if self._wants(name)], np.int64)
        if not len(rows):
            return
        expected = expect(
            graded.history, self._signal, rows, at=graded.at, warmup=graded.warmup, skip=graded.skip
        )
        for i, row in enumerate(rows):
            chart = self.charts[names[row]]
            chart.at.append(graded.at)
            chart.value.append(float(graded.current[self._signal][row]))
            ready = bool(expected.ready[i])
            chart.low.append(float(expected.low[i]) if ready else float("nan"))
            chart.high.append(float(expected.high[i]) if ready else float("nan"))

    def _wants(self, name: str) -> bool:
        text = name.replace(SEP, " ")
        if text in self.charts:
            return True
        return bool(name) and any(fnmatchcase(text, pattern) for pattern in self._patterns)


def page(recorder: Recorder, episodes: Sequence[Episode], title: str) -> str:
    """The page as HTML; series with alerts first."""
    mine = {name: _alerts_of(name, episodes) for name in recorder.charts}
    order = sorted(mine, key=lambda name: (-len(mine[name]), name))
    drawn = [_chart(name, recorder.charts[name], mine[name]) for name in order[:_MOST]]
    left = len(order) - _MOST
    more = f"<p>{left} more series match; narrow the pattern to see them.</p>" if left > 0 else ""
    none = "" if order else "<p>No series matches the pattern.</p>"
    return (
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1>{none}{''.join(drawn)}{more}\n"
    )


_STYLE = (
    "body{font:14px system-ui,sans-serif;max-width:1000px;margin:2em auto}"
    "body{color:#222;background:#fff}"
    "h1{font-size:20px}h2{font-size:14px;margin:1.6em 0 .2em}svg{width:100%;height:auto}"
    "p{margin:.2em 0}text{font-size:11px;fill:#666}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}text{fill:#aaa}}"
)


def _alerts_of(series: str, episodes: Sequence[Episode]) -> list[Episode]:
    """Alerts of the series' service whose dimensions do not contradict it."""
    _, env, service, *rest = series.split(SEP)
    return [
        e
        for e in episodes
        if (e.env, e.service) == (env, service)
        and all(v in rest for k, v in e.dims.items() if k not in {"env", "service"})
    ]


def _chart(series: str, chart: ChartSeries, alerts: Sequence[Episode]) -> str:
    at, value = np.array(chart.at), np.array(chart.value)
    low, high = np.array(chart.low), np.array(chart.high)
    top = max(float(np.nanmax([value.max(), *high[np.isfinite(high)]])), 1.0) * 1.05
    x = _LEFT + (at - at[0]) / max(at[-1] - at[0], 1) * (_WIDTH - _LEFT - 8)
    plot = _HEIGHT - _BOTTOM

    def y(values: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = plot - values / top * (plot - 8)
        return scaled

    parts = [f"<h2>{html.escape(series.replace(SEP, ' '))}</h2>"]
    parts += [
        f"<p style='color:{_COLOURS.get(e.severity, '#888')}'>{utc(e.opened_ms, _MINUTE)} "
        f"{html.escape(e.rule)}: {html.escape(e.summary)}</p>"
        for e in alerts[:8]
    ]
    parts.append(f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img>")
    for e in alerts:
        ended = e.ended_ms if e.ended_ms is not None else int(at[-1]) * 1_000
        first, last = np.interp([e.onset_ms / 1_000, ended / 1_000], at, x)
        parts.append(
            f"<rect x={first:.1f} y=0 width={max(last - first, 2):.1f} height={plot} "
            f"fill='{_COLOURS.get(e.severity, '#888')}' opacity=.18 />"
        )
    known = np.isfinite(high)
    if known.any():
        edge = [*zip(x[known], y(high[known]), strict=True)]
        edge += [*zip(x[known][::-1], y(low[known])[::-1], strict=True)]
        parts.append(f"<polygon points='{_points(edge)}' fill='#3a7' opacity=.25 />")
    line = _points([*zip(x, y(value), strict=True)])
    parts.append(f"<polyline points='{line}' fill=none stroke='#357abd' stroke-width=1.2 />")
    for share in (0.0, 0.5, 1.0):
        level = top / 1.05 * share
        parts.append(f"<text x=4 y={float(y(np.array([level]))[0]) + 4:.1f}>{level:,.3g}</text>")
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        where = at[0] + (at[-1] - at[0]) * share
        across = _LEFT + share * (_WIDTH - _LEFT - 8)
        parts.append(
            f"<text x={across:.0f} y={_HEIGHT - 6} text-anchor={anchor}>"
            f"{utc(int(where) * 1_000, _MINUTE)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)
