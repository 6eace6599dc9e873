"""Outlets: whole lines, the same bytes as on the topic, and mistakes said in a sentence."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from alerts import event
from tocsin.config import UserError
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.notify.sinks import open_sink
from tocsin.notify.sinks.base import SinkUnavailable
from tocsin.notify.sinks.file import FileSink
from tocsin.notify.sinks.stdout import StdoutSink


async def printed(sink_json: bool, *, terminal: bool = False, env: dict[str, str] | None) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, soft_wrap=True, _environ=env or {})
    await StdoutSink(as_json=sink_json, console=console).deliver([event(1), event(2)])
    return out.getvalue()


async def test_a_line_says_what_where_and_how_bad() -> None:
    first, second = (await printed(sink_json=False, env=None)).splitlines()
    for part in ("1970-01-01 00:01:01Z", "FIRING", "warning", "spike", "prod/shop", "spike 1"):
        assert part in first
    assert "spike 2" in second
    assert "\x1b" not in first, "no colours into a file"


async def test_colours_show_on_a_terminal_unless_no_color_is_set() -> None:
    assert "\x1b[" in await printed(sink_json=False, terminal=True, env={"TERM": "xterm"})
    plain = await printed(sink_json=False, terminal=True, env={"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b[33m" not in plain


async def test_json_lines_are_the_events_themselves() -> None:
    lines = (await printed(sink_json=True, env=None)).splitlines()
    assert [AlertEvent.decode(line.encode()) for line in lines] == [event(1), event(2)]


async def test_a_file_grows_by_whole_events_over_many_runs(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    for number in range(3):
        sink = FileSink(path)
        await sink.deliver([event(number), event(number, 1)])
        await sink.close()
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["summary"] for line in lines] == [
        f"spike {n}" for n in range(3) for _ in range(2)
    ]


async def test_a_torn_last_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    path.write_bytes(b'{"half')
    sink = FileSink(path)
    await sink.deliver([event(1)])
    await sink.deliver([event(2)])
    await sink.close()
    torn, *whole = path.read_bytes().splitlines()
    assert torn == b'{"half'
    assert [AlertEvent.decode(line) for line in whole] == [event(1), event(2)]


async def test_a_full_disk_leaves_no_half_event_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alerts.ndjson"
    sink = FileSink(path)
    await sink.deliver([event(1)])
    file = sink._file

    class Full:
        """The file, on a disk with room for ten bytes more."""

        name = str(path)

        def write(self, data: memoryview) -> int:
            file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

    monkeypatch.setattr(sink, "_file", Full())
    with pytest.raises(SinkUnavailable, match="No space left"):
        await sink.deliver([event(2)])
    monkeypatch.setattr(sink, "_file", file)
    await sink.deliver([event(2)])
    await sink.close()
    assert [AlertEvent.decode(x) for x in path.read_bytes().splitlines()] == [event(1), event(2)]


@pytest.mark.parametrize("text", ["slack", "file", "file:", "stdout:x", ""])
def test_an_outlet_that_does_not_exist_is_refused_with_those_that_do(text: str) -> None:
    with pytest.raises(UserError, match="stdout, json or file:PATH"):
        open_sink(text)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        open_sink(f"file:{tmp_path}/missing/alerts")
