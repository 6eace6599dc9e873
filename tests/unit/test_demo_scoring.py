"""Laws of the demo's judge: what counts as caught, as related, as false."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.demo.incidents import KINDS, Incident
from tocsin.demo.scoring import GRACE_MS, KIND_OF_DETECTOR, Alarm, AlarmKind, score
from tocsin.flow.detect.registry import DETECTORS

SPIKE = Incident("spike", "checkout", 1_000_000, 1_300_000, 12.0)
LOOP = Incident("loop", "support", 2_000_000, 2_600_000, 8.0)
INCIDENTS = (SPIKE, LOOP)


def alarm(
    kind: AlarmKind | None = "spike",
    service: str = "checkout",
    at_ms: int = 1_060_000,
    name: str = "a",
) -> Alarm:
    return Alarm(name, "rule", kind, service, "warning", at_ms, 1.0, 2.0, 1.0, "runs", "")


def test_an_alarm_of_the_same_kind_service_and_time_catches() -> None:
    result = score(INCIDENTS, [alarm(), alarm("loop", "support", 2_030_000)])
    assert [outcome.caught is not None for outcome in result.outcomes] == [True, True]
    assert result.passed


def test_the_earliest_alarm_is_the_one_that_caught_it() -> None:
    late, early = alarm(at_ms=1_200_000, name="late"), alarm(at_ms=1_010_000, name="early")
    outcome = score(INCIDENTS, [late, early]).outcomes[0]
    assert outcome.caught == early
    assert outcome.also == (late,)


def test_another_kind_on_the_same_service_is_related_and_does_not_catch() -> None:
    result = score([SPIKE], [alarm("latency"), alarm(None)])
    assert result.outcomes[0].caught is None
    assert len(result.outcomes[0].related) == 2
    assert result.false == ()
    assert not result.passed


def test_an_alarm_before_the_onset_is_false() -> None:
    early = alarm(at_ms=SPIKE.from_ms - 1)
    assert score(INCIDENTS, [early]).false == (early,)


def test_an_alarm_after_the_grace_is_false_and_within_it_is_not() -> None:
    end = SPIKE.to_ms + GRACE_MS
    assert score([SPIKE], [alarm(at_ms=end)]).false
    assert score([SPIKE], [alarm(at_ms=end - 1)]).passed


def test_the_right_kind_on_another_service_is_false() -> None:
    wrong = alarm(service="search")
    result = score([SPIKE], [wrong])
    assert result.false == (wrong,)
    assert result.outcomes[0].caught is None


def test_silence_catches_nothing() -> None:
    result = score(INCIDENTS, [])
    assert not result.passed
    assert [outcome.caught for outcome in result.outcomes] == [None, None]
    assert [outcome.missed for outcome in result.outcomes] == [i.describe() for i in INCIDENTS]


ROUTING = Incident("routing", "support", 2_000_000, 2_600_000, 0.4, "nova-2", 0.05)


def test_routing_is_caught_by_its_share_and_its_new_model_together_only() -> None:
    share, model = alarm("routing", "support", 2_400_000), alarm("new_model", "support", 2_010_000)
    both = score([ROUTING], [share, model])
    assert both.passed
    assert (both.outcomes[0].caught, both.outcomes[0].new_model) == (share, model)
    assert score([ROUTING], [share]).outcomes[0].missed == "nova-2 appeared unnoticed"
    assert score([ROUTING], [model]).outcomes[0].missed == ROUTING.describe()


def test_a_new_model_where_there_is_none_catches_nothing() -> None:
    result = score([LOOP], [alarm("new_model", "support", 2_010_000)])
    assert result.outcomes[0].new_model is None
    assert len(result.outcomes[0].related) == 1


alarms = st.builds(
    alarm,
    st.sampled_from([*KINDS, "new_model", None]),
    st.sampled_from(["checkout", "support", "search"]),
    st.integers(900_000, 5_000_000),
    st.text("abc", min_size=1, max_size=8),
)


@given(st.lists(alarms, max_size=12, unique_by=lambda a: (a.alert_id, a.at_ms)))
def test_every_alarm_is_counted_exactly_once_whatever_the_order(given_alarms: list[Alarm]) -> None:
    result = score([*INCIDENTS, ROUTING], given_alarms)
    counted = list(result.false)
    for outcome in result.outcomes:
        counted += outcome.alarms
    assert sorted(counted, key=repr) == sorted(given_alarms, key=repr)
    assert score([*INCIDENTS, ROUTING], reversed(given_alarms)) == result


def test_every_shipped_detector_speaks_of_a_kind_and_every_kind_has_one() -> None:
    assert set(KIND_OF_DETECTOR) <= set(DETECTORS)
    assert set(KIND_OF_DETECTOR.values()) == {*KINDS, "new_model"}


def test_every_alarm_is_explained_or_false_and_never_both() -> None:
    alarms = [
        alarm(name="first"),
        alarm(at_ms=1_120_000, name="again"),
        alarm("latency", name="besides"),
        alarm("spike", "search", name="wrong"),
    ]
    result = score(INCIDENTS, alarms)
    assert result.explained == {
        "first": ("caught", SPIKE), "again": ("also", SPIKE), "besides": ("related", SPIKE),
    }  # fmt: skip
    assert {a.alert_id for a in result.false} == {"wrong"}
