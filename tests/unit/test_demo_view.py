"""The demo's picture: fits 80 columns, tells what happened, needs no colour and no terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from tocsin.demo.incidents import MINUTE_MS, scenario
from tocsin.demo.profiles import FLEET
from tocsin.demo.scene import Scene
from tocsin.demo.scoring import Alarm
from tocsin.demo.view import (
    PlainView,
    alarm_line,
    live_view,
    number,
    others,
    picture,
    span,
    summary,
    verdict,
)

LIVE_MS = 1_763_812_800_000
RULE_WITH_A_LONG_NAME = "latency_of_model_calls_regression"


@pytest.fixture
def scene() -> Scene:
    """Half-way through, with two incidents caught and one alert out of the blue."""
    incidents = scenario(7, [profile.service for profile in FLEET], LIVE_MS)
    scene = Scene(7, 90.0, LIVE_MS - 300 * MINUTE_MS, LIVE_MS, LIVE_MS + 75 * MINUTE_MS, incidents)
    scene.phase, scene.servers, scene.published = "live", "Tansu v0.6.0 at 127.0.0.1:1", 1_234_567
    scene.reach(LIVE_MS + 40 * MINUTE_MS, 30.0)
    for index, incident in enumerate(incidents[:2]):
        scene.alarms.append(Alarm(
            f"a{index}", RULE_WITH_A_LONG_NAME, incident.kind, incident.service, "critical",
            incident.from_ms + 90_000, 31.5, 1834.0, 1204.0, "ms", "slower",
        ))  # fmt: skip
    routing = incidents[0]
    scene.alarms.append(Alarm(
        "n", "new_model", "new_model", routing.service, "info",
        routing.from_ms + 60_000, 31.0, 1.0, 0.0, "calls", "new",
    ))  # fmt: skip
    scene.alarms.append(
        Alarm(
            "b", "spike_runs", "spike", "nowhere", "warning", LIVE_MS, 9.0, 12.0, None, "runs", ""
        )
    )
    return scene


def drawn(scene: Scene, *, colour: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=colour, no_color=not colour)
    console.print(picture(scene))
    console.print(summary(scene))
    return out.getvalue()


def test_the_picture_fits_eighty_columns(scene: Scene) -> None:
    lines = drawn(scene, colour=False).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 45


def test_without_colour_there_is_no_escape_code(scene: Scene) -> None:
    assert "\x1b" not in drawn(scene, colour=False)
    assert "\x1b[" in drawn(scene, colour=True)


def test_the_picture_names_every_incident_and_the_delay_of_a_caught_one(scene: Scene) -> None:
    text = drawn(scene, colour=False)
    for incident in scene.incidents:
        assert incident.service in text
    assert text.count("caught after 1m30s") == 2
    assert "nothing: false" in text


def test_the_live_view_draws_what_the_scene_has_become(scene: Scene) -> None:
    out = io.StringIO()
    with live_view(Console(file=out, width=80, height=40, force_terminal=True), scene):
        scene.published = 7_654_321
    assert "7,654,321 published" in out.getvalue()


@pytest.mark.parametrize("phase", ["starting", "back-fill", "live", "settling", "done"])
def test_every_phase_can_be_drawn_before_anything_has_happened(phase: str) -> None:
    bare = Scene(1, 90.0, 0, 10, 20, ())
    bare.phase = phase  # type: ignore[assignment]
    assert "no alert yet" in drawn(bare, colour=False)


def test_plain_lines_tell_each_alert_once_and_every_phase(scene: Scene) -> None:
    out = io.StringIO()
    with PlainView(Console(file=out, width=80), scene) as view:
        view.update()
        view.update()
        scene.phase = "settling"
        view.update()
    text = out.getvalue()
    assert text.count("ALERT") == 4
    assert text.count("live: incidents happen") == 1
    assert text.count("settling:") == 1
    assert "\x1b" not in text


def test_the_verdict_has_a_line_an_incident_and_one_of_false_alerts(scene: Scene) -> None:
    lines = verdict(scene, scene.score())
    assert sum(line.startswith("caught") for line in lines) == 2
    assert sum(line.startswith("MISSED") for line in lines) == 3
    assert lines[-1].startswith("false alerts: 1 (spike_runs nowhere at ")
    assert lines[1] == "        also: new_model (+1m00s)"
    assert re.search(r"after 1m30s of event time, \d+\.\d s of wall time", lines[0])


def test_every_alert_is_explained_by_an_incident_or_called_false(scene: Scene) -> None:
    routing, latency = scene.incidents[:2]
    related = Alarm(
        "r", "tokens_tail", None, latency.service, "warning",
        latency.from_ms + 120_000, 33.0, 14_000.0, 2780.0, "tokens", "",
    )  # fmt: skip
    scene.alarms.append(related)
    lines = [alarm_line(scene, alarm) for alarm in scene.alarms]
    assert f"(catches the routing incident of {routing.service}, 1m30s after its onset)" in lines[0]
    assert f"(catches the routing incident of {routing.service}, 1m00s after its onset)" in lines[2]
    assert "(false: no incident explains it)" in lines[3]
    assert (
        f"(follows from the latency incident of {latency.service}, 2m00s after its onset)"
        in lines[4]
    )
    rest = others(scene, scene.score())
    assert len(rest) == 3, "a headline, and the two that caught nothing"
    assert "spike_runs nowhere at " in rest[1]
    assert rest[1].endswith("false: no incident explains it")
    assert "tokens_tail" in rest[2]
    assert latency.service in rest[2]


def test_when_every_alert_caught_something_there_are_no_others(scene: Scene) -> None:
    del scene.alarms[3]
    assert others(scene, scene.score()) == []


def test_what_needs_no_baseline_says_so_and_has_no_empty_value(scene: Scene) -> None:
    assert ": 12, no baseline needed (" in alarm_line(scene, scene.alarms[3])
    assert "expected -" not in alarm_line(scene, scene.alarms[3])
    (row,) = (line for line in drawn(scene, colour=False).splitlines() if "nowhere" in line)
    assert row.split()[-4:] == ["nowhere", "12", "nothing:", "false"]


def test_the_rate_is_that_of_the_last_seconds(scene: Scene) -> None:
    for second in range(10):
        scene.measure(float(second), 1_000 * second if second < 5 else 20_000 * second)
    assert scene.rate == pytest.approx(20_000)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [(None, "ms", "?"), (0.62, "share", "62%"), (1834.0, "ms", "1.83 s"), (12.5, "usd", "$12.50"),
     (1_200_000, "tokens", "1.2M"), (12_345, "runs", "12k"), (3, "calls", "3"), (0.0, "runs", "0"),
     (250_000, "ms", "250 s")],
)  # fmt: skip
def test_numbers_are_short(value: float | None, unit: str, said: str) -> None:
    assert number(value, unit) == said
    assert len(said) <= 8


def test_lengths_of_time_are_said_in_minutes_and_seconds() -> None:
    assert [span(s) for s in (0, 59.6, 61, 3600)] == ["0s", "1m00s", "1m01s", "60m00s"]
