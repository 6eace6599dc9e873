"""A labelled fleet of agent services, drawn as closed windows: seeded, with faults to be found.

Healthy traffic is not white noise: arrivals are over-dispersed (negative binomial), follow a
day and a week, have holidays and bursts; latencies and token counts are log-normal and wander
from hour to hour; error rates wander too. A *fault* changes one thing of one service from one
minute to another. Window `i` is drawn from (seed, i) alone, so windows can be drawn in any
order, and a fault in one service moves no draw of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tocsin.flow.baseline.frames import sum_by_key
from tocsin.flow.baseline.stats.sketch import LOG_GAMMA
from tocsin.flow.windows.fold import TRACE_CELLS
from tocsin.types import WindowFrame, join_series

#: A Monday, 00:00 UTC.
MONDAY = 1_700_438_400
DAY = 1_440
MODELS, ROUTES, AGENTS = ("large", "small"), ("chat", "search"), ("planner", "writer")
TOOLS, STAGES = ("fetch", "query"), ("plan", "retrieve", "act")
CLASSES = ("429", "bad_json", "refused")
NEW_CLASS = "schema_mismatch"
#: How many windows the random wander of a service stays as it is.
_WANDER = 60


@dataclass(frozen=True, slots=True)
class Service:
    """One healthy service. Rates are a minute, medians milliseconds or tokens."""

    name: str
    rate: float = 10.0
    size: float = 10.0  # negative-binomial size of the arrivals
    daily: float = 0.5  # amplitude of the day, 0..1
    weekend: float = 0.6  # factor on Saturday and Sunday
    phase: float = 0.0  # hours the day is shifted by
    bursts: float = 0.5  # healthy bursts a day, up to 2.5 times for up to 15 minutes
    calls: float = 3.0  # model calls a run
    tools: float = 2.0  # tool calls a run
    handoffs: float = 0.3
    share: float = 0.6  # of the first model
    call_ms: float = 1_800.0
    tool_ms: float = 400.0
    ttft_ms: float = 450.0
    sigma: float = 0.5  # of log durations and tokens
    tokens_in: float = 1_200.0
    tokens_out: float = 220.0
    usd_per_mtok: float = 3.0
    errors: float = 0.01
    timeouts: float = 0.002
    score: float = 0.85
    wander: float = 0.03  # standard deviation of the hourly wander of medians, log
    born: int = 0  # first window with traffic
    holidays: tuple[int, ...] = ()  # days at the weekend's level


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one service in the windows [first, last).

    `size` is in the kind's own unit: a factor (rate, latency, tool_latency, ttft, tokens,
    tail, cost, calls, tools, handoffs), points of share (share), a rate (errors, timeouts,
    new_class), the part of run time that the tools' stage grows to (stage) or an absolute
    change (score). Kinds of `rate` with size 0 are silence.
    """

    kind: str
    service: str
    first: int
    last: int
    size: float


@dataclass(slots=True)
class _State:
    """The parameters of all services in one window, float64 [services] each."""

    values: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]


_FACTORS = {
    "rate": "rate", "latency": "call_ms", "tool_latency": "tool_ms", "ttft": "ttft_ms",
    "tokens": "tokens_in", "cost": "usd_per_mtok", "calls": "calls", "tools": "tools",
    "handoffs": "handoffs", "tail": "tail",
}  # fmt: skip
_SETS = {"errors": "errors", "timeouts": "timeouts", "new_class": "new_class"}
_ADDS = {"share": "share", "score": "score"}
KINDS = (*_FACTORS, *_SETS, *_ADDS, "stage")
#: What a run takes beside its calls and tools, ms; and the sigma of its log duration.
_REST_MS, _RUN_SIGMA = 200.0, 0.3


