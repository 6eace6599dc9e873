"""Which changes an alert tells: those near its onset, of its service, the likeliest first."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alerts import event
from tocsin.flow.alerts.annotate import BEFORE_MS, MOST, READ_MS, ChangeTable, annotated
from tocsin.flow.alerts.contract import AlertChange, AlertEvent
from tocsin.types import Change

ONSET = 100 * 60_000


def alert(**fields: Any) -> AlertEvent:
    at_onset = {"onset": ONSET, "at": ONSET + 180_000, "window_s": 60}
    return event(1).model_copy(update=at_onset | fields)


def change(at_ms: int, value: str = "", **fields: str) -> Change:
    told: dict[str, Any] = {
        "kind": "deploy",
        "env": "prod",
        "service": "shop",
        "name": "shop",
        "source": "",
    }
    return Change(at_ms=at_ms, value=value, **told | fields)


def test_what_was_told_too_late_waits_for_the_next_event() -> None:
    early, late = alert(), alert(at=ONSET + 600_000)
    before = replace(change(ONSET, "1"), reported_ms=early.at - READ_MS)
    after = replace(change(ONSET, "2"), reported_ms=early.at - READ_MS + 1)
    assert told(early, before, after) == ["1"]
    assert told(late, before, after) == ["1", "2"]


def test_told_again_a_change_was_still_told_the_first_time() -> None:
    first, again = (replace(change(ONSET, "1"), reported_ms=at) for at in (ONSET, ONSET + 10**9))
    assert told(alert(), first, again) == told(alert(), again, first) == ["1"]


def told(event: AlertEvent, *changes: Change) -> list[str]:
    return [one.version for one in annotated(event, ChangeTable(changes)).changes]


def test_the_change_nearest_before_the_onset_comes_first_then_the_newest() -> None:
    minute = 60_000
    changes = [
        change(ONSET - 9 * minute, "nine"), change(ONSET - 2 * minute, "two"),
        change(ONSET + minute // 2, "within"), change(ONSET + 2 * minute, "after"),
        change(ONSET + 3 * minute, "last"), change(ONSET + 3 * minute + 1, "future"),
        change(ONSET - BEFORE_MS - 1, "old"), change(ONSET - BEFORE_MS, "edge"),
    ]  # fmt: skip
    assert told(alert(), *changes) == ["within", "two", "nine", "edge", "last"]


def test_only_changes_of_the_service_or_of_all_count() -> None:
    at = ONSET - 1
    changes = [
        change(at, "own"), change(at, "other", service="crm"), change(at, "stage", env="stage"),
        change(at, "everyone", service="*"), change(at, "everywhere", env="*"),
        change(at, "all", env="*", service="*"),
    ]  # fmt: skip
    assert sorted(told(alert(), *changes)) == ["all", "everyone", "everywhere", "own"]


def test_what_the_series_shows_itself_stays_first_and_is_told_once() -> None:
    seen = AlertChange(kind="release", name="shop", version="2", at=ONSET)
    same = AlertChange(kind="deploy", name="shop", version="1", at=ONSET - 1)
    shown = alert(changes=(seen, same))
    assert told(shown, change(ONSET - 1, "1"), change(ONSET - 2, "0")) == ["2", "1", "0"]


def test_without_a_change_the_event_is_the_same() -> None:
    assert annotated(alert(), ChangeTable()) is not None
    assert annotated(alert(), ChangeTable()).encode() == alert().encode()


@given(
    st.lists(
        st.builds(
            change,
            st.integers(ONSET - 40 * 60_000, ONSET + 300_000),
            st.sampled_from(["1", "2"]),
            service=st.sampled_from(["shop", "*", "crm"]),
        ),
        max_size=30,
    ),
    st.integers(0, 99),
)
def test_order_and_repetition_of_what_was_read_do_not_matter(
    changes: list[Change], seed: int
) -> None:
    shuffled = [*changes, *changes]
    random.Random(seed).shuffle(shuffled)
    once, again = ChangeTable(changes), ChangeTable(shuffled)
    assert annotated(alert(), once).encode() == annotated(alert(), again).encode()
    assert len(annotated(alert(), once).changes) <= MOST


def test_what_is_forgotten_is_gone_and_a_flood_stays_bounded() -> None:
    table = ChangeTable(change(i, str(i)) for i in range(1_000))
    assert len(table) == 256
    table.forget(900)
    assert len(table) == 100
    table.forget(5_000)
    assert len(table) == 0
    table.add(change(i, service=f"s{i}") for i in range(10_100))
    assert len(table) == 10_000
    assert table.between("prod", "s99", 0, 10**9) == []
    assert len(table.between("prod", "s10099", 0, 10**9)) == 1
