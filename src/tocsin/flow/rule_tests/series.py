"""The tests inside rule files: series in a small language, run through the code that runs live.

`docs/rule-tests.md` describes the language of series, and that of runs (`runs.py`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import ndtri

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.baseline.frames import canonical
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, SKETCH_PREFIX, TRACES
from tocsin.flow.baseline.stats.sketch import LOG_GAMMA
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.load_rules import read_rules
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.flow.rule_tests.runs import RunSnapshot, run_snapshots
from tocsin.flow.rule_tests.stored_hours import blobs_of
from tocsin.flow.rules.spec import DIMS, RuleError, RuleTest
from tocsin.flow.shard import ShardEvaluator
from tocsin.types import QuietHours, WindowFrame, join_series

#: Start of the first window: a full quarter of an hour, in November 2023.
EPOCH: Final = 1_700_000_100
_DEFAULTS: Final = {"env": "prod", "service": "shop"}
_ITEM: Final = re.compile(
    r"(?P<noise>~)?(?P<value>_|\d+(?:\.\d+)?)(?:/(?P<size>[\d.]+))?(?P<step>[+-]\d+(?:\.\d+)?)?"
    r"(?:@(?P<median>[\d.]+)(?:~(?P<sigma>[\d.]+))?)?(?:x(?P<times>\d+))?"
)
_KEY: Final = re.compile(r"(?P<view>\w+)(?:\.(?P<field>\w+))?(?P<dims>(?: +\w+=\S+)*)")


@dataclass(frozen=True, slots=True)
class Point:
    """One window of one series: a value, and how long each event takes (ms; 0 = not said).

    Of scores `median_ms` is the mean score. `others` are the further parts of a mixture.
    """

    value: int
    median_ms: float = 0.0
    sigma: float = 0.0
    others: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one inline test went; `why` is empty when it passed."""

    rule: str
    test: str
    passed: bool
    why: str = ""


def parse_points(text: str, rng: np.random.Generator) -> list[Point | None]:
    """The windows a text describes; None where the series is missing. Raises ValueError."""
    points: list[Point | None] = []
    for word in text.split():
        items = [_ITEM.fullmatch(part) for part in word.split("&")]
        if not all(items):
            raise ValueError(f"{word!r} is no item of a series, like 100x59")
        parts = [item for item in items if item is not None]
        more = int(parts[-1]["times"] or 0)
        if parts[0]["value"] == "_":
            points += [None] * max(more, 1)
            continue
        times = 1 + more
        first, *others = (_levels(item, times, rng) for item in parts)
        points += [
            Point(one.value, one.median_ms, one.sigma, tuple(other[i] for other in others))
            for i, one in enumerate(first)
        ]
    return points


def _levels(item: re.Match[str], times: int, rng: np.random.Generator) -> list[Point]:
    levels: np.ndarray = float(item["value"]) + float(item["step"] or 0) * np.arange(times)
    if item["noise"] and item["size"]:
        size = float(item["size"])
        levels = rng.negative_binomial(size, size / (size + levels))
    elif item["noise"]:
        levels = rng.poisson(levels)
    median, sigma = float(item["median"] or 0), float(item["sigma"] or 0)
    return [Point(max(0, round(float(v))), median, sigma) for v in levels]


def parse_key(text: str) -> tuple[str, str]:
    """Series key and field of a key like `calls_by_model.in model=gpt-5`. Raises ValueError."""
    match = _KEY.fullmatch(text.strip())
    if match is None or match["view"] not in DIMS:
        raise ValueError(f"{text!r} is no series, like `calls_by_model model=gpt-5`")
    given = dict(pair.split("=", 1) for pair in match["dims"].split())
    dims = DIMS[match["view"]]
    unknown = [name for name in given if name not in dims]
    if unknown:
        raise ValueError(f"{text!r}: {unknown[0]!r} is no dimension of {match['view']}")
    values = [given.get(name, _DEFAULTS.get(name, f"a_{name}")) for name in dims]
    return join_series(match["view"], *values), match["field"] or "n"


def frames_of(
    series: Mapping[str, str], *, window_s: int = 60, seed: int = 1, start: int = EPOCH
) -> list[WindowFrame]:
    """The closed windows that some series make, one frame a window, silent ones too."""
    rng = np.random.default_rng(seed)
    lines = [(*parse_key(key), parse_points(text, rng)) for key, text in series.items()]
    frames = []
    for i in range(max((len(points) for _, _, points in lines), default=0)):
        cells: dict[str, dict[str, int]] = defaultdict(dict)
        for name, counter, points in lines:
            point = points[i] if i < len(points) else None
            for part in (point, *point.others) if point is not None else ():
                if part.value:
                    _count(cells[name], part, counter)
        frames.append(frame_of(start + i * window_s, window_s, cells))
    return frames


def frame_of(start: int, seconds: int, cells: Mapping[str, Mapping[str, int]]) -> WindowFrame:
    """A frame from series -> field -> counter."""
    fields = sorted({name for counts in cells.values() for name in counts})
    column = {name: i for i, name in enumerate(fields)}
    flat = [
        (row, column[name], value)
        for row, counts in enumerate(cells.values())
        for name, value in counts.items()
    ]
    owner, index, value = zip(*flat, strict=True) if flat else ((), (), ())
    return canonical(
        WindowFrame(
            start,
            seconds,
            tuple(cells),
            tuple(fields),
            np.array(owner, np.uint32),
            np.array(index, np.uint16),
            np.array(value, np.int64),
        )
    )