class Fleet:
    """Closed windows of services with faults; `frame(i)` is window `i` from `start`."""

    def __init__(
        self,
        services: Sequence[Service],
        faults: Sequence[Fault] = (),
        seed: int = 1,
        start: int = MONDAY,
    ) -> None:
        self.services, self.faults, self.seed, self.start = services, faults, seed, start
        #: Day from which on everybody comes to work an hour later by UTC; None = never.
        self.clock_change: int | None = None
        self._at = {service.name: i for i, service in enumerate(services)}
        names = [n for n in Service.__slots__ if n not in {"name", "holidays", "born"}]
        self._base = {n: np.array([getattr(s, n) for s in services], float) for n in names}
        size = len(services)
        self._base |= {"tail": np.ones(size), "stage": np.ones(size), "new_class": np.zeros(size)}
        self._born = np.array([s.born for s in services])
        self._free = np.array([[d in s.holidays for d in range(400)] for s in services], bool)

    # ---- what is true in a window ------------------------------------------------------

    def _state(self, i: int) -> _State:
        state = _State({name: values.copy() for name, values in self._base.items()})
        self._shape(state, i)
        for fault in self.faults:
            if fault.first <= i < fault.last:
                self._break(state, fault)
        state.values["rate"][self._born > i] = 0.0
        return state

    def _shape(self, state: _State, i: int) -> None:
        """Day, week, holidays, bursts, and the wander from hour to hour."""
        second = self.start + i * 60
        day = (second - self.start) // 86_400
        moved = self.clock_change is not None and day >= self.clock_change
        hour = (second % 86_400) / 3_600 - moved
        weekday = (second // 86_400 + 3) % 7  # 0 = Monday
        curve = 1 + state["daily"] * np.sin(2 * np.pi * (hour - 9 - state["phase"]) / 24)
        slow = (weekday >= 5) | self._free[:, day % 400]
        rate = state["rate"] * curve * np.where(slow, state["weekend"], 1.0)
        rng = np.random.default_rng([self.seed, 7, day])
        for _ in range(4):  # up to four bursts a day, each as likely as it must be
            begin, length = rng.integers(0, DAY, len(rate)), rng.integers(3, 16, len(rate))
            times, real = rng.uniform(1.3, 2.5, len(rate)), rng.random(len(rate))
            now = i - day * DAY
            hit = (begin <= now) & (now < begin + length) & (real < state["bursts"] / 4)
            rate = np.where(hit, rate * times, rate)
        state.values["rate"] = rate
        for k, name in enumerate(("call_ms", "tool_ms", "ttft_ms", "tokens_in", "errors")):
            state.values[name] = state[name] * np.exp(state["wander"] * self._wander(k, i))

    def _wander(self, k: int, i: int) -> np.ndarray:
        """A smooth random path: standard normal at the hours, a straight line in between."""
        step, part = divmod(i, _WANDER)
        knots = [
            np.random.default_rng([self.seed, 11, k, at]).standard_normal(len(self.services))
            for at in (step, step + 1)
        ]
        path: np.ndarray = knots[0] + (knots[1] - knots[0]) * part / _WANDER
        return path

    def _break(self, state: _State, fault: Fault) -> None:
        at = self._at[fault.service]
        if fault.kind == "stage":
            state["stage"][at] = self._stretch(at, fault.size)
        elif fault.kind in _FACTORS:
            state[_FACTORS[fault.kind]][at] *= fault.size
        elif fault.kind in _SETS:
            state[_SETS[fault.kind]][at] = fault.size
        else:
            state[_ADDS[fault.kind]][at] += fault.size

    def _stretch(self, at: int, part: float) -> float:
        """How many times longer tool calls must take in a run to be `part` (0..1) of it."""
        one = self.services[at]
        mean = np.exp(one.sigma**2 / 2)  # of a log-normal over its median
        rest = one.calls * one.call_ms * (1.6 * one.share + 1 - one.share) * mean + _REST_MS
        of_run = part * np.exp(_RUN_SIGMA**2 / 2)
        return float(of_run / (1 - of_run) * rest / (one.tools * one.tool_ms * mean))

    # ---- what is counted ---------------------------------------------------------------

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
        state, rng = self._state(i), np.random.default_rng([self.seed, 1, i])
        sheet = _Sheet(*self._series)
        runs = rng.negative_binomial(
            state["size"], state["size"] / (state["size"] + np.maximum(state["rate"], 1e-12))
        )
        run_ms = self._calls(sheet, state, rng, runs) + self._tools(sheet, state, rng, runs)
        self._runs(sheet, state, rng, runs, run_ms)
        return sheet.frame(self.start + i * 60)

    def _calls(
        self, sheet: _Sheet, state: _State, rng: np.random.Generator, runs: np.ndarray
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
        self, sheet: _Sheet, state: _State, rng: np.random.Generator, of: np.ndarray,
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
        self, sheet: _Sheet, state: _State, rng: np.random.Generator, runs: np.ndarray
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
        self, sheet: _Sheet, state: _State, rng: np.random.Generator, runs: np.ndarray,
        spent_ms: np.ndarray,
    ) -> None:  # fmt: skip
        of = _repeat(runs)
        size = len(of)
        mean_ms = spent_ms / np.maximum(runs, 1) + _REST_MS
        ms = mean_ms[of] * np.exp(_RUN_SIGMA * rng.standard_normal(size))
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
