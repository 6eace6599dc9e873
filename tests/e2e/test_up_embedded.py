"""A newcomer starts `tocsin up --embedded`, runs the line it prints, and sees an alert."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.embedded import LOOPBACK, free_port

_READY_S, _ALERT_S, _ENDED_S = 60.0, 30.0, 15.0


class Started:
    """The command as a person starts it: no setting, both outputs to be read."""

    def __init__(self, folder: Path) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self.metrics_port = free_port()
        command = [sys.executable, "-m", "tocsin", "up", "--embedded"]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, "--metrics-port", str(self.metrics_port)],
                stdout=out, stderr=err, env=environment(),
            )  # fmt: skip

    def wait_for(self, what: str, where: Path, seconds: float) -> str:
        """Return the line of `where` that holds `what`, once it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in where.read_text().splitlines():
                if what in line:
                    return line
            assert self.process.poll() is None, self.err.read_text()
            time.sleep(0.05)
        raise AssertionError(f"no {what!r} in {seconds} s:\n{where.read_text()}")

    def counted(self, metric: str) -> float:
        """What /metrics tells of a counter, all its series added up."""
        url = f"http://{LOOPBACK}:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as reply:
            text: str = reply.read().decode()
        lines = (
            line for line in text.splitlines() if line.startswith((metric + " ", metric + "{"))
        )
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_printed_line_makes_it_ring_and_it_ends_as_asked(
    started: Started, asked: signal.Signals
) -> None:
    command = started.wait_for("see it ring", started.err, _READY_S).split("see it ring")[1]
    sent = subprocess.run(  # noqa: S602 - as it is pasted
        command, shell=True, capture_output=True, text=True, timeout=60, env=environment(),
        check=False,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert sent.stderr == ""
    began = time.monotonic()
    line = started.wait_for("critical runaway_loop", started.out, _ALERT_S)
    assert "dev/example" in line
    assert time.monotonic() - began < 10.0
    assert started.counted("tocsin_spans_aggregated_total") == 11

    began = time.monotonic()
    started.process.send_signal(asked)
    assert started.process.wait(_ENDED_S) == 0, started.err.read_text()
    assert "Traceback" not in started.err.read_text()
    assert len(started.err.read_text().splitlines()) == 6, "nothing but how to use it"
    bootstrap = command.split("--bootstrap ")[1].split()[0]
    host, port = bootstrap.split(":")
    with pytest.raises(OSError, match="refused"), socket.create_connection((host, int(port)), 1):
        pass


def test_it_ends_well_while_it_still_starts(started: Started) -> None:
    time.sleep(0.6)
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(_ENDED_S) in {0, -signal.SIGTERM}, started.err.read_text()
    assert "Traceback" not in started.err.read_text()
