"""`tocsin explain` finds the one alert that is meant, and says what the topic says of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from alerts import event
from memory_bus import MemoryBus
from tocsin.bus.base import TopicSpec
from tocsin.cli.explain_alert import events_of_alert, print_explanation
from tocsin.config import Config
from tocsin.errors import UserError
from tocsin.flow.alerts.contract import AlertChange, AlertContributor, AlertEvent

CONFIG = Config()
RICH = event(7, 1).model_copy(update={
    "top": (AlertContributor(dimension="model", value="gpt-5", share=0.8),),
    "changes": (AlertChange(kind="deploy", name="shop", version="v9", at=900),),
    "traces": ("trace-1",), "runbook": ("Stop the run.",), "cost_burnt_usd": 12.5,
})  # fmt: skip


def bus_with(*events: AlertEvent) -> MemoryBus:
    async def fill() -> MemoryBus:
        bus = MemoryBus()
        await bus.admin().create([TopicSpec(CONFIG.topics.alerts, 3)])
        producer = bus.producer()
        await producer.start()
        for one in events:
            await producer.send(
                CONFIG.topics.alerts, value=one.encode(), key=one.fingerprint.encode()
            )
        return bus

    return asyncio.run(fill())


def test_an_alert_is_found_by_its_id_an_event_or_its_fingerprint() -> None:
    events = [event(1), event(7), RICH, event(9)]
    for name in (event(7).alert_id, RICH.id[:12], RICH.fingerprint):
        assert events_of_alert(events, name) == [event(7), RICH]


@pytest.mark.parametrize(
    ("name", "sentence"), [("alert-", "4 alerts"), ("nothing", "No alert"), ("al", "at least 6")]
)
def test_what_is_not_one_alert_is_a_sentence(name: str, sentence: str) -> None:
    bus = bus_with(event(1), event(2), event(3), event(4))
    with pytest.raises(UserError, match=sentence):
        print_explanation(name, CONFIG, bus, as_json=False)


def test_a_person_reads_why_what_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation("alert-7", CONFIG, bus_with(event(7), RICH), as_json=False)
    said = capsys.readouterr().out
    for part in ("spike 7", "model gpt-5", "deploy shop v9", "trace-1", "1. Stop the run.", "12.5"):
        assert part in said


def test_a_machine_reads_the_events(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation("alert-7", CONFIG, bus_with(event(1), event(7), RICH), as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["sequence"] for line in lines] == [0, 1]
