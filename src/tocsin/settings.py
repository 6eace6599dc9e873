"""The sections of the configuration tree, each with its bounds. `config.py` puts them together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from tocsin.errors import UserError
from tocsin.log import Format, Level

_MAX_PORT = 65_535


def with_secrets(model: type[BaseModel], data: Any) -> Any:
    """Fill `x` from the file that `x_file` names, wherever `x` is a secret. Raises UserError."""
    if not isinstance(data, Mapping):
        return data
    filled = dict(data)
    for name in (name for name in model.model_fields if f"{name}_file" in model.model_fields):
        path = filled.get(f"{name}_file")
        if path and not filled.get(name):
            try:
                filled[name] = Path(str(path)).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(
                    f"{name}_file: cannot read {path} ({_why(error)}); "
                    "mount the secret or mend the path."
                ) from None
    return filled


def read_yaml(path: Path, name: str, remedy: str) -> Any:
    """What a YAML file holds; `name` is how a sentence calls it. Raises UserError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read {name} {path} ({_why(error)}); {remedy}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        subject = name.replace("the ", "The ")
        raise UserError(f"{subject} {path} is not valid YAML{where}; mend it there.") from None


def _why(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unreadable" if isinstance(error, OSError) else "not UTF-8"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: object) -> object:
        return with_secrets(cls, data)


class KafkaConfig(Section):
    """How to reach the broker."""

    #: host:port, comma-separated for several.
    bootstrap: str = "localhost:9092"
    #: Consumer groups are `<prefix>-ingest`, `-watch`, `-bridge`.
    group_prefix: str = Field("tocsin", min_length=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    #: The CA that signed the broker's certificate; None = the system's store.
    ssl_cafile: Path | None = None
    #: Client certificate and key, for mutual TLS.
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password: SecretStr | None = None
    ssl_key_password_file: Path | None = None
    #: How long start-up may wait for the broker, s.
    connect_timeout_s: float = Field(10.0, gt=0, le=300)
    #: A member silent for longer is thrown out of its group, s.
    session_timeout_s: float = Field(30.0, ge=6, le=1_800)
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    #: Copies of each topic that `tocsin topics` creates. Production wants 3.
    replication: int = Field(1, ge=1, le=10)
    #: Static membership (KIP-345): a restart within the session timeout moves no partition.
    instance_id: str | None = None

    @field_validator("bootstrap")
    @classmethod
    def _addresses(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",")]
        for part in parts:
            host, _, port = part.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
                raise ValueError(f"{part!r} is not host:port")
        return ",".join(parts)

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password
        ):
            raise ValueError(
                "security_protocol SASL_* also needs sasl_username and sasl_password(_file)"
            )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile go together: set both or neither")
        return self


class RedisConfig(Section):
    """How to reach the state store."""

    #: redis:// or rediss:// (TLS); may carry user:password@.
    url: str = Field("redis://localhost:6379/0", repr=False)
    password: SecretStr | None = None
    password_file: Path | None = None
    #: Every key begins with it.
    prefix: str = Field("tocsin", min_length=1, pattern=r"^[A-Za-z0-9_.:-]+$")
    cluster: bool = False
    connect_timeout_s: float = Field(5.0, gt=0, le=300)
    #: How long the counters of a window are kept, s of wall time.
    window_ttl_s: int = Field(10_800, ge=600)

    @model_validator(mode="before")
    @classmethod
    def _put_password_in_url(cls, data: object) -> object:
        """Leave one way to connect: `url`. Runs before _read_secret_files, so it reads too."""
        filled = with_secrets(cls, data)
        if not isinstance(filled, Mapping):
            return data
        password = filled.get("password")
        url = str(filled.get("url", cls.model_fields["url"].default))
        if password and not (parts := urlsplit(url)).password:
            plain = password.get_secret_value() if isinstance(password, SecretStr) else password
            user, host = parts.username or "", parts.netloc.rpartition("@")[2]
            netloc = f"{user}:{quote(str(plain), safe='')}@{host}"
            return {**filled, "url": urlunsplit(parts._replace(netloc=netloc))}
        return filled

    @field_validator("url")
    @classmethod
    def _scheme(cls, value: str) -> str:
        if urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value


class TopicsConfig(Section):
    """Topic names and their size when `tocsin topics` creates them."""

    prefix: str = Field("tocsin", pattern=r"^[A-Za-z0-9._-]{1,180}$")
    spans_partitions: int = Field(8, ge=1, le=10_000)

    @property
    def spans(self) -> str:
        return f"{self.prefix}.spans.v1"

    @property
    def dlq(self) -> str:
        return f"{self.prefix}.spans.v1.dlq"

    @property
    def flushes(self) -> str:
        return f"{self.prefix}.flushes.v1"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}.alerts.v1"

    @property
    def changes(self) -> str:
        return f"{self.prefix}.changes.v1"

    @property
    def feedback(self) -> str:
        return f"{self.prefix}.feedback.v1"


class IngestConfig(Section):
    """How ingest batches. A flush happens at whichever limit comes first."""

    flush_interval_s: float = Field(0.5, ge=0.01, le=60)
    max_records: int = Field(20_000, ge=1, le=1_000_000)
    #: Rejected share of records, 0..1, at which ingest stops instead of draining into the DLQ,
    max_rejected_share: float = Field(0.5, gt=0, le=1)
    #: judged each time that so many records were read.
    min_rejected_records: int = Field(1_000, ge=1)


class WatchConfig(Section):
    """How often each shard is evaluated when no notice asks for it earlier."""

    tick_s: float = Field(1.0, ge=0.05, le=60)
    #: Windows of history that statistical rules ask for before they say anything.
    warmup_windows: int = Field(288, ge=10, le=100_000)
    #: A group of series that opens more than three times this, over a week, must show stronger
    #: evidence from then on.
    false_episodes_per_day: float = Field(0.05, gt=0, le=100)
    #: Critical alerts of statistical rules a service may open in a day; more are warnings.
    pages_per_day: int = Field(5, ge=1, le=1_000)
    #: Days a series must have lived before a baseline of its own may raise a critical alert;
    #: until then such alerts are warnings of low confidence. Fixed limits are not held back.
    young_days: float = Field(21.0, ge=0, le=35)
    #: The pipeline counts as stalled once it is so far behind the clock, s.
    stalled_after_s: float = Field(300.0, ge=1)


class LimitsConfig(Section):
    """Caps on what a producer may send. Beyond them a record goes to the dead-letter topic."""

    max_record_bytes: int = Field(8 << 20, ge=1_024)
    max_depth: int = Field(32, ge=1, le=200)
    max_spans: int = Field(10_000, ge=1)
    #: Attributes of one span, or of one of its events. Long chats that OpenInference flattens
    #: have some thousands.
    max_attributes: int = Field(4_096, ge=1)
    #: Characters of a name; longer names are cut, longer ids refused.
    max_string: int = Field(256, ge=16, le=65_536)


class DlqConfig(Section):
    """What a DLQ record holds of the record that was refused."""

    #: Keep key, bytes and headers as they were, so that `tocsin dlq replay` can send them again.
    #: They may hold prompts and personal data: whoever reads the topic then reads those.
    keep_original: bool = False


class LogConfig(Section):
    """What reaches stderr, and how."""

    level: Level = "info"
    format: Format = "auto"
