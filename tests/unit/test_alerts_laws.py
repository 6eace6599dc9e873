"""Laws that hold for whatever findings come, in whatever ticks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tocsin.flow.alerts import AlertState, Policy, advance
from tocsin.flow.alerts.contract import OPEN, AlertEvent
from tocsin.types import SEVERITIES, Finding, join_series

T0 = 1_700_000_040
MINUTES = 90
POLICIES = {
    policy.rule: policy
    for policy in (
        Policy("cause", "Cause", "errors", clear_windows=1, flap_quiet_s=600, fold_s=120),
        Policy(
            "effect", "Effect", "errors", m=2, n=3, clear_windows=2, max_age_s=1_800,
            stale_s=420, flap_within_s=3_600, flap_quiet_s=600, inhibited_by=("cause",),
        ),
        Policy("loop", "Loop", "depth", window_s=0, stale_s=300, flap_within_s=3_600),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Tick:
    findings: tuple[Finding, ...]
    now_ms: int


@st.composite
def timelines(draw: st.DrawFn) -> list[Finding]:
    """Findings of three rules on two services in order of time; verdicts come in stretches."""
    findings = []
    for rule in POLICIES:
        for service in ("shop", "billing"):
            for series in ("a", "b"):
                lengths = draw(st.lists(st.integers(1, 12), max_size=8))
                minute = 0
                for length in lengths:
                    verdict = draw(st.sampled_from("!!.. -"))
                    score = draw(st.sampled_from((1.0, 1.5, 4.0, 9.0)))
                    severity = draw(st.sampled_from(SEVERITIES))
                    findings += [
                        _finding(rule, service, series, at, verdict, score, severity)
                        for at in range(minute, minute + length)
                        if verdict != " " and at < MINUTES
                    ]
                    minute += length
    return sorted(findings, key=lambda f: f.at_ms)


def _finding(
    rule: str, service: str, series: str, minute: int, verdict: str, score: float, severity: str
) -> Finding:
    window = T0 + 60 * minute
    return Finding(
        rule=rule,
        series=join_series("view", "prod", service, series),
        group=(("env", "prod"), ("service", service)),
        window=window,
        at_ms=(window + 60) * 1000,
        breach=verdict == "!",
        clear=verdict == ".",
        severity=severity,  # type: ignore[arg-type]
        signal="err",
        unit="share",
        observed=score,
        expected=None,
        bound=1.0,
        n=10,
        score=score,
    )


def cut(findings: Sequence[Finding], minutes: Sequence[int]) -> list[Tick]:
    """Ticks that end at these minutes; each hears what became true since the one before."""
    ends = [(T0 + 60 * minute) * 1000 for minute in sorted({*minutes, MINUTES + 1})]
    ticks, before = [], 0
    for end in ends:
        ticks.append(Tick(tuple(f for f in findings if before < f.at_ms <= end), end))
        before = end
    return ticks


def play(
    ticks: Sequence[Tick], *, restore: bool = False
) -> tuple[dict[str, AlertState], list[AlertEvent]]:
    states: dict[str, AlertState] = {}
    events: list[AlertEvent] = []
    for tick in ticks:
        if restore:
            states = {key: AlertState.decode(state.encode()) for key, state in states.items()}
        states, new = advance(states, tick.findings, tick.now_ms, POLICIES)
        events += new
    return states, events


CUTS = st.lists(st.integers(1, MINUTES), max_size=20)


@given(timelines(), CUTS, CUTS)
def test_the_same_findings_give_the_same_events_however_they_are_cut(
    findings: list[Finding], one: list[int], other: list[int]
) -> None:
    states, events = play(cut(findings, one))
    again, events_again = play(cut(findings, other), restore=True)
    assert [e.encode() for e in events] == [e.encode() for e in events_again]
    assert states == again


@given(timelines())
def test_hearing_the_same_findings_twice_changes_nothing(findings: list[Finding]) -> None:
    ticks = cut(findings, range(1, MINUTES))
    assert play(ticks)[1] == play([tick for tick in ticks for _ in range(2)])[1]


@given(timelines(), CUTS)
def test_each_alert_opens_first_changes_in_order_and_ends_for_good(
    findings: list[Finding], cuts: list[int]
) -> None:
    quiet = Tick((), (T0 + 60 * MINUTES + 3 * 86_400) * 1000)
    states, events = play([*cut(findings, cuts), quiet])
    assert not states  # bounded: everything is forgotten in the end
    alerts: defaultdict[str, list[AlertEvent]] = defaultdict(list)
    for event in events:
        alerts[event.alert_id].append(event)
    for alert in alerts.values():
        assert [event.sequence for event in alert] == list(range(len(alert)))
        assert alert[0].previous is None
        assert alert[0].status in {"firing", "suppressed"}
        for before, after in pairwise(alert):
            assert after.previous == before.status
            assert after.at >= before.at
            assert (after.duration_s is None) == (after.status in OPEN)
        assert alert[-1].status in {"resolved", "expired"}
    assert len({event.id for event in events}) == len(events)


@given(timelines())
def test_at_most_one_alert_of_a_group_is_open_at_a_time(findings: list[Finding]) -> None:
    open_now: dict[str, str] = {}
    for event in play(cut(findings, range(1, MINUTES)))[1]:
        assert open_now.get(event.fingerprint, event.alert_id) == event.alert_id
        if event.status in OPEN:
            open_now[event.fingerprint] = event.alert_id
        else:
            del open_now[event.fingerprint]


@given(timelines(), CUTS)
def test_whatever_fires_was_breached_m_of_n_times(findings: list[Finding], cuts: list[int]) -> None:
    """Against a count made from the findings themselves."""
    breached = {(f.rule, f.series, f.window) for f in findings if f.breach}
    for event in play(cut(findings, cuts))[1]:
        if event.previous is None and event.rule == "effect":
            window = event.at // 1000 - 60
            series = [join_series("view", "prod", event.service, name) for name in "ab"]
            counts = [
                sum(("effect", name, window - 60 * i) in breached for i in range(3))
                for name in series
            ]
            assert max(counts) >= 2


@given(timelines(), CUTS)
def test_nothing_fires_under_an_open_explanation(findings: list[Finding], cuts: list[int]) -> None:
    states, _ = play(cut(findings, cuts))
    by = {(state.rule, state.service): state for state in states.values()}
    for service in ("shop", "billing"):
        cause, effect = by.get(("cause", service)), by.get(("effect", service))
        if cause is not None and cause.is_open() and effect is not None:
            assert effect.status != "firing"


@given(timelines(), st.integers(1, 5))
def test_findings_of_one_instant_may_come_in_any_order(findings: list[Finding], seed: int) -> None:
    shuffled = sorted(findings, key=lambda f: hash((seed, f.series, f.window, f.rule)))
    now_ms = (T0 + 60 * (MINUTES + 1)) * 1000
    assert play([Tick(tuple(findings), now_ms)]) == play([Tick(tuple(shuffled), now_ms)])


def test_states_stay_small_and_members_bounded() -> None:
    flood = [_finding("cause", "shop", f"s{i}", 0, "!", 1.0, "warning") for i in range(1_000)]
    states, events = play([Tick(tuple(flood), flood[0].at_ms)])
    (state,) = states.values()
    assert len(state.members) == 256
    assert len(state.encode()) < 32 * 1024
    assert len(events) <= 10  # one opening and one event a doubling, not a thousand
    one = advance({}, [replace(flood[0])], flood[0].at_ms, POLICIES)[0]
    assert len(next(iter(one.values())).encode()) < 1024
