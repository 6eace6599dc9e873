"""The fleet of `tocsin.demo.conditions` as closed windows: counts drawn at once, no span written.

A month of forty services is 1.6 million service-minutes: as spans it would not be affordable.
Durations and token counts are log-normal. Window `i` is drawn from (seed, i) alone, so windows
can be drawn in any order, and a fault in one service moves no draw of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from tocsin.demo.conditions import (
    DAY,
    MONDAY,
    REST_MS,
    RUN_SIGMA,
    Conditions,
    Fault,
    Service,
    State,
    arrivals,
)
from tocsin.flow.baseline.frames import sum_by_key
from tocsin.flow.baseline.stats.sketch import LOG_GAMMA
from tocsin.flow.windows.fold import TRACE_CELLS
from tocsin.types import WindowFrame, join_series

MODELS, ROUTES, AGENTS = ("large", "small"), ("chat", "search"), ("planner", "writer")
TOOLS, STAGES = ("fetch", "query"), ("plan", "retrieve", "act")
CLASSES = ("429", "bad_json", "refused")
NEW_CLASS = "schema_mismatch"


class Fleet:
    """Closed windows of services with faults; `frame(i)` is window `i` from `start`."""

    def __init__(
        self,
        services: Sequence[Service],
        faults: Sequence[Fault] = (),
        seed: int = 1,
        start: int = MONDAY,
        clock_change: int | None = None,
    ) -> None:
        self.services, self.seed, self.start = services, seed, start
        self._conditions = Conditions(services, faults, seed, start, clock_change)

    @cached_property
    def _series(self) -> tuple[tuple[str, ...], Mapping[str, int]]:
        """All series, view by view, and where each view begins."""
        views: list[tuple[str, Sequence[str]]] = [
            ("runs_by_service", ()), ("runs_by_agent", AGENTS), ("calls_by_service", ()),
            ("calls_by_model", MODELS), ("calls_by_route", ROUTES), ("tools_by_service", ()),
            ("tools_by_tool", TOOLS), ("steps_by_stage", STAGES), ("handoffs_by_service", ()),
            ("errors_by_class", (*CLASSES, NEW_CLASS)), ("scores_by_name", ("relevance",)),
        ]  # fmt: skip
        names: list[str] = []
        begin = {}
        for view, parts in views:
            begin[view] = len(names)
            for service in self.services:
                tails: list[tuple[str, ...]] = [(part,) for part in parts] or [()]
                names += [join_series(view, "prod", service.name, *tail) for tail in tails]
        return tuple(names), begin

    def frame(self, i: int) -> WindowFrame:
        """Window `i`, closed."""
        state, rng = self._conditions.at(i), np.random.default_rng([self.seed, 1, i])
        sheet = _Sheet(*self._series)
        runs = arrivals(rng, state["rate"], state["size"])
        run_ms = self._calls(sheet, state, rng, runs) + self._tools(sheet, state, rng, runs)
        self._runs(sheet, state, rng, runs, run_ms)
        return sheet.frame(self.start + i * 60)

    def _calls(
        self, sheet: _Sheet, state: State, rng: np.random.Generator, runs: np.ndarray
    ) -> np.ndarray:
        """Model calls; gives the milliseconds they took, by service."""
        of = _repeat(rng.poisson(runs * state["calls"]))
        size = len(of)
        model = (rng.random(size) >= np.clip(state["share"], 0, 1)[of]).astype(int)
        route, sigma = rng.integers(0, 2, size), state["sigma"][of]
        slow = np.where(model == 0, 1.6, 1.0)  # the large model is the slow and dear one
        ms = state["call_ms"][of] * slow * np.exp(sigma * rng.standard_normal(size))
        ttft = state["ttft_ms"][of] * slow * np.exp(sigma * rng.standard_normal(size))
        z = rng.standard_normal(size)
        stretch = np.where(z > 2.0, state["tail"][of], 1.0)
        tokens_in = np.rint(state["tokens_in"][of] * stretch * np.exp(sigma * z))
        tokens_out = np.rint(state["tokens_out"][of] * np.exp(sigma * rng.standard_normal(size)))
        dear = np.where(model == 0, 2.0, 0.4)
        cost = np.rint(state["usd_per_mtok"][of] * dear * (tokens_in + 4 * tokens_out) * 1_000)
        error = rng.random(size) < state["errors"][of]
        timeout = rng.random(size) < state["timeouts"][of]
        plain = {
            "n": np.ones(size), "err": error | timeout, "to": timeout, "in": tokens_in,
            "out": tokens_out, "cost": cost,
        }  # fmt: skip
        sketches = {"d:": ms * 1_000, "t:": ttft * 1_000, "k:": tokens_in + tokens_out}
        for view, part in (
            ("calls_by_service", None), ("calls_by_model", model), ("calls_by_route", route)
        ):  # fmt: skip
            sheet.add(view, of, part, plain, sketches)
        sheet.add("steps_by_stage", of, np.where(route == 0, 0, 2), {"n": np.ones(size)},
                  {"d:": ms * 1_000})  # fmt: skip
        self._errors(sheet, state, rng, of, error)
        return np.bincount(of, ms, len(runs))

    def _errors(
        self, sheet: _Sheet, state: State, rng: np.random.Generator, of: np.ndarray,
        error: np.ndarray,
    ) -> None:  # fmt: skip
        kind = rng.integers(0, len(CLASSES), len(of))
        fresh = rng.random(len(of)) < state["new_class"][of]
        kind = np.where(fresh, len(CLASSES), kind)
        bad = error | fresh
        ones = np.ones(int(bad.sum()))
        runs = {"u:": rng.integers(0, TRACE_CELLS, len(ones))}  # seldom two of one run
        sheet.add("errors_by_class", of[bad], kind[bad], {"n": ones, "err": ones}, {}, runs)

    def _tools(
        self, sheet: _Sheet, state: State, rng: np.random.Generator, runs: np.ndarray
    ) -> np.ndarray:
        of = _repeat(rng.poisson(runs * state["tools"]))
        size = len(of)
        tool = rng.integers(0, 2, size)
        ms = state["tool_ms"][of] * np.exp(state["sigma"][of] * rng.standard_normal(size))
        error = rng.random(size) < state["errors"][of]
        timeout = rng.random(size) < state["timeouts"][of]
        plain = {"n": np.ones(size), "err": error | timeout, "to": timeout}
        sheet.add("tools_by_service", of, None, plain, {"d:": ms * 1_000})
        sheet.add("tools_by_tool", of, tool, plain, {"d:": ms * 1_000})
        stage_ms = ms * state["stage"][of]
        sheet.add("steps_by_stage", of, np.ones(size, int), {"n": np.ones(size)},
                  {"d:": stage_ms * 1_000})  # fmt: skip
        return np.bincount(of, stage_ms, len(runs))

    def _runs(
        self, sheet: _Sheet, state: State, rng: np.random.Generator, runs: np.ndarray,
        spent_ms: np.ndarray,
    ) -> None:  # fmt: skip
        of = _repeat(runs)
        size = len(of)
        mean_ms = spent_ms / np.maximum(runs, 1) + REST_MS
        ms = mean_ms[of] * np.exp(RUN_SIGMA * rng.standard_normal(size))
        error = rng.random(size) < state["errors"][of] / 2
        plain = {"n": np.ones(size), "err": error}
        sheet.add("runs_by_service", of, None, plain, {"d:": ms * 1_000})
        sheet.add("runs_by_agent", of, rng.integers(0, 2, size), plain, {"d:": ms * 1_000})
        handed = _repeat(rng.poisson(runs * state["handoffs"]))
        sheet.add("handoffs_by_service", handed, None, {"n": np.ones(len(handed))}, {})
        scored = rng.random(size) < 0.5
        score = np.clip(state["score"][of] + 0.1 * rng.standard_normal(size), 0, 1)[scored]
        sheet.add("scores_by_name", of[scored], None,
                  {"n": np.ones(len(score)), "sc": np.rint(score * 1_000)}, {})  # fmt: skip


class _Sheet:
    """Collects counts of series by field, and adds them up once."""

    def __init__(self, names: tuple[str, ...], begin: Mapping[str, int]) -> None:
        self._names, self._begin = names, begin
        self._fields: dict[str, int] = {}
        self._keys: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._parts = {
            "runs_by_agent": 2, "calls_by_model": 2, "calls_by_route": 2, "tools_by_tool": 2,
            "steps_by_stage": 3, "errors_by_class": 4,
        }  # fmt: skip

    def add(
        self, view: str, of: np.ndarray, part: np.ndarray | None,
        plain: Mapping[str, np.ndarray], sketches: Mapping[str, np.ndarray],
        cells: Mapping[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """Count events of services `of`: plain fields by value, sketches by bucket, cells as
        they are.
        """
        row = self._begin[view] + of * self._parts.get(view, 1) + (0 if part is None else part)
        for name, values in plain.items():
            code = self._fields.setdefault(name, len(self._fields) * 4_096)
            self._keys.append((row.astype(np.int64) << 32) + code)
            self._values.append(np.asarray(values).astype(np.int64))
        buckets = {
            prefix: np.ceil(np.log(np.maximum(values, 1.0)) / LOG_GAMMA).astype(np.int64)
            for prefix, values in sketches.items()
        }
        for prefix, bucket in (buckets | dict(cells or {})).items():
            code = self._fields.setdefault(prefix, len(self._fields) * 4_096)
            self._keys.append((row.astype(np.int64) << 32) + code + bucket)
            self._values.append(np.ones(len(row), np.int64))

    def frame(self, start: int) -> WindowFrame:
        key, value = sum_by_key(np.concatenate(self._keys), np.concatenate(self._values))
        rows, row_at = np.unique(key >> 32, return_inverse=True)
        codes, code_at = np.unique(key & 0xFFFFFFFF, return_inverse=True)
        prefix = {code // 4_096: name for name, code in self._fields.items()}
        fields = tuple(
            f"{name}{code % 4_096}" if (name := prefix[code // 4_096]).endswith(":") else name
            for code in codes.tolist()
        )
        series = tuple(self._names[row] for row in rows.tolist())
        return WindowFrame(
            start, 60, series, fields,
            row_at.astype(np.uint32), code_at.astype(np.uint16), value,
        )  # fmt: skip


def _repeat(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def varied(count: int, rng: np.random.Generator, days: int = 28) -> list[Service]:
    """Healthy services of all sorts: volumes over three decades, wild and steady ones."""
    services = []
    for i in range(count):
        rate = float(np.exp(rng.uniform(np.log(0.2), np.log(60))))
        services.append(
            Service(
                name=f"s{i:03}",
                rate=rate,
                size=float(rng.choice([1, 3, 10, 50])),
                daily=float(rng.uniform(0, 0.8)),
                weekend=float(rng.uniform(0.3, 1.0)),
                phase=float(rng.uniform(0, 24)),
                bursts=float(rng.uniform(0, 1.5)),
                share=float(rng.uniform(0.3, 0.8)),
                sigma=float(rng.uniform(0.3, 0.9)),
                errors=float(rng.choice([0.0, 0.003, 0.01, 0.025])),
                timeouts=float(rng.choice([0.0, 0.001, 0.003])),
                wander=float(rng.uniform(0.0, 0.05)),
                born=int(rng.choice([0, 0, 0, DAY * days // 4])),
                holidays=tuple(int(d) for d in rng.choice(days, 1)),
            )
        )
    return services
