"""Bad days: what an outage, a new level, a lost hour or a clock change does to false alarms.

Each scenario is a fleet that lives twice, once with the trouble and once without, and the
alarms of the two are compared after the trouble.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from quality.fleet import Fleet
from quality.watchman import Opening, Progress, watch
from tocsin.demo.conditions import DAY, MONDAY, Fault, Service
from tocsin.flow.baseline.frames import merge
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.detect.shard_detector import DetectSettings
from tocsin.types import WindowFrame

Change = Callable[[int, WindowFrame], WindowFrame | None]
#: Monday 2023-10-09, 00:00 UTC; clocks in Berlin go back in the night to Sunday the 29th.
OCTOBER = 1_696_809_600
CLOCK_CHANGE = 20  # days after OCTOBER


@dataclass(frozen=True, slots=True)
class Scenario:
    """One trouble. `after` is the first window whose alarms are compared."""

    name: str
    question: str
    days: int
    after: int
    faults: Callable[[Sequence[Service]], list[Fault]] = lambda _: []
    change: Callable[[], Change] | None = None  # makes one for a life
    settings: DetectSettings = field(default_factory=DetectSettings)
    start: int | None = None
    clock_change: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Alarms after the trouble and without it, and those of the trouble itself."""

    name: str
    question: str
    services: int
    during: int
    after: int
    control: int


def _dense(count: int, seed: int) -> list[Service]:
    rng = np.random.default_rng(seed)
    return [
        Service(
            f"b{i:02}", rate=float(rng.uniform(10, 40)), size=float(rng.choice([5, 20, 50])),
            daily=float(rng.uniform(0.2, 0.7)), phase=float(rng.uniform(0, 24)),
            weekend=float(rng.uniform(0.5, 1.0)), bursts=0.3,
        )
        for i in range(count)
    ]  # fmt: skip


def _outage(services: Sequence[Service]) -> list[Fault]:
    """Three times the traffic for six hours on the eighth day."""
    return [Fault("rate", s.name, 7 * DAY + 600, 7 * DAY + 960, 3.0) for s in services]


def _new_level(services: Sequence[Service]) -> list[Fault]:
    """Twelve times the traffic from the eighth day on, for good."""
    return [Fault("rate", s.name, 7 * DAY + 600, 10_000_000, 12.0) for s in services]


def _born_and_dying(services: Sequence[Service]) -> list[Fault]:
    """Every second service begins on the eighth day, the others end on the ninth, for good."""
    start, end = 7 * DAY + 600, 8 * DAY + 600
    return [
        Fault("rate", s.name, 0, start, 0.0) if i % 2 else Fault("rate", s.name, end, 10**7, 0.0)
        for i, s in enumerate(services)
    ]


def _holes(i: int, frame: WindowFrame) -> WindowFrame | None:
    """One window in twenty, and two hours on end, were never evaluated."""
    lost = np.random.default_rng([99, i]).random() < 0.05
    hole = 8 * DAY + 600 <= i < 8 * DAY + 720
    return None if i >= 7 * DAY and (lost or hole) else frame


def _thinned(i: int, frame: WindowFrame) -> WindowFrame:
    """A tenth of everything came too late, for one window in ten."""
    if i < 7 * DAY or np.random.default_rng([98, i]).random() >= 0.1:
        return frame
    return replace(frame, value=np.maximum((frame.value * 9) // 10, 1))


class _Skewed:
    """Clocks that go wrong on the eighth day: a fifth of everything is counted a window late."""

    def __init__(self) -> None:
        self._carried: WindowFrame | None = None

    def __call__(self, i: int, frame: WindowFrame) -> WindowFrame:
        late = np.where(i < 7 * DAY, 0, frame.value // 5)
        parts = [replace(frame, value=frame.value - late)]
        if self._carried is not None:
            parts.append(self._carried)
        self._carried = replace(frame, value=late)
        return merge(parts, frame.start, frame.seconds)


SCENARIOS: Sequence[Scenario] = (
    Scenario("contamination", "six hours at 3 times, then as before", 10, 7 * DAY + 965, _outage),
    Scenario("new level", "12 times the traffic for good", 10, 8 * DAY + 660, _new_level),
    Scenario(
        "lost windows", "5 % never evaluated, and two hours", 10, 7 * DAY, change=lambda: _holes
    ),
    Scenario(
        "late data", "a tenth too late in every tenth window", 10, 7 * DAY,
        change=lambda: _thinned,
    ),
    Scenario("skewed clocks", "a fifth a window late from then on", 10, 7 * DAY, change=_Skewed),
    Scenario(
        "births and deaths", "every other service begins, the rest end", 10, 8 * DAY + 720,
        _born_and_dying,
    ),
    Scenario(
        "clock change", "summer time ends, zone configured", 25, CLOCK_CHANGE * DAY,
        settings=DetectSettings(calendar=Calendar("Europe/Berlin")), start=OCTOBER,
        clock_change=CLOCK_CHANGE,
    ),
)  # fmt: skip


def live_through(number: int, count: int, seed: int, progress: Progress | None = None) -> Answer:
    """The fleet of SCENARIOS[number] with its trouble, and without."""
    scenario = SCENARIOS[number]
    services = _dense(count, seed)
    troubled = _openings(scenario, services, seed, trouble=True, progress=progress)
    calm = _openings(scenario, services, seed, trouble=False, progress=progress)
    return Answer(
        scenario.name,
        scenario.question,
        count,
        sum(o.window < scenario.after for o in troubled)
        - sum(o.window < scenario.after for o in calm),
        sum(o.window >= scenario.after for o in troubled),
        sum(o.window >= scenario.after for o in calm),
    )


def _openings(
    scenario: Scenario, services: Sequence[Service], seed: int, *, trouble: bool,
    progress: Progress | None,
) -> list[Opening]:  # fmt: skip
    faults = scenario.faults(services) if trouble else []
    fleet = Fleet(
        services, faults, seed, scenario.start or MONDAY, scenario.clock_change if trouble else None
    )
    found = watch(
        fleet, range(scenario.days * DAY), settings=scenario.settings,
        change=scenario.change() if trouble and scenario.change else None, progress=progress,
    )  # fmt: skip
    return found.openings


def table(answers: Sequence[Answer]) -> str:
    """Markdown, one row a scenario."""
    lines = [
        "| trouble | | services | alerts of the trouble | alarms after it | without it |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {a.name} | {a.question} | {a.services} | {a.during} | {a.after} | {a.control} |"
        for a in answers
    ]
    return "\n".join(lines)