def _count(cell: dict[str, int], point: Point, counter: str) -> None:
    """Add a window's events of one kind to its counters."""
    if counter == "score":
        at = (np.arange(point.value) + 0.5) / point.value
        scores = point.median_ms + point.sigma * ndtri(at)
        found = {"n": point.value, "sc": int(np.rint(scores * 1_000).sum())}
    elif counter == TRACES:
        found = {f"u:{cell}": 1 for cell in range(point.value)}
    else:
        found = _sketch(point, counter)
        if counter not in SKETCH_PREFIX:
            found[counter] = point.value
    for name, value in found.items():
        cell[name] = cell.get(name, 0) + value


def _sketch(point: Point, counter: str) -> dict[str, int]:
    """Sketch fields of a window: the exact quantiles of the log-normal."""
    if not point.median_ms:
        return {}
    unit = 1 if counter == "request_tokens" else 1_000  # tokens, or microseconds a ms
    at = (np.arange(point.value) + 0.5) / point.value
    values = np.maximum(point.median_ms * unit * np.exp(point.sigma * ndtri(at)), 1.0)
    buckets, counts = np.unique(np.ceil(np.log(values) / LOG_GAMMA), return_counts=True)
    prefix = SKETCH_PREFIX.get(counter, "d:")
    return {f"{prefix}{int(b)}": int(n) for b, n in zip(buckets, counts, strict=True)}


def run_test(rule: Rule, test: RuleTest) -> CaseResult:
    """Run one inline test through the live code path."""
    try:
        opened = list(_opened(rule, test))
    except ValueError as error:
        return CaseResult(rule.id, test.name, passed=False, why=str(error))
    why = _complaint(test, opened)
    return CaseResult(rule.id, test.name, passed=not why, why=why)


def _opened(rule: Rule, test: RuleTest) -> Iterator[tuple[int, AlertEvent]]:
    """(evaluation, event) of whatever the rule says while it is bad, counted from 1."""
    calendar = Calendar(
        test.timezone, test.holidays, tuple(map(QuietHours.parse, test.quiet_hours))
    )
    settings = DetectSettings(
        test.window_s,
        test.warmup,
        test.allowed_models,
        slos=test.slos,
        calendar=calendar,
        cost_budgets=test.cost_budgets,
    )
    evaluator = ShardEvaluator([rule.model_copy(update={"inhibited_by": ()})], settings)
    start = EPOCH if test.start is None else _start(test)
    if test.hours:
        evaluator.restore(_past(test, start, calendar))
    if test.runs is not None:
        *before, last = run_snapshots(test.runs)
        for snapshot in before:
            list(_judged(evaluator, snapshot))
        yield from ((1, event) for event in _judged(evaluator, last) if event.status == "firing")
    frames = frames_of(test.series, window_s=test.window_s, seed=test.seed, start=start)
    for number, frame in enumerate(frames, 1):
        result = evaluator.evaluate_window(frame)
        yield from ((number, event) for event in result.events if event.status == "firing")


def _start(test: RuleTest) -> int:
    assert test.start is not None
    start = round(test.start.replace(tzinfo=dt.UTC).timestamp())
    if start % QUARTER_S:
        raise ValueError(f"start: {test.start} is not a full quarter of an hour")
    return start


def _past(test: RuleTest, start: int, calendar: Calendar) -> dict[str, bytes]:
    """The weeks before a test, as the store would hold them."""
    rng = np.random.default_rng(test.seed)
    totals = {
        parse_key(key): [point.value if point else 0 for point in parse_points(text, rng)]
        for key, text in test.hours.items()
    }
    return blobs_of(totals, start=start, weeks=test.weeks, calendar=calendar)


def _judged(evaluator: ShardEvaluator, snapshot: RunSnapshot) -> Iterator[AlertEvent]:
    """What runs that move raise, and then the time that passes over them."""
    yield from evaluator.evaluate_open(
        [], snapshot.runs, snapshot.labels, snapshot.closed_ms
    ).events
    minute = snapshot.closed_ms // 60_000 * 60
    for end_s in (minute, minute + 180):  # a run is over after two minutes of silence
        yield from evaluator.evaluate_window(frame_of(end_s - 60, 60, {})).events


def _complaint(test: RuleTest, opened: Sequence[tuple[int, AlertEvent]]) -> str:
    """What is wrong with what came of a test; empty if nothing is."""
    if test.expect == "silent":
        return f"fired at window {opened[0][0]}: {opened[0][1].summary}" if opened else ""
    if not opened:
        return "stayed silent"
    first = opened[0][0]
    if test.fires_from is not None and first < test.fires_from:
        return f"fired at window {first}, before {test.fires_from}: {opened[0][1].summary}"
    if test.fires_by is not None and first > test.fires_by:
        return f"fired at window {first}, after {test.fires_by}"
    severities = [event.severity for _, event in opened]
    if test.severity is not None and test.severity not in severities:
        return f"severity was {severities[-1]}, not {test.severity}"
    if test.names is not None and not any(test.names in e.summary for _, e in opened):
        return f"does not name {test.names!r}: {opened[0][1].summary}"
    return ""


def check_rule(rule: Rule) -> list[CaseResult]:
    """Run a rule's tests; a rule without a firing and a silent one has failed already."""
    results = [run_test(rule, test) for test in rule.tests]
    for kind in ("fires", "silent"):
        if not any(test.expect == kind for test in rule.tests):
            why = f"has no test that expects {kind!r}"
            results.append(
                CaseResult(rule.id, f"(has a case that is {kind})", passed=False, why=why)
            )
    return results


def check_rules(folder: Path) -> list[CaseResult]:
    """Run the inline tests of all rules in a folder. Raises RuleError for a file to mend."""
    rules = read_rules(folder)
    if not rules:
        raise RuleError(f"{folder}: holds no rule (*.yaml)")
    return [result for name in sorted(rules) for result in check_rule(rules[name])]
