"""A seeded fleet of per-minute service KPIs with labelled incidents, to judge detectors on.

Families follow what public KPI sets are made of: request volumes with a day and a week in
them, latencies with heavy tails, success rates near their ceiling, sparse counts, queues that
drift, jobs that burst at fixed hours, series that are flat for weeks. Healthy trouble is in
it too, unlabelled: gaps, holidays, releases that move the level for good, lone blips.
Incidents have the shapes and lengths (1 minute to 15 hours) operators label. How large they are
and how rare healthy trouble is was set such that plain detectors fare as is published for them on
labelled sets (at 0.05 false a day, FluxEV finds about two in five, an EWMA fewer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DAY = 1440
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Kpi:
    """One simulated series: values [n] (NaN = missing), labels [n], and what it is."""

    values: np.ndarray
    labels: np.ndarray
    family: str
    shapes: tuple[str, ...]


def fleet(series: int, days: int, seed: int, incidents: float = 0.4) -> list[Kpi]:
    """`series` KPIs of `days` days, with so many incidents a day in the median one."""
    names = list(FAMILIES)
    return [
        _series(np.random.default_rng((seed, i)), names[i % len(names)], days * DAY, incidents)
        for i in range(series)
    ]


# ---- what is healthy -----------------------------------------------------------------


def _daily(rng: Rng, n: int, depth: float) -> np.ndarray:
    """A day's shape in (0, 1], by 1 to 4 harmonics, with a weaker weekend and slow wander."""
    t = np.arange(n) / DAY
    shape = np.zeros(n)
    for k in range(1, int(rng.integers(2, 5))):
        shape += rng.normal(0, 1 / k**1.2) * np.cos(2 * np.pi * (k * t + rng.random()))
    shape = (shape - shape.min()) / (np.ptp(shape) + 1e-9)
    week = np.where(((t + rng.integers(7)) % 7) < 2, rng.uniform(0.6, 1.0), 1.0)
    drift = np.exp(np.cumsum(rng.normal(0, 0.004, n // 60 + 2)))[np.arange(n) // 60]
    level: np.ndarray = (1 - depth + depth * shape) * _smooth(week, 120) * _smooth(drift, 60)
    return level


def _smooth(x: np.ndarray, width: int) -> np.ndarray:
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(x, (width // 2, width - width // 2 - 1), mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _ar(rng: Rng, n: int, rho: float, heavy: float = 0.0) -> np.ndarray:
    """Unit-variance AR(1) noise; `heavy` mixes in Student t with 3 degrees of freedom."""
    from scipy.signal import lfilter

    white = rng.normal(size=n)
    if heavy:
        white = np.where(rng.random(n) < heavy, rng.standard_t(3, n), white)
    out: np.ndarray = lfilter([np.sqrt(1 - rho * rho)], [1, -rho], white)
    return out


def _traffic(rng: Rng, n: int) -> np.ndarray:
    """Requests a minute: a deep day, noise that grows with the level, autocorrelated."""
    base = np.exp(rng.uniform(4, 9)) * _daily(rng, n, rng.uniform(0.5, 0.95))
    noise = rng.uniform(0.01, 0.06) * _ar(rng, n, rng.uniform(0, 0.9), 0.05)
    values: np.ndarray = rng.poisson(np.maximum(base * (1 + noise), 0)).astype(float)
    return values


def _noisy_traffic(rng: Rng, n: int) -> np.ndarray:
    """Low traffic with large noise that follows the level."""
    base = np.exp(rng.uniform(2, 4)) * _daily(rng, n, rng.uniform(0.3, 0.9))
    shape = rng.uniform(3, 20)
    values: np.ndarray = rng.poisson(base * rng.gamma(shape, 1 / shape, n)).astype(float)
    return values


def _latency(rng: Rng, n: int) -> np.ndarray:
    """Milliseconds: log-normal noise with lone spikes, a faint day."""
    base = np.exp(rng.uniform(2, 6)) * (1 + 0.3 * _daily(rng, n, 0.9))
    spikes = np.where(rng.random(n) < 10 ** rng.uniform(-5, -2.7), rng.pareto(2.5, n), 0.0)
    noise = rng.uniform(0.03, 0.2) * _ar(rng, n, rng.uniform(0, 0.6), 0.1)
    values: np.ndarray = base * np.exp(noise) * (1 + spikes)
    return values


def _success(rng: Rng, n: int) -> np.ndarray:
    """Per cent, most of the time close to 100."""
    volume = np.exp(rng.uniform(3, 7)) * _daily(rng, n, 0.8) + 5
    rate = 1 - rng.uniform(2e-4, 1e-2) * np.exp(0.4 * _ar(rng, n, 0.9))
    calls = volume.astype(int)
    values: np.ndarray = 100 * rng.binomial(calls, np.clip(rate, 0, 1)) / calls
    return values


def _sparse(rng: Rng, n: int) -> np.ndarray:
    """Errors or rare calls: mostly 0."""
    mean = rng.uniform(0.02, 2) * _daily(rng, n, 0.6)
    values: np.ndarray = rng.poisson(mean * rng.gamma(2, 0.5, n)).astype(float)
    return values


def _bursts(rng: Rng, n: int) -> np.ndarray:
    """Traffic with jobs at fixed minutes of the day, whose height varies."""
    values = _traffic(rng, n)
    height = np.median(values) * rng.uniform(0.5, 4)
    for _ in range(int(rng.integers(1, 6))):
        start, length = rng.integers(DAY), int(rng.integers(1, 15))
        for day in range(n // DAY):
            at = day * DAY + start + rng.integers(-1, 2)
            values[max(at, 0) : max(at + length, 0)] += height * rng.lognormal(0, 0.25)
    return values


def _stationary(rng: Rng, n: int) -> np.ndarray:
    """No day in it: CPU, memory, pool sizes; autocorrelated, sometimes restless."""
    restless = np.exp(rng.uniform(0, 0.6) * _ar(rng, n, 0.995))
    middle, size = rng.uniform(20, 80), rng.uniform(0.5, 4)
    values: np.ndarray = middle + size * restless * _ar(rng, n, rng.uniform(0, 0.97), 0.1)
    return values


def _flat(rng: Rng, n: int) -> np.ndarray:
    """Constant, or a small integer that moves now and then."""
    moves = np.cumsum(np.where(rng.random(n) < 2e-4, rng.integers(-2, 3, n), 0))
    values: np.ndarray = rng.integers(1, 50) + moves + np.where(rng.random(n) < 1e-3, 1.0, 0.0)
    return values


def _drifting(rng: Rng, n: int) -> np.ndarray:
    """A trend and a random walk under the noise."""
    walk = np.cumsum(rng.normal(0, 0.02, n)) + np.linspace(0, rng.uniform(-20, 20), n)
    return 200 + walk + rng.uniform(1, 4) * _ar(rng, n, 0.3, 0.1)


FAMILIES: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "traffic": _traffic,
    "latency": _latency,
    "noisy_traffic": _noisy_traffic,
    "success": _success,
    "traffic2": _traffic,
    "bursts": _bursts,
    "stationary": _stationary,
    "sparse": _sparse,
    "flat": _flat,
    "drifting": _drifting,
}


#: What a family's values can be; the rest are at least 0.
LIMITS = {"success": (0.0, 100.0), "drifting": (-np.inf, np.inf)}


def _healthy_trouble(rng: Rng, x: np.ndarray) -> None:
    """What is no incident: a release, a holiday, a lone blip; no label."""
    n = len(x)
    for _ in range(rng.poisson(n / DAY / 100)):  # a release moves the level for good
        x[rng.integers(n) :] *= rng.uniform(0.8, 1.25)
    for _ in range(rng.poisson(n / DAY / 30)):  # a holiday
        day = int(rng.integers(n // DAY)) * DAY
        x[day : day + DAY] *= 1 - (1 - rng.uniform(0.6, 0.9)) * np.hanning(DAY)
    scale = np.nanstd(np.diff(x)) + 1e-9
    for at in rng.integers(0, n, rng.poisson(n / DAY * 0.006)):  # lone blips
        x[at] += scale * rng.normal(0, 4)


def _gaps(rng: Rng, x: np.ndarray) -> None:
    n = len(x)
    if rng.random() < 0.5:
        x[rng.random(n) < rng.uniform(0, 0.01)] = np.nan
        for at in rng.integers(0, n, rng.poisson(n / DAY / 10)):
            x[at : at + int(rng.integers(5, 180))] = np.nan


# ---- incidents -----------------------------------------------------------------------


def _local(x: np.ndarray, at: int) -> tuple[float, float]:
    """Level and noise around a row, from the hours before it."""
    past = x[max(at - 240, 0) : at + 1]
    step = np.diff(past)
    noise = float(np.median(np.abs(step - np.median(step)))) * 1.48 / 1.41
    spread = float(np.std(past - np.median(past)))
    level = float(np.median(past))
    return level, max(noise, 0.3 * spread, 0.004 * abs(level), 1e-3)


def _inject(rng: Rng, x: np.ndarray, at: int, family: str) -> tuple[int, str]:
    """Put one incident at a row; return its length and shape."""
    shape = str(rng.choice(SHAPES, p=WEIGHTS))
    level, noise = _local(x, at)
    size = noise * rng.lognormal(np.log(60), 1.0)
    sign = rng.choice([-1.0, 1.0])
    if family in ("success", "traffic", "traffic2") and rng.random() < 0.6:
        sign = -1.0
    if family in ("latency", "sparse"):
        sign = 1.0
    size = sign * max(size, 4 * noise)
    length = int(np.clip(rng.lognormal(np.log(14), 1.4), 2, 900))
    if shape == "spike":
        length = int(rng.integers(1, 6))
        x[at : at + length] += size * 1.5 * rng.uniform(0.6, 1.2, length)
    elif shape == "to_zero":
        x[at : at + length] *= rng.uniform(0, 0.05)
    elif shape == "shift":
        x[at : at + length] += size * 0.7
    elif shape == "ramp":
        length = max(length, 8)
        x[at : at + length] += size * np.linspace(0.1, 1, length)
    elif shape == "hump":
        length = max(length, 6)
        x[at : at + length] += size * np.hanning(length + 2)[1:-1]
    elif shape == "restless":
        length = max(length, 10)
        x[at : at + length] += abs(size) * 0.6 * rng.normal(size=length)
    elif shape == "frozen":
        length = max(length, 30)
        x[at : at + length] = level + size * 0.5
    elif shape == "decay":
        length = max(length, 5)
        x[at : at + length] += 1.3 * size * np.exp(-np.arange(length) / (length / 3))
    part = x[at : at + length]
    np.clip(part, *LIMITS.get(family, (0.0, np.inf)), out=part)
    return length, shape


SHAPES = ("spike", "to_zero", "shift", "ramp", "hump", "restless", "frozen", "decay")
WEIGHTS = np.array([0.3, 0.07, 0.22, 0.1, 0.12, 0.06, 0.03, 0.1])


def _series(rng: Rng, family: str, n: int, incidents: float) -> Kpi:
    x = FAMILIES[family](rng, n)
    _healthy_trouble(rng, x)
    if family in ("sparse", "noisy_traffic", "flat"):
        x = np.round(x)
    low, high = LIMITS.get(family, (0.0, np.inf))
    x = np.clip(x, low, high)
    labels = np.zeros(n, bool)
    shapes = []
    rate = incidents * rng.lognormal(0.0, 0.8)
    at = int(rng.exponential(DAY / rate)) + DAY // 2 if rate else n
    while at < n - 960:
        length, shape = _inject(rng, x, at, family)
        labels[at : at + length] = True
        shapes.append(shape)
        at += length + 60 + int(rng.exponential(DAY / rate))
    _gaps(rng, x)
    return Kpi(x, labels, family, tuple(shapes))
