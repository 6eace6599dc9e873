"""The state of the demo: `play.py` updates it, `view.py` draws it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from tocsin.demo.incidents import Incident
from tocsin.demo.scoring import Alarm, Score, score

Phase = Literal["starting", "back-fill", "live", "settling", "done"]
_RATE_S = 3.0  # how far back the rate looks


@dataclass(slots=True)
class Scene:
    """Where the scenario stands. Event times in epoch ms, wall times in seconds from the start."""

    seed: int
    speed: float
    from_ms: int  # of the history
    live_ms: int  # where history ends and the incidents' stage begins
    to_ms: int
    incidents: tuple[Incident, ...]
    phase: Phase = "starting"
    servers: str = ""
    now_ms: int = 0  # event time reached
    wall_s: float = 0.0
    published: int = 0
    aggregated: int = 0  # or settled otherwise: late, filtered
    late: int = 0
    watermark_s: float = 0.0  # how far the low watermark is behind event time
    alarms: list[Alarm] = field(default_factory=list)
    resolved: set[str] = field(default_factory=set)  # alert ids
    #: Wall seconds at which each incident's onset was published, by kind.
    onset_wall: dict[str, float] = field(default_factory=dict)
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def fraction(self) -> float:
        """Event time done, 0..1."""
        done = (self.now_ms - self.from_ms) / (self.to_ms - self.from_ms)
        return min(1.0, max(0.0, done))

    @property
    def lag(self) -> int:
        """Published spans that are not in Redis yet."""
        return max(0, self.published - self.aggregated)

    @property
    def rate(self) -> float:
        """Spans aggregated a second of wall time, over the last seconds."""
        if len(self._samples) < 2:
            return 0.0
        (then, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / max(now - then, 1e-3)

    def reach(self, now_ms: int, wall_s: float) -> None:
        """Event time has come so far; everything before it is published."""
        self.now_ms, self.wall_s = now_ms, wall_s
        for incident in self.incidents:
            if incident.from_ms <= now_ms:
                self.onset_wall.setdefault(incident.kind, wall_s)

    def measure(self, wall_s: float, aggregated: int) -> None:
        self.wall_s, self.aggregated = wall_s, aggregated
        self._samples.append((wall_s, aggregated))
        while self._samples[-1][0] - self._samples[0][0] > _RATE_S:
            self._samples.popleft()

    def score(self) -> Score:
        """The judgement so far."""
        return score(self.incidents, self.alarms)

    def delay_s(self, incident: Incident, alarm: Alarm) -> tuple[float, float]:
        """(event time, wall time) from the incident's onset to the alarm, s."""
        wall = alarm.wall_s - self.onset_wall.get(incident.kind, alarm.wall_s)
        return (alarm.at_ms - incident.from_ms) / 1_000, wall
