"""How good `tocsin score` is: `cd tests && python -m quality.run_score` prints it.

On two groups of the Numenta benchmark (kept beside this file) and on a simulated fleet of KPIs,
at the best threshold of all (as the benchmark prescribes) and at the shipped one.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from quality import baselines, kpi, kpi_fleet, nab
from tocsin.cli.score_csv import CsvRows, read, score
from tocsin.flow.baseline.residual import ALERT_SCORE, ResidualBank

NAB_DEV = Path(__file__).parent / "nab_dev"
#: A seed on which nothing was chosen.
SERIES, DAYS, SEED = 60, 28, 101
BUDGETS = (0.02, 0.05, 0.1)


def nab_files(root: Path = NAB_DEV, only: str = "") -> dict[str, tuple[nab.Labelled, np.ndarray]]:
    """Name -> the file with its scores and windows, and its alert column."""
    labels = json.loads((root / "windows.json").read_text())
    found = {}
    for name, spans in labels.items():
        if only not in name:
            continue
        with gzip.open(root / f"{name}.gz", "rt") as lines:
            rows = read(io.StringIO(lines.read()), name)
        scored = score(rows)
        days = float(rows.times[-1] - rows.times[0]) / 86_400
        labelled = nab.Labelled(scored.scores, windows(rows, spans), days)
        found[name] = labelled, scored.alerts
    return found


def windows(rows: CsvRows, spans: list[list[str]]) -> tuple[tuple[int, int], ...]:
    """Labelled spans of time as inclusive row numbers."""
    edges = [
        tuple(datetime.fromisoformat(edge).replace(tzinfo=UTC).timestamp() for edge in span)
        for span in spans
    ]
    return tuple(
        (int(np.searchsorted(rows.times, a)), int(np.searchsorted(rows.times, b, "right")) - 1)
        for a, b in edges
    )


def nab_table(root: Path = NAB_DEV) -> str:
    """Scores by profile; at the best threshold, at the shipped one, and of the alert column."""
    files = nab_files(root)
    swept = [labelled for labelled, _ in files.values()]
    column = [
        nab.Labelled(alerts.astype(float), labelled.windows, labelled.days)
        for labelled, alerts in files.values()
    ]
    lines = [
        "| NAB, two groups of seven | standard | low FP | low FN | windows hit | false rows/day |",
        "|---|---|---|---|---|---|",
    ]
    for what, corpus, threshold in (
        ("best threshold", swept, None),
        (f"score >= {ALERT_SCORE}", swept, ALERT_SCORE),
        ("alert column", column, ALERT_SCORE),
    ):
        by = {k: nab.evaluate(corpus, p, threshold) for k, p in nab.PROFILES.items()}
        one = by["standard"]
        lines.append(
            f"| {what} | {one.score:.1f} | {by['low_fp'].score:.1f} | {by['low_fn'].score:.1f} "
            f"| {one.hits} of {one.windows} | {one.false_per_day:.3f} |"
        )
    return "\n".join(lines)


def fleet_table(series: int = SERIES, days: int = DAYS, seed: int = SEED) -> str:
    """Recall of incidents in the second half of simulated series, at budgets of false alarms."""
    kpis = kpi_fleet.fleet(series, days, seed)
    out = ResidualBank(60.0, series).score(np.stack([k.values for k in kpis]))
    swept = _second_half(kpis, out.score)
    column = _second_half(kpis, out.alert)
    found = {f"{b} false a day": kpi.at_budget(swept, b) for b in BUDGETS}
    found["best delay-F1"] = kpi.best_delay_f1(swept)
    found["alert column"] = kpi.quality(column, ALERT_SCORE)
    what = f"{series} simulated KPIs, {days // 2} days each (seed {seed})"
    lines = [
        f"| {what} | recall | false/day | precision | delay, median and p90 | delay-F1 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {what} | {q.recall:.3f} | {q.false_per_day:.3f} | {q.precision:.2f} "
        f"| {q.median_delay:.0f}, {q.p90_delay:.0f} min | {q.delay_f1:.3f} |"
        for what, q in found.items()
    ]
    others = [
        f"{method} finds {kpi.at_budget(_second_half(kpis, rated), 0.05).recall:.3f} at 0.05 false "
        f"a day, best delay-F1 {kpi.best_delay_f1(_second_half(kpis, rated)).delay_f1:.3f}"
        for method in baselines.METHODS
        for rated in ([baselines.scores(method, k.values) for k in kpis],)
    ]
    return "\n".join(lines) + f"\n\nOn the same series {'; '.join(others)}."


def _second_half(
    kpis: Sequence[kpi_fleet.Kpi], scores: Sequence[np.ndarray] | np.ndarray
) -> list[kpi.Series]:
    return [
        kpi.Series(s[len(s) // 2 :].astype(float), k.labels[len(s) // 2 :])
        for s, k in zip(scores, kpis, strict=True)
    ]


def healthy_line(series: int = SERIES, days: int = DAYS, seed: int = SEED) -> str:
    """How often the same fleet without incidents alerts, and how unevenly."""
    kpis = kpi_fleet.fleet(series, days, seed, incidents=0.0)
    out = ResidualBank(60.0, series).score(np.stack([k.values for k in kpis]))
    half = days * kpi_fleet.DAY // 2
    rate = out.alert[:, half:].sum(1) / (days - days // 2)
    return (
        f"The same fleet without incidents: {rate.mean():.3f} alerts a series-day "
        f"(median series {np.median(rate):.3f}, the worst tenth from {np.quantile(rate, 0.9):.3f})."
    )


def report() -> str:
    """The tables as Markdown. Takes about a minute."""
    return f"{nab_table()}\n\n{fleet_table()}\n\n{healthy_line()}\n"


if __name__ == "__main__":
    print(report())
