"""What is true of a fleet of agent services in a minute: healthy traffic, and faults in it.

The demo writes spans by it (`fleet.py`); the tests of detection quality draw counts by it
(`tests/quality/fleet.py`).

Healthy traffic is not white noise: arrivals are over-dispersed (negative binomial), follow a
day and a week, have holidays and bursts; latencies and token counts wander from hour to hour;
error rates wander too. A *fault* changes one thing of one service from one minute to another.
Minute `i` depends on (seed, i) alone, so minutes can be asked for in any order, and a fault in
one service moves nothing of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A Monday, 00:00 UTC.
MONDAY = 1_700_438_400
DAY = 1_440  # minutes
#: How many minutes the random wander of a service stays as it is.
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
    born: int = 0  # first minute with traffic
    holidays: tuple[int, ...] = ()  # days at the weekend's level


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one service in the minutes [first, last).

    `size` is in the kind's own unit: a factor (rate, latency, tool_latency, ttft, tokens,
    tail, cost, calls, tools, handoffs), points of share (share), a rate (errors, timeouts,
    new_class, new_model), the part of run time that the tools' stage grows to (stage) or an
    absolute change (score). Kinds of `rate` with size 0 are silence.

    Spans know nothing of tail, cost, calls, timeouts, new_class, stage and score; windows
    nothing of new_model.
    """

    kind: str
    service: str
    first: int
    last: int
    size: float


#: The parameters of all services in one minute, float64 [services] each, by name.
State = dict[str, Floats]


_FACTORS = {
    "rate": "rate", "latency": "call_ms", "tool_latency": "tool_ms", "ttft": "ttft_ms",
    "tokens": "tokens_in", "cost": "usd_per_mtok", "calls": "calls", "tools": "tools",
    "handoffs": "handoffs", "tail": "tail",
}  # fmt: skip
_SETS = {"errors": "errors", "timeouts": "timeouts", "new_class": "new_class",
         "new_model": "new_model"}  # fmt: skip
_ADDS = {"share": "share", "score": "score"}
#: What a run takes beside its calls and tools, ms; and the sigma of its log duration.
REST_MS, RUN_SIGMA = 200.0, 0.3


class Conditions:
    """The state of services with faults; `at(i)` is minute `i` from `start` (epoch s).

    `clock_change` is the day from which on everybody comes to work an hour later by UTC.
    """

    def __init__(
        self,
        services: Sequence[Service],
        faults: Sequence[Fault] = (),
        seed: int = 1,
        start: int = MONDAY,
        clock_change: int | None = None,
    ) -> None:
        self.services, self.faults, self.seed, self.start = services, faults, seed, start
        self.clock_change = clock_change
        self._at = {service.name: i for i, service in enumerate(services)}
        names = [n for n in Service.__slots__ if n not in {"name", "holidays", "born"}]
        # What holds on average, before the day, the wander and the faults.
        self._base = {n: np.array([getattr(s, n) for s in services], float) for n in names}
        ones, zeros = np.ones(len(services)), np.zeros(len(services))
        self._base |= {"tail": ones, "stage": ones, "new_class": zeros, "new_model": zeros}
        self._born = np.array([s.born for s in services])
        self._free = np.array([[d in s.holidays for d in range(400)] for s in services], bool)

    def at(self, i: int) -> State:
        """Minute `i`. Raises ValueError for minutes before the start."""
        state = {name: values.copy() for name, values in self._base.items()}
        self._shape(state, i)
        for fault in self.faults:
            if fault.first <= i < fault.last:
                self._break(state, fault)
        state["rate"][self._born > i] = 0.0
        return state

    def _shape(self, state: State, i: int) -> None:
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
        state["rate"] = rate
        for k, name in enumerate(("call_ms", "tool_ms", "ttft_ms", "tokens_in", "errors")):
            state[name] = state[name] * np.exp(state["wander"] * self._wander(k, i))

    def _wander(self, k: int, i: int) -> Floats:
        """A smooth random path: standard normal at the hours, a straight line in between."""
        step, part = divmod(i, _WANDER)
        knots = [
            np.random.default_rng([self.seed, 11, k, at]).standard_normal(len(self.services))
            for at in (step, step + 1)
        ]
        path: Floats = knots[0] + (knots[1] - knots[0]) * part / _WANDER
        return path

    def _break(self, state: State, fault: Fault) -> None:
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
        rest = one.calls * one.call_ms * (1.6 * one.share + 1 - one.share) * mean + REST_MS
        of_run = part * np.exp(RUN_SIGMA**2 / 2)
        return float(of_run / (1 - of_run) * rest / (one.tools * one.tool_ms * mean))


def arrivals(rng: np.random.Generator, rate: Floats, size: Floats) -> NDArray[np.int64]:
    """How many runs begin, of each rate: negative binomial of that mean and size."""
    return rng.negative_binomial(size, size / (size + np.maximum(rate, 1e-12)))
