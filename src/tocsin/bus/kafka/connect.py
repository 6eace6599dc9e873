"""Connecting to a broker within a bounded time, and one sentence when that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ssl import SSLError
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from tocsin.bus.base import BrokerUnavailable
from tocsin.errors import UserError
from tocsin.settings import KafkaConfig

_RETRY_S = 0.2
_PROBE_S = 2.0


def client_settings(config: KafkaConfig) -> dict[str, Any]:
    """Return what every aiokafka client needs to connect and to prove who it is."""
    settings: dict[str, Any] = {
        "bootstrap_servers": config.bootstrap,
        "client_id": "tocsin",
        "security_protocol": config.security_protocol,
        # New partitions are noticed within a minute, not five.
        "metadata_max_age_ms": 60_000,
    }
    if config.security_protocol.endswith("SSL"):
        settings["ssl_context"] = ssl_context(config)
    if config.security_protocol.startswith("SASL") and config.sasl_password is not None:
        settings["sasl_mechanism"] = config.sasl_mechanism
        settings["sasl_plain_username"] = config.sasl_username
        settings["sasl_plain_password"] = config.sasl_password.get_secret_value()
    return settings


def ssl_context(config: KafkaConfig) -> Any:
    """Return the TLS context of the configuration. Raises UserError for files it cannot use."""
    key = config.ssl_key_password
    paths = (config.ssl_cafile, config.ssl_certfile, config.ssl_keyfile)
    cafile, certfile, keyfile = (None if path is None else str(path) for path in paths)
    try:
        return create_ssl_context(
            cafile=cafile,
            certfile=certfile,
            keyfile=keyfile,
            password=None if key is None else key.get_secret_value(),
        )
    except (OSError, SSLError) as error:
        raise UserError(
            f"The TLS files of kafka.ssl_cafile, ssl_certfile, ssl_keyfile cannot be used: {error}."
        ) from None


async def reach(config: KafkaConfig) -> AIOKafkaAdminClient:
    """Return a connected admin client. Raises BrokerUnavailable after `connect_timeout_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + config.connect_timeout_s
    while True:
        client = AIOKafkaAdminClient(**client_settings(config), request_timeout_ms=15_000)
        try:
            async with asyncio.timeout_at(deadline):
                await client.start()
                await client.describe_cluster()
        except (KafkaError, OSError, TimeoutError):
            await client.close()
            if loop.time() + _RETRY_S >= deadline:
                raise BrokerUnavailable(await _sentence(config, client)) from None
            await asyncio.sleep(_RETRY_S)
        except BaseException:
            await client.close()
            raise
        else:
            return client


async def within(
    config: KafkaConfig,
    start: Callable[[], Awaitable[None]],
    doing: str,
    seconds: float | None = None,
) -> None:
    """Await `start`, at most `seconds` (default: connect_timeout_s), else BrokerUnavailable."""
    seconds = config.connect_timeout_s if seconds is None else seconds
    try:
        async with asyncio.timeout(seconds):
            await start()
    except (KafkaConnectionError, TimeoutError):
        raise BrokerUnavailable(
            f"The Kafka broker at {config.bootstrap} did not {doing} in {seconds:g} s; "
            "look at its log, and at the ACLs of the user Tocsin connects as."
        ) from None


async def _sentence(config: KafkaConfig, client: AIOKafkaAdminClient) -> str:
    """Say which address failed, how, and what to do about it."""
    where = f"No Kafka broker could be reached at {config.bootstrap}"
    waited = f"in {config.connect_timeout_s:g} s"
    if (reason := await _refusal(config.bootstrap)) is not None:
        return (
            f"{where} {waited} ({reason}); start one, or set kafka.bootstrap "
            "(TOCSIN_KAFKA__BOOTSTRAP), or run `tocsin up --embedded`."
        )
    # The address Kafka advertises differs from the one we connected to: common in containers.
    named = [f"{b.host}:{b.port}" for b in client._client.cluster.brokers()]  # noqa: SLF001
    for address in named:
        if (reason := await _refusal(address)) is not None:
            return (
                f"The Kafka broker at {config.bootstrap} tells clients to use {address}, which "
                f"cannot be reached ({reason}); mend the broker's advertised.listeners."
            )
    return (
        f"{where} {waited}: something answers there, but not as Kafka over "
        f"{config.security_protocol}; check kafka.security_protocol and the credentials."
    )


async def _refusal(addresses: str) -> str | None:
    """Return why no TCP connection to any of the addresses comes about; None when one does."""
    reason = "unreachable"
    for address in addresses.split(","):
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(_PROBE_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except TimeoutError:
            reason = "no answer"
        except OSError as error:
            reason = _in_words(error)
        else:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            return None
    return reason


def _in_words(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror or "unreachable").lower()
