"""The publisher: takes spans and changes, and sends them in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self
from uuid import uuid4

from tocsin_client import contract, fingerprint
from tocsin_client.broker import Broker
from tocsin_client.contract import ContractError
from tocsin_client.kinds import ChangeKind, Kind
from tocsin_client.log import Log
from tocsin_client.outbox import Counts, Outbox
from tocsin_client.settings import Settings, SettingsError
from tocsin_client.spans import Span


class Publisher:
    """Publishes spans in the background. Enter it once; leaving it flushes, within a bound."""

    def __init__(
        self,
        bootstrap: str | None = None,
        *,
        service: str,
        env: str | None = None,
        release: str | None = None,
        topic: str | None = None,
        settings: Settings | None = None,
        broker: Broker | None = None,
        buffer: int = 10_000,
        close_timeout_s: float = 5.0,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Connects to nothing yet; raises SettingsError only for what cannot be right.

        What is not given comes from `settings`, by default from the environment
        (`Settings.from_env`). At most `buffer` spans wait for the broker.
        """
        if settings is not None and bootstrap is not None:
            raise SettingsError("Give bootstrap or settings, not both; settings has a bootstrap.")
        if settings is None:
            settings = Settings.from_env(bootstrap=bootstrap)
        self._settings, self._broker = settings, broker
        self._topic = topic or settings.spans_topic
        self._common = {"service": service, "env": env, "release": release}
        self._close_timeout_s = close_timeout_s
        self._key = settings.fingerprint_key.encode()
        self._log = Log()
        self.counts = Counts()
        self._outbox = Outbox(self._topic, buffer, self.counts, self._log)
        self.now_ns = now_ns

    async def __aenter__(self) -> Self:
        if self._settings.has_dev_key:
            self._log.warn_once("fingerprint_key is not set: anyone can compute these fingerprints")
        self._outbox.start(self._broker or _kafka(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what waits, for at most `close_timeout_s`; the rest counts as dropped."""
        await self._outbox.close(self._close_timeout_s)

    def run(
        self,
        *,
        agent: str | None = None,
        workflow: str | None = None,
        route: str | None = None,
        trace_id: str | None = None,
        parent_id: str | None = None,
    ) -> Span:
        """A run: one trace, whose root is an agent (or, without one, a workflow).

        Give `trace_id`, and `parent_id`, to go on with a run that began elsewhere.
        """
        kind = Kind.WORKFLOW if agent is None else Kind.AGENT
        names = {"agent": agent, "workflow": workflow, "route": route}
        return Span(self, trace_id or uuid4().hex, parent_id, kind, names)

    def fingerprint(self, content: object) -> str | None:
        """The fingerprint ingest would make of `content`; None if it has no form as JSON."""
        try:
            return fingerprint.fingerprint(content, self._key)
        except (TypeError, ValueError):
            self._log.warn_once(
                "tool content without a JSON form has no fingerprint: no loop is seen"
            )
            return None

    def publish(self, fields: Mapping[str, object]) -> None:
        """Take a finished span (fields of `contract.SPAN`) for sending. Never blocks or raises."""
        whole = self._common | {k: v for k, v in fields.items() if v is not None}
        try:
            value = contract.span(whole)
        except ContractError as error:
            self.counts.invalid += 1
            self._log.warn_once(f"a span is against the contract and is left out: {error}")
            return
        self._outbox.put(self._topic, str(whole["trace_id"]).encode(), value)

    def change(
        self,
        kind: ChangeKind | str,
        *,
        name: str | None = None,
        version: str | None = None,
        variant: str | None = None,
        service: str | None = None,
        env: str | None = None,
        at: int | str | None = None,
    ) -> None:
        """Tell of a change that takes effect now, or at `at`; fields of `contract.CHANGE`.

            publisher.change("deploy", version="1.4.2")
            publisher.change("flag", name="new-planner", variant="on")

        `at` is in nanoseconds since the epoch, or ISO 8601. Never blocks, never raises.
        """
        service = service or self._common["service"]
        fields = {
            "kind": kind, "service": service, "env": env or self._common["env"] or "default",
            "name": name, "version": version, "variant": variant,
            "at": self.now_ns() if at is None else at, "source": "tocsin_client",
        }  # fmt: skip
        try:
            value = contract.change(fields)
        except ContractError as error:
            self.counts.invalid += 1
            self._log.warn_once(f"a change is against the contract and is left out: {error}")
            return
        self._outbox.put(self._settings.changes_topic, str(service).encode(), value)


def _kafka(settings: Settings) -> Broker:
    from tocsin_client.kafka import KafkaBroker  # loads aiokafka, and only here

    return KafkaBroker(settings)
