"""Configuration: one typed tree, from flags, then environment, then a YAML file, then defaults.

`TOCSIN_KAFKA__BOOTSTRAP=broker:9092` sets `kafka.bootstrap`. Every secret has a `*_file` twin
that names a file to read it from. A wrong setting is one sentence with the remedy.
"""

import datetime as dt
import difflib
import os
import zoneinfo
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tocsin.errors import UserError
from tocsin.settings import (
    DlqConfig,
    IngestConfig,
    KafkaConfig,
    LimitsConfig,
    LogConfig,
    RedisConfig,
    TopicsConfig,
    WatchConfig,
    read_yaml,
    with_secrets,
)
from tocsin.types import CostBudget, QuietHours, Slo

__all__ = ["DEV_FINGERPRINT_KEY", "Config", "UserError", "load", "redact_url"]

#: For development only: it is public, so anyone can compute the fingerprints it makes.
DEV_FINGERPRINT_KEY = "tocsin-development-key"
_PREFIX = "TOCSIN_"


class Config(BaseSettings):
    """All of Tocsin's settings. Build it with `load`; `Config()` is for tests."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )

    #: development allows defaults that production refuses (fingerprint_key).
    profile: Literal["development", "production"] = "development"
    config_file: Path | None = None
    kafka: KafkaConfig = KafkaConfig()
    redis: RedisConfig = RedisConfig()
    topics: TopicsConfig = TopicsConfig()
    ingest: IngestConfig = IngestConfig()
    watch: WatchConfig = WatchConfig()
    limits: LimitsConfig = LimitsConfig()
    dlq: DlqConfig = DlqConfig()
    log: LogConfig = LogConfig()
    #: Units of state and ownership; changing it later means rebuilding the state.
    shards: int = Field(16, ge=1, le=1_024)
    #: Length of a window, s. Must divide a quarter of an hour: history is kept by quarters.
    window_s: int = Field(60, ge=1, le=900)
    #: How long a window waits for stragglers after its end, s.
    lateness_s: float = Field(30.0, ge=0, le=3_600)
    #: A caught-up partition that is silent for so long advances with the clock, s.
    idle_timeout_s: float = Field(10.0, ge=0.1, le=3_600)
    #: How far back a shard that lost its state is rebuilt from the log, s.
    rebuild_horizon_s: int = Field(7_200, ge=60, le=7 * 86_400)
    #: Spans that end further ahead of the clock are dead-lettered, s.
    max_future_s: int = Field(600, ge=0, le=86_400)
    #: Key of the HMAC that stands in for tool arguments and results. Share it among workers.
    fingerprint_key: SecretStr = SecretStr(DEV_FINGERPRINT_KEY)
    fingerprint_key_file: Path | None = None
    #: A folder of rule files; one with the id of a built-in rule replaces it.
    rules_dir: Path | None = None
    #: Your own prices as YAML, model -> USD per million tokens by kind; see run/prices.py.
    prices_file: Path | None = None
    #: Models you expect; any other raises `unexpected_model`. Empty: judge first-seen ones only.
    allowed_models: tuple[str, ...] = ()
    #: IANA zone whose wall clock your traffic follows: Europe/Berlin, America/New_York, UTC.
    timezone: str = "UTC"
    #: Days on which traffic may drop (2026-12-25, ...); they also say nothing about usual days.
    holidays: tuple[dt.date, ...] = ()
    #: When traffic may drop: `22:00-06:00`, `sat-sun 00:00-24:00`. By itself Tocsin takes hours
    #: for quiet that usually have less than a fifth of the median hour's traffic.
    quiet_hours: tuple[str, ...] = ()
    #: Tools that poll: the same call without progress is no loop.
    poll_tools: tuple[str, ...] = ()
    #: Latency objectives: `{service: shop, p95_ms: 5000}`, `{tool: "search*", p99_ms: 800}`,
    #: `{model: "gpt-*", signal: ttft, p95_ms: 1500}`; beyond one, `slo_*` fires.
    slos: tuple[Slo, ...] = ()
    #: Budgets of model calls: `{service: shop, monthly_usd: 900}`, `{model: "gpt-*", daily_usd: 20,
    #: time_zone: Europe/Berlin}`, `{per_call_usd: 0.05}`; each matching series has its own.
    cost_budgets: tuple[CostBudget, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First wins: flags, environment, the file that `config_file` names. No .env file."""
        del dotenv_settings, file_secret_settings
        assert isinstance(init_settings, InitSettingsSource)
        path = init_settings.init_kwargs.get("config_file")
        file = InitSettingsSource(settings_cls, _read_yaml(Path(str(path))) if path else {})
        return init_settings, env_settings, file

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value!r} is no IANA time zone, like Europe/Berlin or UTC") from None
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            QuietHours.parse(text)
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_fingerprint_key(cls, data: dict[str, Any]) -> dict[str, Any]:
        filled: dict[str, Any] = with_secrets(cls, data)
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if 900 % self.window_s:
            raise ValueError(
                f"window_s {self.window_s} must divide 900 (a quarter of an hour), e.g. 60"
            )
        if self.rebuild_horizon_s <= self.window_s + self.lateness_s:
            raise ValueError("rebuild_horizon_s must be longer than window_s plus lateness_s")
        if not self.fingerprint_key.get_secret_value().strip("*"):
            # Anything else that was redacted fails to log in; this would work, and be no secret.
            raise ValueError("fingerprint_key is empty or redacted; put the key itself here")
        if self.profile == "production" and self.has_dev_key:
            raise ValueError(
                "fingerprint_key must be set in profile production (or fingerprint_key_file)"
            )
        return self

    @property
    def has_dev_key(self) -> bool:
        """Whether fingerprints are made with the key that everyone knows."""
        return self.fingerprint_key.get_secret_value() == DEV_FINGERPRINT_KEY

    @property
    def fingerprint_bytes(self) -> bytes:
        """The HMAC key, as bytes."""
        return self.fingerprint_key.get_secret_value().encode()

    def group(self, stage: str) -> str:
        """Return the consumer group of a stage."""
        return f"{self.kafka.group_prefix}-{stage}"

    def redacted(self) -> dict[str, Any]:
        """Return the tree as plain values, safe to print: every secret is `**********`."""
        tree: dict[str, Any] = self.model_dump(mode="json")
        tree["redis"]["url"] = redact_url(self.redis.url)
        if self.has_dev_key:
            tree["fingerprint_key"] = DEV_FINGERPRINT_KEY  # no secret, and it reads back
        return tree


