"""The client reads the variables that Tocsin reads, and means the same by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin import config
from tocsin.config import Config, UserError, load
from tocsin_client import Settings, SettingsError, settings

#: What a service on a cluster with TLS, SASL and a prefix would set.
SET = {
    "TOCSIN_KAFKA__BOOTSTRAP": "a:9092,b:9093",
    "TOCSIN_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "TOCSIN_KAFKA__SASL_MECHANISM": "PLAIN",
    "TOCSIN_KAFKA__SASL_USERNAME": "shop",
    "TOCSIN_KAFKA__SASL_PASSWORD": "secret",
    "TOCSIN_KAFKA__SSL_CAFILE": "ca.pem",
    "TOCSIN_KAFKA__SSL_CERTFILE": "cert.pem",
    "TOCSIN_KAFKA__SSL_KEYFILE": "key.pem",
    "TOCSIN_KAFKA__SSL_KEY_PASSWORD": "word",
    "TOCSIN_KAFKA__COMPRESSION": "gzip",
    "TOCSIN_KAFKA__CONNECT_TIMEOUT_S": "2.5",
    "TOCSIN_TOPICS__PREFIX": "acme",
    "TOCSIN_FINGERPRINT_KEY": "a key",
}


def as_client(server: Config) -> Settings:
    """The server's configuration, as far as the client shares it."""
    kafka = server.kafka.model_dump(mode="json")
    for secret in ("sasl_password", "ssl_key_password"):
        value = getattr(server.kafka, secret)
        kafka[secret] = value and value.get_secret_value()
    shared = {name: kafka[name] for name in Settings.__slots__ if name in kafka}
    return Settings(
        **shared,
        topic_prefix=server.topics.prefix,
        fingerprint_key=server.fingerprint_bytes.decode(),
    )


@pytest.mark.parametrize("environ", [{}, SET])
def test_one_environment_means_one_thing(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    read, server = Settings.from_env(), load()
    assert read == as_client(server)
    assert (read.spans_topic, read.changes_topic) == (server.topics.spans, server.topics.changes)
    assert read.has_dev_key == server.has_dev_key
    assert settings.DEV_FINGERPRINT_KEY == config.DEV_FINGERPRINT_KEY


def test_every_setting_has_a_variable() -> None:
    assert set(SET) == {settings._variable(name) for name in Settings.__slots__}


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    read = Settings.from_env({"TOCSIN_FINGERPRINT_KEY_FILE": str(tmp_path / "key")})
    assert read.fingerprint_key == "from a file"
    with pytest.raises(SettingsError, match="cannot read"):
        Settings.from_env({"TOCSIN_FINGERPRINT_KEY_FILE": str(tmp_path / "none")})


def test_no_secret_is_shown() -> None:
    shown = repr(Settings.from_env(SET))
    assert not [word for word in ("secret", "a key", "'word'") if word in shown]


@pytest.mark.parametrize(
    "wrong",
    [
        {"TOCSIN_KAFKA__BOOTSTRAP": "kafka"},
        {"TOCSIN_KAFKA__BOOTSTRAP": "kafka:0"},
        {"TOCSIN_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
        {"TOCSIN_KAFKA__SECURITY_PROTOCOL": "TLS"},
        {"TOCSIN_KAFKA__SSL_KEYFILE": "key.pem"},
        {"TOCSIN_KAFKA__COMPRESSION": "brotli"},
        {"TOCSIN_KAFKA__CONNECT_TIMEOUT_S": "soon"},
        {"TOCSIN_KAFKA__CONNECT_TIMEOUT_S": "0"},
        {"TOCSIN_FINGERPRINT_KEY": "***"},
        {"TOCSIN_PROFILE": "production"},
    ],
)
def test_what_the_server_refuses_the_client_refuses(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError):
        load()
    with pytest.raises(SettingsError):
        Settings.from_env()
