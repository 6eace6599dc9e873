"""What one alert does, told as a timeline of windows."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tocsin.flow.alerts import AlertState, Policy, acknowledge, advance
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.types import Finding, Severity, join_series

T0 = 1_700_000_040  # a minute's start, epoch seconds
STEADY = Policy("errors", "Error rate", "errors", clear_windows=2)


def judged(
    minute: int,
    verdict: str,
    *,
    rule: str = "errors",
    series: str = "a",
    severity: Severity = "warning",
    score: float = 1.0,
    early: bool = False,
    service: str = "shop",
) -> Finding:
    """`!` breaches, `.` is clear, `-` is in between; `early` judges the window while open."""
    window = T0 + 60 * minute
    return Finding(
        rule=rule,
        series=join_series("errors_by_class", "prod", service, series),
        group=(("env", "prod"), ("service", service)),
        window=window,
        at_ms=(window + (30 if early else 60)) * 1000,
        breach=verdict == "!",
        clear=verdict == ".",
        severity=severity,
        signal="err",
        unit="share",
        observed=0.2,
        expected=0.01,
        bound=0.05,
        n=500,
        score=score,
        at_least=early,
    )


class Story:
    """States and events of findings told tick by tick."""

    def __init__(self, *policies: Policy) -> None:
        self.policies = {policy.rule: policy for policy in policies or (STEADY,)}
        self.states: dict[str, AlertState] = {}
        self.events: list[AlertEvent] = []

    def hear(self, *findings: Finding) -> list[str]:
        return self._tick(findings, max(f.at_ms for f in findings))

    def wait(self, minute: int) -> list[str]:
        return self._tick((), (T0 + 60 * minute) * 1000)

    def tell(self, verdicts: str, *, start: int = 0, **how: object) -> list[str]:
        return [
            reason
            for i, verdict in enumerate(verdicts, start)
            if verdict != " "
            for reason in self.hear(judged(i, verdict, **how))  # type: ignore[arg-type]
        ]

    def _tick(self, findings: tuple[Finding, ...], now_ms: int) -> list[str]:
        states = {key: AlertState.decode(state.encode()) for key, state in self.states.items()}
        self.states, events = advance(states, findings, now_ms, self.policies)
        self.events += events
        return [event.reason.value for event in events]


@pytest.mark.parametrize(
    ("m", "n", "verdicts", "reasons"),
    [
        (1, 1, "..!", ["opened"]),
        (1, 1, "...", []),
        (2, 3, "!..!..!", []),
        (2, 3, "!.!", ["opened"]),
        (3, 4, "!!-!", ["opened"]),
        (3, 4, "!!--!", []),
        (2, 2, "! !", []),  # a window that was not judged is no breach
    ],
)
def test_an_alert_opens_once_m_of_n_windows_breach(
    m: int, n: int, verdicts: str, reasons: list[str]
) -> None:
    story = Story(replace(STEADY, m=m, n=n))
    assert story.tell(verdicts)[:1] == reasons


@pytest.mark.parametrize(
    ("verdicts", "reasons"),
    [
        ("!..", ["opened", "cleared"]),
        ("!.-..", ["opened", "cleared"]),
        ("!.!.!.", ["opened"]),
        ("!----", ["opened"]),
        ("!.!..", ["opened", "cleared"]),
        ("!..!", ["opened", "cleared", "reopened"]),
    ],
)
def test_an_alert_ends_only_after_the_clear_level_held(verdicts: str, reasons: list[str]) -> None:
    assert Story().tell(verdicts) == reasons


def test_an_open_window_may_open_an_alert_but_never_ends_one() -> None:
    story = Story(replace(STEADY, clear_windows=1))
    assert story.hear(judged(0, "!", early=True)) == ["opened"]
    assert story.events[0].at_least
    assert story.hear(judged(0, "!")) == []
    assert story.hear(judged(1, ".", early=True)) == []
    assert story.hear(judged(1, ".")) == ["cleared"]


def test_what_rises_in_severity_escalates_and_what_doubles_is_told_again() -> None:
    story = Story()
    story.tell("!")
    assert story.hear(judged(1, "!", score=1.9)) == []
    assert story.hear(judged(2, "!", score=2.5)) == ["updated"]
    assert story.hear(judged(3, "!", score=2.5, severity="critical")) == ["escalated"]
    assert story.hear(judged(4, "!", score=2.5)) == []
    assert [event.severity for event in story.events] == ["warning", "warning", "critical"]


def test_every_event_of_an_alert_counts_on_from_the_last() -> None:
    story = Story()
    story.tell("!..!..")
    assert [event.sequence for event in story.events] == [0, 1, 2, 3]
    assert len({event.alert_id for event in story.events}) == 1
    assert [event.previous for event in story.events] == [None, "firing", "resolved", "firing"]


def test_after_the_fold_time_it_is_another_alert() -> None:
    story = Story()
    story.tell("!..")
    story.tell("!..", start=20)
    assert len({event.alert_id for event in story.events}) == 2
    assert len({event.fingerprint for event in story.events}) == 1
    assert story.events[2].sequence == 0


def test_series_of_one_group_are_one_alert_and_all_must_clear() -> None:
    story = Story()
    assert story.tell("!") == ["opened"]
    assert story.hear(judged(1, "!"), judged(1, "!", series="b")) == ["updated"]
    assert story.tell("  ..") == []
    assert story.tell("    ..", series="b") == ["cleared"]
    assert [event.members for event in story.events] == [1, 2, 2]


def test_three_openings_in_six_hours_are_one_flapping_incident() -> None:
    story = Story()
    seen = [story.tell("!..", start=start) for start in (0, 30, 60, 90, 100)]
    assert seen == [["opened", "cleared"]] * 2 + [["flapping"], [], []]
    assert story.wait(150) == []
    assert story.wait(170) == ["cleared"]
    assert story.states  # remembered, so that the next opening flaps at once
    assert story.tell("!", start=240) == ["flapping"]


def test_an_ended_alert_is_forgotten_when_it_no_longer_counts_as_flapping() -> None:
    story = Story()
    story.tell("!..")
    story.wait(6 * 60 + 2)
    assert story.states
    story.wait(6 * 60 + 3)
    assert not story.states


def test_an_alert_without_further_judgement_expires() -> None:
    story = Story(replace(STEADY, stale_s=600))
    story.tell("!")
    assert story.wait(10) == []
    assert story.wait(30) == ["expired"]
    assert story.events[-1].at == (T0 + 60 + 600) * 1000
    assert story.tell("!", start=31) == ["opened"]  # 20 min later: not the same alert


def test_while_windows_cannot_close_nothing_expires_for_want_of_judgement() -> None:
    story = Story()
    story.tell("!")
    later = (T0 + 10 * 3_600) * 1000
    closed = (T0 + 60) * 1000
    states, events = advance(story.states, (), later, story.policies, closed_ms=closed)
    assert events == ()
    assert states == story.states


def test_nothing_fires_beyond_its_maximum_age_and_must_clear_before_it_fires_again() -> None:
    story = Story(replace(STEADY, max_age_s=600))
    assert story.tell("!" * 30) == ["opened", "expired"]
    assert story.tell("..", start=30) == []
    assert story.tell("!", start=32) == ["opened"]


def test_an_acknowledged_alert_stays_so_until_it_gets_worse() -> None:
    story = Story()
    story.tell("!")
    key = next(iter(story.states))
    at_ms = (T0 + 90) * 1000
    story.states, events = acknowledge(story.states, key, "ada", at_ms, story.policies)
    assert [(e.status, e.reason.value, e.actor) for e in events] == [
        ("acknowledged", "acknowledged", "ada")
    ]
    assert acknowledge(story.states, key, "bob", at_ms, story.policies)[1] == ()
    assert acknowledge(story.states, "unknown", "bob", at_ms, story.policies)[1] == ()
    assert story.tell("!", start=2) == []
    assert story.tell("!", start=3, severity="critical") == ["escalated"]
    assert story.events[-1].status == "firing"


CAUSE = Policy("outage", "Provider outage", "errors", clear_windows=1)
EFFECT = replace(STEADY, inhibited_by=("outage",), clear_windows=2)


def test_an_alert_born_under_its_explanation_is_born_suppressed() -> None:
    story = Story(CAUSE, EFFECT)
    assert story.hear(judged(0, "!"), judged(0, "!", rule="outage")) == ["opened", "suppressed"]
    assert story.events[1].inhibitor == "outage"
    assert story.events[1].previous is None


def test_a_firing_alert_is_suppressed_and_fires_again_if_it_outlives_its_explanation() -> None:
    story = Story(CAUSE, EFFECT)
    story.tell("!")
    assert story.hear(judged(1, "!", rule="outage")) == ["opened", "suppressed"]
    assert story.hear(judged(2, "!", severity="critical")) == []
    assert story.hear(judged(2, ".", rule="outage")) == ["cleared", "unsuppressed"]
    assert story.events[-1].severity == "critical"


def test_a_suppressed_alert_that_clears_is_resolved_quietly_in_its_turn() -> None:
    story = Story(CAUSE, EFFECT)
    story.hear(judged(0, "!"), judged(0, "!", rule="outage"))
    assert story.tell("..", start=1) == ["cleared"]
    assert (story.events[-1].status, story.events[-1].previous) == ("resolved", "suppressed")


def test_an_explanation_elsewhere_suppresses_nothing() -> None:
    story = Story(CAUSE, EFFECT)
    story.hear(judged(0, "!", rule="outage", service="billing"))
    assert story.tell("!", start=1) == ["opened"]


def test_rules_that_explain_each_other_are_both_told() -> None:
    story = Story(replace(CAUSE, inhibited_by=("errors",)), EFFECT)
    assert story.hear(judged(0, "!"), judged(0, "!", rule="outage")) == ["opened", "opened"]


def test_a_suppressed_alert_still_explains_what_lies_below_it() -> None:
    root = replace(CAUSE, rule="root")
    story = Story(root, replace(CAUSE, inhibited_by=("root",)), EFFECT)
    heard = [judged(0, "!", rule=rule) for rule in ("errors", "outage", "root")]
    assert story.hear(*heard) == ["opened", "suppressed", "suppressed"]


def test_an_alert_whose_rule_is_gone_expires() -> None:
    story = Story()
    story.tell("!")
    story.policies = {}
    assert story.wait(2) == ["expired"]
    story.wait(3)
    assert not story.states


def test_a_finding_without_a_policy_is_a_mistake_and_stops_loudly() -> None:
    with pytest.raises(KeyError):
        advance({}, [judged(0, "!")], 0, {})


def test_a_state_of_another_version_is_refused() -> None:
    story = Story()
    story.tell("!")
    raw = next(iter(story.states.values())).encode()
    with pytest.raises(ValueError, match="version"):
        AlertState.decode(b"\x63" + raw[1:])


def test_a_state_is_stored_under_the_names_of_its_version() -> None:
    story = Story()
    story.tell("!")
    stored = msgspec.msgpack.decode(next(iter(story.states.values())).encode()[1:])
    assert (stored["told_score"], stored["told_members"]) == (1.0, 1)


def test_what_windows_burnt_adds_up_each_window_once() -> None:
    story = Story()

    def burning(minute: int, tokens: int | None, *, early: bool = False) -> Finding:
        found = judged(minute, "!", early=early, score=2.0**minute)
        return replace(found, at_ms=found.window * 1000 + 60_000, tokens_burnt=tokens)

    assert story.hear(burning(0, None, early=True)) == ["opened"]
    story.hear(burning(0, 100))
    story.hear(burning(0, 100))
    assert story.hear(burning(2, 50)) == ["updated"]
    assert [event.tokens_burnt for event in story.events] == [None, 150]


def test_the_event_says_when_it_began_and_how_long_it_lasted() -> None:
    story = Story(replace(STEADY, m=3, n=4))
    story.tell("!!!..")
    opened, cleared = story.events
    assert opened.onset == T0 * 1000
    assert opened.detected_after_s == 180
    assert cleared.duration_s == 300
    assert "3 of 4" in opened.why.sentence
