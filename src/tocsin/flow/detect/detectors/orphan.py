"""Orphans: runs that made no further step and did not end. Judged when a window closes.

Only runs of services nearly all of whose runs are known to end can be orphans: where runs do not
end, or their ends are not recorded, silence shows nothing.
"""

from collections.abc import Iterable

from tocsin.flow.baseline.history.run_stats import KNOWN_P999, Level, RunStats
from tocsin.flow.detect.detector import PauseDetector
from tocsin.flow.detect.runs.pauses import Pause
from tocsin.flow.detect.runs.run_findings import BASELINE
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import NONE, Finding, Unit, join_series


def limit_ms(rule: RuleSpec, pause: Pause, stats: RunStats) -> int:
    """How long a run may stand still before it is an orphan."""
    level = _level(pause, stats)
    seconds = max(rule.effect["silent_s"], rule.effect["ratio"] * level.p999 if level else 0)
    return int(seconds * 1_000)


def _level(pause: Pause, stats: RunStats) -> Level | None:
    return stats.level(pause.since_ms, pause.env, pause.service, "seconds")


def judge(
    rule: RuleSpec,
    pauses: Iterable[tuple[str, Pause]],
    since_ms: int,
    upto_ms: int,
    stats: RunStats,
) -> list[Finding]:
    """Findings of runs that stand still, for the windows that close in (since_ms, upto_ms].

    A run that reached its limit in them breaches; one that went on in them after that clears.
    """
    findings: list[Finding] = []
    for trace, pause in pauses:
        silent_ms = limit_ms(rule, pause, stats)
        if not pause.lasts(silent_ms) or not _usually_end(rule, pause, stats):
            continue
        for at_ms, breach in ((pause.since_ms + silent_ms, True), (pause.until_ms, False)):
            if since_ms < at_ms <= upto_ms:
                found = _finding(rule, trace, pause, upto_ms, silent_ms, stats, breach=breach)
                findings.append(found)
    return findings


def _usually_end(rule: RuleSpec, pause: Pause, stats: RunStats) -> bool:
    """Whether nearly all runs of this service are known to end."""
    ended, left = stats.ends(pause.since_ms, pause.env, pause.service)
    return ended >= rule.effect["ended"] and left <= rule.effect["left"] * (ended + left)


def _finding(
    rule: RuleSpec, trace: str, pause: Pause, upto_ms: int, silent_ms: int, stats: RunStats, *,
    breach: bool,
) -> Finding:  # fmt: skip
    level = _level(pause, stats)
    group = {"env": pause.env, "service": pause.service, "agent": pause.agent, "trace_id": trace}
    who = "A run" if pause.agent == NONE else f"A run of agent {pause.agent}"
    doing = "" if pause.act == NONE else f" after {pause.act}"
    silent_s = silent_ms / 1_000
    return Finding(
        rule=rule.id,
        series=join_series("run", pause.env, pause.service, trace),
        group=tuple((name, group.get(name, NONE)) for name in rule.group_by),
        window=-(-upto_ms // 1_000) - 60,
        at_ms=upto_ms,
        breach=breach,
        clear=not breach,
        severity="warning",
        signal="silence",
        unit=Unit.SECONDS,
        observed=silent_s,
        expected=float(level.p50) if level else None,
        bound=silent_s,
        n=level.n if level else 0,
        score=1.0,
        at_least=breach,
        baseline=BASELINE if level else "none",
        confidence="high" if level and level.n >= KNOWN_P999 else "normal",
        summary=f"{who} has not moved for {silent_s:,.0f} s{doing} and never ended."
        if breach
        else "",
        traces=(trace,),
    )


DETECTOR = PauseDetector(
    name="orphan",
    effect={
        "silent_s": 1800.0,  # seconds without a step, at least
        "ratio": 5.0,  # times the duration of the longest of a thousand runs, if that is more
        "ended": 20.0,  # only of services of which so many runs are known to have ended
        "left": 0.05,  # and of whose runs at most this part were left without an end
    },
    judge=judge,
    limit_ms=limit_ms,
)
