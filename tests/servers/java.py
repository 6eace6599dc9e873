"""A real Apache Kafka as a child process: one node, broker and controller, jars from Maven."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from progress import tell
from servers.base import Kafka, Process, Unavailable
from tocsin.embedded import LOOPBACK, Child, free_port
from tocsin.errors import UserError

VERSION = "4.1.0"
#: Under the repository, not under HOME: CI starts with an empty home.
JARS = Path(__file__).parents[2] / ".cache" / f"kafka-{VERSION}"
_MIN_JAVA = 17
_CLUSTER = "dG9jc2luLXRlc3RzLTAwMQ"  # any 16 bytes in base64
_JAVA = (
    "java",
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",  # two cores are shared by all of a test
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-cp",
    f"{JARS}{os.sep}*",
)
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A message of 10 MB must get through, to be refused by us and not by the broker.
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
socket.request.max.bytes=33554432
# Tests write event times of any age: nothing may expire under them.
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
# A killed broker may register again only after its old session: 9 s unless told.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class JavaKafka(Process, Kafka):
    """Apache Kafka in a JVM. Its topics live until the test session ends."""

    real = True
    takes = "about ten seconds"

    def __init__(self) -> None:
        super().__init__(self._launch_broker)
        self.name = f"Apache Kafka {VERSION} (java)"
        port, controller = free_port(), free_port()
        self.bootstrap = f"{LOOPBACK}:{port}"
        self._folder = tempfile.TemporaryDirectory(prefix="tocsin-kafka-")
        self._settings = Path(self._folder.name) / "server.properties"
        self._settings.write_text(
            _PROPERTIES.format(
                host=LOOPBACK, port=port, controller=controller, logs=f"{self._folder.name}/logs"
            )
        )

    @staticmethod
    def plan() -> str:
        """Name what would serve. Raises Unavailable without java 17 and mvn (or the jars)."""
        if shutil.which("java") is None:
            msg = "no java on PATH"
            raise Unavailable(msg)
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
        found = re.search(r'version "(\d+)', said.stderr + said.stdout)
        if found is None or int(found[1]) < _MIN_JAVA:
            msg = f"Kafka {VERSION} needs Java {_MIN_JAVA}"
            raise Unavailable(msg)
        if not JARS.is_dir() and shutil.which("mvn") is None:
            msg = "no mvn on PATH"
            raise Unavailable(msg)
        return f"Apache Kafka {VERSION} (java)"

    def start(self) -> None:
        _fetch_jars()
        if not (Path(self._folder.name) / "logs").exists():
            _run(
                [*_JAVA, "kafka.tools.StorageTool", "format"], "-t", _CLUSTER, "-c", self._settings
            )
        super().start()

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()

    def _launch_broker(self) -> Child:
        child = Child([*_JAVA, "kafka.Kafka", str(self._settings)])
        try:
            # Printed once the broker is unfenced; its port answers before that.
            child.wait_until(lambda: "Kafka Server started" in child.tail(), self.name, 60)
        except UserError as error:
            raise Unavailable(str(error)) from error
        return child


def _fetch_jars() -> None:
    """Copy the broker's jars, 43 MB, into the cache; whole or not at all."""
    if JARS.is_dir():
        return
    tell(f"Maven fetches Apache Kafka {VERSION}, 43 MB, once: half a minute on a fast line")
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS.parent) as folder:
        pom = Path(__file__).with_name("pom.xml")
        into = Path(folder) / "jars"
        mvn = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        _run(mvn, f"-DoutputDirectory={into}")
        if not JARS.is_dir():  # another session may have been faster
            into.rename(JARS)


def _run(command: list[str], *rest: str | Path) -> None:
    done = subprocess.run(
        [*command, *map(str, rest)], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        msg = f"{command[0]} failed: {said[-1] if said else 'it said nothing'}"
        raise Unavailable(msg)
