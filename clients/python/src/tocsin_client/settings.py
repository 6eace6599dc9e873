"""How to reach the broker, from arguments or from the variables that Tocsin itself reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

#: Tocsin's default, good enough to try things out: anyone can compute the fingerprints it makes.
DEV_FINGERPRINT_KEY: Final = "tocsin-development-key"
_MAX_PORT = 65_535
#: Setting -> the one set of values that makes sense.
_CHOICES: Final[Mapping[str, frozenset[str]]] = {
    "security_protocol": frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}),
    "sasl_mechanism": frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}),
    "compression": frozenset({"none", "gzip", "snappy", "lz4", "zstd"}),
}
_ELSEWHERE: Final[Mapping[str, str]] = {
    "topic_prefix": "TOCSIN_TOPICS__PREFIX",
    "fingerprint_key": "TOCSIN_FINGERPRINT_KEY",
}


class SettingsError(ValueError):
    """A setting that cannot be right: one sentence with the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Names, defaults and meaning are those of Tocsin's own `kafka.*` and `topics.prefix`.

    The fingerprint key must be the one ingest has if other services leave fingerprinting to
    it. Raises SettingsError.
    """

    bootstrap: str = "localhost:9092"  # host:port, several with commas
    topic_prefix: str = "tocsin"
    fingerprint_key: str = field(default=DEV_FINGERPRINT_KEY, repr=False)
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None  # None: the system's store
    ssl_certfile: str | None = None  # this and its key: mutual TLS
    ssl_keyfile: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    compression: str = "none"  # snappy, lz4 and zstd need aiokafka's extra of that name
    connect_timeout_s: float = 10.0  # of one attempt; attempts go on until the close

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{_variable(name)} must be one of {sorted(choices)}.")
        for address in self.bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
                raise SettingsError(f"{_variable('bootstrap')}: {address!r} is not host:port.")
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password
        ):
            raise SettingsError(
                f"{_variable('security_protocol')} is {self.security_protocol}, which also needs "
                "sasl_username and sasl_password."
            )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise SettingsError("Set both of ssl_certfile and ssl_keyfile, or neither.")
        if not self.fingerprint_key.strip("*"):
            raise SettingsError(f"{_variable('fingerprint_key')} is empty or redacted.")
        if not self.connect_timeout_s > 0:
            raise SettingsError(f"{_variable('connect_timeout_s')} must be above 0.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """What is `given` and not None, else what the environment says, else the defaults.

        The variables are Tocsin's: TOCSIN_KAFKA__BOOTSTRAP, TOCSIN_KAFKA__SASL_PASSWORD_FILE,
        TOCSIN_TOPICS__PREFIX, TOCSIN_FINGERPRINT_KEY ...; secrets may come from a file. The
        YAML file of TOCSIN_CONFIG is not read. Raises SettingsError.
        """
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for setting in fields(cls):
            name, variable = setting.name, _variable(setting.name)
            if variable in environ:
                found[name] = environ[variable]
            elif f"{variable}_FILE" in environ and not setting.repr:  # a secret
                found[name] = _read(f"{variable}_FILE", environ)
        found |= {name: value for name, value in given.items() if value is not None}
        try:
            found["connect_timeout_s"] = float(found.get("connect_timeout_s", 10.0))
        except ValueError:
            raise SettingsError(f"{_variable('connect_timeout_s')} is no number.") from None
        settings = cls(**found)
        if environ.get("TOCSIN_PROFILE") == "production" and settings.has_dev_key:
            raise SettingsError(
                "TOCSIN_FINGERPRINT_KEY (or TOCSIN_FINGERPRINT_KEY_FILE) must be set in "
                "TOCSIN_PROFILE=production."
            )
        return settings

    @property
    def has_dev_key(self) -> bool:
        """Whether fingerprints are made with the key that everyone knows."""
        return self.fingerprint_key == DEV_FINGERPRINT_KEY

    @property
    def spans_topic(self) -> str:
        """Where spans go."""
        return f"{self.topic_prefix}.spans.v1"

    @property
    def changes_topic(self) -> str:
        """Where changes go."""
        return f"{self.topic_prefix}.changes.v1"


def _variable(name: str) -> str:
    return _ELSEWHERE.get(name, f"TOCSIN_KAFKA__{name.upper()}")


def _read(variable: str, environ: Mapping[str, str]) -> str:
    try:
        return Path(environ[variable]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            f"{variable}: cannot read {environ[variable]}; mount the secret or mend the path."
        ) from None
