"""Settings: who wins, what is refused and how it is said, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tocsin.config import DEV_FINGERPRINT_KEY, Config, UserError, load, redact_url


def test_flags_beat_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tocsin.yaml"
    file.write_text(yaml.safe_dump({"shards": 2, "window_s": 30, "kafka": {"bootstrap": "f:1"}}))
    monkeypatch.setenv("TOCSIN_SHARDS", "4")
    monkeypatch.setenv("TOCSIN_KAFKA__GROUP_PREFIX", "from-env")
    config = load(file, kafka={"bootstrap": "flag:9"})
    assert (config.shards, config.window_s, config.lateness_s) == (4, 30, 30.0)
    assert (config.kafka.bootstrap, config.kafka.group_prefix) == ("flag:9", "from-env")
    assert config.group("watch") == "from-env-watch"


def test_the_file_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tocsin.yaml"
    file.write_text("shards: 3\n")
    monkeypatch.setenv("TOCSIN_CONFIG", str(file))
    assert load().shards == 3
    assert load().config_file == file


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("# nothing yet\n")
    assert load(file) == Config(config_file=file)


@pytest.mark.parametrize(
    ("settings", "setting", "remedy"),
    [
        ({"kafka": {"bootstrap": "localhost"}}, "TOCSIN_KAFKA__BOOTSTRAP", "host:port"),
        ({"kafka": {"bootstrap": "h:0"}}, "kafka.bootstrap", "host:port"),
        ({"kafka": {"bootstarp": "h:1"}}, "kafka.bootstarp", "did you mean bootstrap"),
        ({"shard": 3}, "shard", "did you mean shards"),
        ({"shards": 0}, "TOCSIN_SHARDS", "greater than or equal to 1"),
        ({"shards": "many"}, "TOCSIN_SHARDS", "integer"),
        ({"window_s": 7}, "window_s", "divide 900"),
        ({"rebuild_horizon_s": 60}, "rebuild_horizon_s", "longer than"),
        ({"timezone": "Berlin"}, "TOCSIN_TIMEZONE", "IANA time zone"),
        ({"quiet_hours": ["22-6"]}, "TOCSIN_QUIET_HOURS", "like `mon-fri 20:00-07:00`"),
        ({"lateness_s": float("inf")}, "lateness_s", "finite"),
        ({"redis": {"url": "http://h"}}, "redis.url", "redis://"),
        ({"kafka": {"security_protocol": "SASL_SSL"}}, "kafka", "sasl_username"),
        ({"kafka": {"ssl_certfile": "/c"}}, "kafka", "ssl_keyfile"),
        ({"fingerprint_key": "**********"}, "fingerprint_key", "redacted"),
        ({"fingerprint_key": ""}, "fingerprint_key", "empty"),
        ({"profile": "production"}, "fingerprint_key", "production"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_its_name_and_the_remedy(
    settings: dict[str, object], setting: str, remedy: str
) -> None:
    with pytest.raises(UserError) as told:
        load(**settings)  # type: ignore[arg-type]
    sentence = str(told.value)
    assert setting in sentence
    assert remedy in sentence
    assert "\n" not in sentence


def test_two_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as told:
        load(shards=0, kafka={"bootstrap": "x"})
    assert "shards" in str(told.value)
    assert "kafka.bootstrap" in str(told.value)


def test_a_misspelt_variable_is_refused_and_one_of_kubernetes_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_SERVICE_HOST", "10.0.0.1")
    load()
    monkeypatch.setenv("TOCSIN_KAFAK__BOOTSTRAP", "h:1")
    with pytest.raises(UserError, match="did you mean TOCSIN_KAFKA__"):
        load()


@pytest.mark.parametrize(
    ("text", "why"),
    [(b"a: [", "not valid YAML in line"), (b"- a\n", "by name"), (b"\xff\xfe\x00", "not UTF-8")],
)
def test_an_unreadable_file_is_one_sentence(tmp_path: Path, text: bytes, why: str) -> None:
    file = tmp_path / "tocsin.yaml"
    file.write_bytes(text)
    with pytest.raises(UserError, match=why):
        load(file)


def test_every_secret_can_come_from_a_file_and_none_is_shown(tmp_path: Path) -> None:
    for name in ("sasl", "redis", "key"):
        (tmp_path / name).write_text(f"s3cret-{name}/@:\n")
    config = load(
        profile="production",
        kafka={
            "security_protocol": "SASL_SSL",
            "sasl_username": "u",
            "sasl_password_file": str(tmp_path / "sasl"),
        },
        redis={"url": "rediss://host:6380/1", "password_file": str(tmp_path / "redis")},
        fingerprint_key_file=str(tmp_path / "key"),
    )
    assert config.kafka.sasl_password is not None
    assert config.kafka.sasl_password.get_secret_value() == "s3cret-sasl/@:"
    assert config.redis.url == "rediss://:s3cret-redis%2F%40%3A@host:6380/1"
    assert config.fingerprint_bytes == b"s3cret-key/@:"
    for shown in (str(config.redacted()), repr(config), str(config)):
        assert "s3cret" not in shown


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sasl_password_file: cannot read .*none"):
        load(kafka={"sasl_password_file": str(tmp_path / "none")})


def test_a_bad_value_is_not_repeated_where_it_might_be_a_secret() -> None:
    with pytest.raises(UserError) as told:
        load(fingerprint_key=["s3cret"])
    assert "s3cret" not in str(told.value)


def test_the_development_key_is_known_as_such() -> None:
    assert load().has_dev_key
    assert not load(fingerprint_key="mine").has_dev_key
    assert load().fingerprint_bytes == DEV_FINGERPRINT_KEY.encode()


def test_a_password_in_a_url_is_redacted() -> None:
    assert redact_url("redis://u:p@h:1/0") == "redis://u:**********@h:1/0"
    assert redact_url("redis://h:1/0") == "redis://h:1/0"
