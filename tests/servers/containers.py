"""Kafka and Redis in Docker, where a Docker daemon of this machine answers."""

from __future__ import annotations

import os
import socket
import time
from abc import abstractmethod
from typing import Any

from servers.base import Kafka, Redis, Server, Unavailable
from tocsin.embedded import LOOPBACK, free_port, pongs, speaks_kafka

KAFKA_IMAGE, REDIS_IMAGE = "apache/kafka:4.1.0", "redis:7.4-alpine"
_READY_S = 90.0
_SETTINGS = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_MESSAGE_MAX_BYTES": "16777216",
    "KAFKA_LOG_RETENTION_MS": "-1",
}


class Container(Server):
    """A container whose one port is published on loopback only."""

    takes = "some seconds; a minute or two where Docker must pull the image"

    def __init__(self, image: str, inside: int, env: dict[str, str], port: int) -> None:
        from testcontainers.core.container import DockerContainer

        self._port = port
        self._container = DockerContainer(image, env=env)
        # host and port; testcontainers' own setter takes a port alone and binds every interface
        ports: dict[str, Any] = self._container.ports
        ports[str(inside)] = (LOOPBACK, port)
        self._created = False

    def start(self) -> None:
        from docker.errors import DockerException

        try:
            if self._created:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._created = True
        except DockerException as error:
            msg = f"Docker could not start {self._container.image}: {error}"
            raise Unavailable(msg) from error
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            if time.monotonic() > deadline:
                msg = f"{self._container.image} did not answer within {_READY_S:.0f} s"
                raise Unavailable(msg)
            time.sleep(0.1)

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def revive(self) -> None:
        if not self._answers():
            self.start()

    def close(self) -> None:
        self._container.stop()

    @abstractmethod
    def _answers(self) -> bool: ...


class DockerKafka(Container, Kafka):
    real = True

    def __init__(self) -> None:
        port = free_port()
        self.bootstrap = f"{LOOPBACK}:{port}"
        self.name = f"Apache Kafka ({KAFKA_IMAGE}, Docker)"
        env = {**_SETTINGS, "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{self.bootstrap}"}
        super().__init__(KAFKA_IMAGE, 9092, env, port)

    def _answers(self) -> bool:
        logs: bytes = self._container.get_wrapped_container().logs()
        return b"Kafka Server started" in logs and speaks_kafka(self._port)

    @staticmethod
    def plan() -> str:
        ping()
        return f"Apache Kafka ({KAFKA_IMAGE}, Docker)"


class DockerRedis(Container, Redis):
    def __init__(self) -> None:
        port = free_port()
        self.url = f"redis://{LOOPBACK}:{port}/0"
        self.name = f"Redis ({REDIS_IMAGE}, Docker)"
        super().__init__(REDIS_IMAGE, 6379, {}, port)

    def _answers(self) -> bool:
        return pongs(self._port)

    @staticmethod
    def plan() -> str:
        ping()
        return f"Redis ({REDIS_IMAGE}, Docker)"


def ping() -> None:
    """Raise Unavailable unless a Docker daemon on this machine answers."""
    # Asked by hand: when nobody answers, the Docker client leaks its socket, and says so.
    kind, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    if kind != "unix":
        msg = "Docker is on another machine"
        raise Unavailable(msg)
    try:
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.settimeout(3)
            daemon.connect(path)
            daemon.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            answer = daemon.recv(64)
    except OSError:
        answer = b""
    if b" 200 " not in answer:
        msg = "no Docker daemon answers"
        raise Unavailable(msg)