def load(path: Path | None = None, **flags: Any) -> Config:
    """Read the configuration; `path` defaults to TOCSIN_CONFIG. Raises UserError.

    `flags` win over everything, nested as in the tree: `load(kafka={"bootstrap": "b:9092"})`.
    """
    if path is None and os.environ.get("TOCSIN_CONFIG"):
        path = Path(os.environ["TOCSIN_CONFIG"])
    _refuse_misspelt(os.environ)
    if path is not None:
        flags["config_file"] = path
    try:
        return Config(**flags)
    except ValidationError as error:
        raise UserError("; ".join(_sentences(error))) from None


def redact_url(url: str) -> str:
    """Return a URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    netloc = f"{parts.username or ''}:**********@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc))


def _read_yaml(path: Path) -> dict[str, Any]:
    data = read_yaml(path, "the configuration file", "check --config")
    if data is not None and not isinstance(data, dict):
        raise UserError(
            f"The configuration file {path} must hold settings by name, such as `shards: 16`."
        )
    return data or {}


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Refuse TOCSIN_X__Y for an unknown section X: pydantic would silently ignore it.

    Names without `__` pass: Kubernetes injects TOCSIN_SERVICE_HOST and the like by itself.
    """
    known = [f"{_PREFIX}{name.upper()}" for name in Config.model_fields]
    for name in environ:
        section, nested, _ = name.upper().partition("__")
        if nested and section.startswith(_PREFIX) and section not in known:
            close = difflib.get_close_matches(section, known, n=1)
            hint = f"did you mean {close[0]}__...?" if close else "see `tocsin config show`."
            raise UserError(f"The environment variable {name} sets nothing: {hint}")


def _sentences(error: ValidationError) -> Iterator[str]:
    """Turn pydantic's report into one sentence a setting; never shows the value of a secret."""
    for item in error.errors(include_url=False, include_input=False):
        setting = ".".join(str(part) for part in item["loc"])
        reason = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            reason = f"there is no such setting{_suggest(item['loc'])}"
        variable = f"{_PREFIX}{setting.upper().replace('.', '__')}"
        where = f"Setting {setting} ({variable})" if setting else "Settings"
        yield f"{where}: {reason[:1].lower()}{reason[1:]}"


def _suggest(loc: tuple[int | str, ...]) -> str:
    fields = Config.model_fields
    if len(loc) > 1 and (section := fields.get(str(loc[0]))) is not None:
        annotation = section.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields
    close = difflib.get_close_matches(str(loc[-1]), list(fields), n=1)
    return f"; did you mean {close[0]}?" if close else "; see `tocsin config show`"
