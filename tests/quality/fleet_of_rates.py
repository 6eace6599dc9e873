"""A fleet with nothing wrong, or with one thing wrong: what rates, ratios and budgets say of it.

    python tests/quality/fleet_of_rates.py healthy [days] [services]
    python tests/quality/fleet_of_rates.py power [services]

Healthy is not tidy: traffic follows the day and comes in bursts (negative binomial, size 8),
error and timeout rates wander from quarter-hour to quarter-hour (beta, rho 0.01), tokens a
call by 8 %, the mix of models, routes and handoffs too; volumes reach from two runs a minute
to thirty. Every call is drawn by itself. `healthy` counts what is told of that, by rule;
`power` makes one thing wrong in every service for three hours and says how many were told of
it, and after how long.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tocsin.flow.grade.sketch import LOG_GAMMA
from tocsin.flow.judge.cases import EPOCH
from tocsin.flow.judge.rules import load_rules
from tocsin.flow.shard import DetectSettings, ShardDetector
from tocsin.types import CostBudget, WindowFrame, join_series

#: Of this detector family, and of `share` the two rules of handoffs.
DETECTORS = ("rate", "ratio", "error_class", "budget", "unexpected")
ALSO = ("handoff_mix", "handoff_mix_route")
AGENTS, ROUTES, MODELS, TOOLS, CLASSES = 2, 3, 2, 3, 4
_BUCKETS = 700
_FIELDS = ("n", "err", "to", "in", "out", "cost", "un")


@dataclass(frozen=True)
class Trouble:
    """What is multiplied while something is wrong."""

    error: float = 1.0
    timeout: float = 1.0
    tokens: float = 1.0
    output: float = 1.0
    cost: float = 1.0
    calls: float = 1.0
    handoffs: float = 1.0
    new_class: float = 0.0  # part of the calls that fail in a way never seen


HEALTHY = Trouble()


class Fleet:
    """Windows of some services, each in 55 series."""

    def __init__(self, services: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.services = services
        self.rate = np.geomspace(2, 30, services)  # runs a minute at noon
        self.phase = self.rng.uniform(0, 1, services)
        self.names: list[str] = []
        self._wander()

    def _wander(self) -> None:
        """A new quarter-hour: what differs from one to the next with nothing wrong."""
        rng, size = self.rng, self.services

        def beta(mean: float, rho: float) -> np.ndarray:
            return rng.beta(mean * (1 / rho - 1), (1 - mean) * (1 / rho - 1), size)

        self.error, self.timeout = beta(0.015, 0.005), beta(0.003, 0.002)
        self.handed = beta(0.15, 0.005)
        self.length = np.exp(rng.normal(0, 0.08, size))
        self.talk = np.exp(rng.normal(0, 0.08, size))
        self.mix = rng.dirichlet([60, 40], size)
        self.routes = rng.dirichlet([50, 30, 20], size)

    def frames(self, start: int, windows: int, trouble: Trouble) -> Iterator[WindowFrame]:
        """Closed windows from `start` on."""
        for at in range(start, start + windows * 60, 60):
            if at % 900 == 0:
                self._wander()
            yield self._frame(at, trouble)

    def _frame(self, at: int, trouble: Trouble) -> WindowFrame:
        rng = self.rng
        day = 1 + 0.6 * np.sin(2 * np.pi * ((at % 86_400) / 86_400 + self.phase))
        mean = self.rate * day
        runs = rng.negative_binomial(8, 8 / (8 + mean))
        tables = [*self._runs(runs, trouble), *self._calls(runs, trouble)]
        tables += [*self._tools(runs, trouble), *self._handoffs(runs, trouble)]
        return _frame_of(at, tables)

    def _of(self, n: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """A part for each of n[service] events, by the service's shares."""
        edges = shares.cumsum(axis=1)[np.repeat(np.arange(self.services), n)]
        part: np.ndarray = (self.rng.random(len(edges))[:, None] > edges[:, :-1]).sum(axis=1)
        return part

    def _even(self, parts: int) -> np.ndarray:
        return np.full((self.services, parts), 1 / parts)

    def _runs(self, runs: np.ndarray, trouble: Trouble) -> list[Table]:
        service = np.repeat(np.arange(self.services), runs)
        agent, route = self._of(runs, self._even(AGENTS)), self._of(runs, self.routes)
        failed = self.rng.random(len(service)) < self.error[service] * trouble.error
        cells = {"n": np.ones(len(service)), "err": failed}
        return [
            Table("runs_by_service", (), service, (), cells),
            Table("runs_by_agent", (AGENTS,), service, (agent,), cells),
            Table("runs_by_route", (ROUTES,), service, (route,), cells),
        ]

    def _calls(self, runs: np.ndarray, trouble: Trouble) -> list[Table]:
        rng = self.rng
        n = rng.poisson(runs * 3 * trouble.calls)
        service = np.repeat(np.arange(self.services), n)
        size = len(service)
        agent, route = self._of(n, self._even(AGENTS)), self._of(n, self.routes)
        model = self._of(n, self.mix)
        failed = rng.random(size) < self.error[service] * trouble.error
        late = rng.random(size) < self.timeout[service] * trouble.timeout
        strange = rng.random(size) < trouble.new_class
        kind = np.where(strange, CLASSES, rng.integers(0, CLASSES, size))
        long = self.length[service] * trouble.tokens
        asked = 900 * long * np.exp(rng.normal(0, 0.8, size))
        said = 200 * self.talk[service] * trouble.output * np.exp(rng.normal(0, 0.7, size))
        price = np.where(model == 1, 8_000, 1_000) * trouble.cost
        cells = {
            "n": np.ones(size), "err": failed | strange, "to": late, "in": np.rint(asked),
            "out": np.rint(said), "cost": np.rint((asked + 4 * said) * price),
        }  # fmt: skip
        bucket = np.ceil(np.log(np.maximum(asked + said, 1)) / LOG_GAMMA).astype(int)
        by = {
            "calls_by_service": (), "calls_by_agent": ((AGENTS, agent),),
            "calls_by_route": ((ROUTES, route),), "calls_by_model": ((MODELS, model),),
            "calls_by_provider": ((MODELS, model),),
            "calls_by_route_model": ((ROUTES, route), (MODELS, model)),
        }  # fmt: skip
        tables = [
            Table(
                view, tuple(k for k, _ in dims), service, tuple(c for _, c in dims), cells, bucket
            )
            for view, dims in by.items()
        ]
        bad = failed | strange
        errors = {"n": np.ones(int(bad.sum())), "err": np.ones(int(bad.sum()))}
        where, kind = service[bad], kind[bad]
        return [
            *tables,
            Table("errors_by_class", (CLASSES + 1,), where, (kind,), errors),
            Table(
                "errors_by_model_class", (MODELS, CLASSES + 1), where, (model[bad], kind), errors
            ),
            Table(
                "errors_by_route_class", (ROUTES, CLASSES + 1), where, (route[bad], kind), errors
            ),
        ]

    def _tools(self, runs: np.ndarray, trouble: Trouble) -> list[Table]:
        rng = self.rng
        n = rng.poisson(runs * 2 * trouble.calls)
        service = np.repeat(np.arange(self.services), n)
        tool = self._of(n, np.tile([0.6, 0.3, 0.1], (self.services, 1)))
        failed = rng.random(len(service)) < self.error[service] * trouble.error
        late = rng.random(len(service)) < self.timeout[service] * trouble.timeout
        cells = {"n": np.ones(len(service)), "err": failed, "to": late}
        return [
            Table("tools_by_service", (), service, (), cells),
            Table("tools_by_tool", (TOOLS,), service, (tool,), cells),
        ]

    def _handoffs(self, runs: np.ndarray, trouble: Trouble) -> list[Table]:
        n = self.rng.poisson(runs * self.handed * trouble.handoffs)
        service = np.repeat(np.arange(self.services), n)
        route, to = self._of(n, self.routes), self._of(n, self.mix)
        cells = {"n": np.ones(len(service))}
        return [
            Table("handoffs_by_service", (), service, (), cells),
            Table("handoffs_by_route", (ROUTES,), service, (route,), cells),
            Table("handoffs_by_pair", (1, MODELS), service, (np.zeros_like(to), to), cells),
        ]


@dataclass(frozen=True)
class Table:
    """Events of one view: the service of each, its parts, and what it counts."""

    view: str
    sizes: tuple[int, ...]
    service: np.ndarray
    parts: tuple[np.ndarray, ...]
    cells: Mapping[str, np.ndarray]
    bucket: np.ndarray | None = None


def _frame_of(start: int, tables: list[Table]) -> WindowFrame:
    fields = (*_FIELDS, *(f"k:{b}" for b in range(_BUCKETS)))
    names: list[str] = []
    owner, field, value = [], [], []
    for table in tables:
        code = table.service.astype(np.int64)
        for size, part in zip(table.sizes, table.parts, strict=True):
            code = code * size + part
        seen, local = np.unique(code, return_inverse=True)
        base = len(names)
        names += [_name(table, int(one)) for one in seen]
        for counter, events in table.cells.items():
            total = np.bincount(local, events, minlength=len(seen)).astype(np.int64)
            here = np.flatnonzero(total)
            owner.append(here + base)
            field.append(np.full(len(here), fields.index(counter)))
            value.append(total[here])
        if table.bucket is not None:
            cell, count = np.unique(local * _BUCKETS + table.bucket, return_counts=True)
            owner.append(cell // _BUCKETS + base)
            field.append(cell % _BUCKETS + len(_FIELDS))
            value.append(count)
    columns = [np.concatenate(part) for part in (owner, field, value)]
    order = np.lexsort((columns[1], columns[0]))
    return WindowFrame(
        start, 60, tuple(names), fields,
        columns[0][order].astype(np.uint32), columns[1][order].astype(np.uint16),
        columns[2][order].astype(np.int64),
    )  # fmt: skip


def _name(table: Table, code: int) -> str:
    values: list[str] = []
    for size in reversed(table.sizes):
        code, part = divmod(code, size)
        values.append(f"v{part}")
    return join_series(table.view, "prod", f"s{code}", *reversed(values))


def _detector(services: int) -> ShardDetector:
    rules = [r for r in load_rules() if r.detector in DETECTORS or r.id in ALSO]
    known = {rule.id for rule in rules}
    rules = [
        rule.model_copy(update={"inhibited_by": tuple(o for o in rule.inhibited_by if o in known)})
        for rule in rules
    ]
    del services
    # A budget of three times what a service of the fleet spends at most.
    budgets = (CostBudget(monthly_usd=100_000.0, per_call_usd=0.05),)
    return ShardDetector(0, rules, DetectSettings(cost_budgets=budgets))


def healthy(days: int = 5, services: int = 40, seed: int = 1) -> Counter[str]:
    """Episodes by rule over so many days, the first of which only warms up."""
    fleet, detector = Fleet(services, seed), _detector(services)
    told: Counter[str] = Counter()
    began = time.process_time()
    for frame in fleet.frames(EPOCH, days * 1_440, HEALTHY):
        for event in detector.close(frame, (frame.start + 60) * 1_000).events:
            if event.reason == "opened":
                told[event.rule] += 1
                print(f"  day {(frame.start - EPOCH) / 86_400:.2f} {event.rule}: {event.summary}")
    spent = time.process_time() - began
    print(f"{services} services x {days} days in {spent:.0f} s: {told.total()} told, {dict(told)}")
    return told


def power(services: int = 30, seed: int = 2) -> None:
    """Part of the services told of, and how long after, for each trouble."""
    troubles = {
        "error_rate_calls": [Trouble(error=4.7), Trouble(error=6.7), Trouble(error=14)],
        "error_rate_runs": [Trouble(error=6.7)],
        "timeout_calls": [Trouble(timeout=5), Trouble(timeout=10)],
        "error_class_new": [Trouble(new_class=0.02), Trouble(new_class=0.05)],
        "error_class_spike": [Trouble(error=4), Trouble(error=8)],
        "tokens_per_request": [Trouble(tokens=1.6), Trouble(tokens=2)],
        "output_per_request": [Trouble(output=1.7), Trouble(output=2)],
        "cost_per_request": [Trouble(cost=1.6), Trouble(cost=2)],
        "cost_vs_traffic": [Trouble(cost=2)],
        "invocations_per_run": [Trouble(calls=1.6), Trouble(calls=2)],
        "handoff_rate": [Trouble(handoffs=1.7), Trouble(handoffs=2)],
    }
    blobs: dict[str, bytes] = {}
    fleet, detector = Fleet(services, seed), _detector(services)
    for frame in fleet.frames(EPOCH, 1_440, HEALTHY):
        for key, raw in detector.close(frame, (frame.start + 60) * 1_000).blobs.items():
            blobs |= {key: raw} if raw is not None else {}
            if raw is None:
                blobs.pop(key, None)
    for rule, sizes in troubles.items():
        for trouble in sizes:
            one = _detector(services)
            one.restore(blobs)
            first: dict[str, float] = {}
            start = EPOCH + 86_400
            for frame in fleet.frames(start, 180, trouble):
                for event in one.close(frame, (frame.start + 60) * 1_000).events:
                    if event.rule == rule and event.reason in ("opened", "suppressed", "inhibited"):
                        first.setdefault(event.service, (frame.start + 60 - start) / 60)
            waits = sorted(first.values())
            middle = f"median {np.median(waits):.0f} min, slowest {waits[-1]:.0f}" if waits else ""
            print(f"{rule:22} {trouble}: {len(first)} of {services}; {middle}", flush=True)


if __name__ == "__main__":
    numbers = [int(part) for part in sys.argv[2:]]
    if sys.argv[1:2] == ["power"]:
        power(*numbers)
    else:
        healthy(*numbers)
