"""The alert contract, v1: what stands on the alerts topic and what every reader may rely on.

One event is one change of one alert. Events are keyed by `fingerprint`, so all events of
one rule and one group stay in order on one partition, and a reader that keeps the
last event of each key holds the full picture. `id` names a change for good: the same input,
replayed, gives the same bytes under the same id, which is why no field holds wall-clock time.
"""

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from tocsin.types import SEP, Severity, Status

#: Where the events come from, as CloudEvents `source`; a URI reference.
SOURCE: Final = "/tocsin"
TYPE_PREFIX: Final = "com.tocsin.alert."
SCHEMA: Final = "schemas/alert.v1.json"

AlertStatus = Literal["firing", "acknowledged", "suppressed", "resolved", "expired"]
#: The statuses of an open alert.
OPEN: Final[frozenset[Status]] = frozenset({"firing", "acknowledged", "suppressed"})


class AlertReason(StrEnum):
    """Why an alert changed: the closed set an event may carry."""

    OPENED = "opened"
    REOPENED = "reopened"  # breached again soon after it ended: the same alert goes on
    FLAPPING = "flapping"  # opened so often that it is one incident until it stays quiet
    ESCALATED = "escalated"  # the severity rose
    UPDATED = "updated"  # as severe as before, but twice as bad or twice as wide
    ACKNOWLEDGED = "acknowledged"
    SUPPRESSED = "suppressed"  # a rule that explains this one is firing
    UNSUPPRESSED = "unsuppressed"  # that rule has ended and this one still breaches
    CLEARED = "cleared"  # the clear condition held long enough
    EXPIRED = "expired"  # no more evidence, or older than the rule's maximum age


class AlertContributor(BaseModel):
    """A dimension value that drives the alert."""

    model_config = ConfigDict(frozen=True)

    dimension: str
    value: str
    share: float = Field(description="Its part of the change, 0..1.")


class AlertChange(BaseModel):
    """A deploy, rollback, flag, prompt, setting or route changed near the onset. Names only."""

    model_config = ConfigDict(frozen=True)

    kind: str
    name: str
    version: str = Field(default="", description="Version or variant from then on.")
    at: int = Field(description="When it took effect, epoch ms.")


class Why(BaseModel):
    """The four things a statistical alert needs, as they stood; each in the rule's own words."""

    model_config = ConfigDict(frozen=True)

    sentence: str = ""
    effect: str = ""
    evidence: str = ""
    volume: str = ""
    persistence: str = ""


Text = Annotated[str, Field(max_length=512)]


class AlertEvent(BaseModel):
    """One change of one alert."""

    model_config = ConfigDict(frozen=True, title="Tocsin alert event, v1")

    version: Literal[1] = 1
    alert_id: str = Field(description="One occurrence: hash of rule, group and onset.")
    fingerprint: str = Field(description="Hash of rule and group; the key on the topic.")
    sequence: int = Field(ge=0, description="0 for the first event of an alert, then +1 each.")
    status: AlertStatus
    previous: AlertStatus | None = Field(description="Status before; null on the first event.")
    reason: AlertReason

    rule: str
    title: Text
    kpi: str = Field(description="The KPI the rule watches, e.g. `errors`.")
    severity: Severity
    env: str
    service: str
    dims: dict[str, str] = Field(description="group_by dimension -> value.")
    series: str = Field(description="Name of the view the series belongs to, or `run`.")
    signal: str
    unit: str

    onset: int = Field(description="Epoch ms of the first bad window's start, or looping step.")
    at: int = Field(description="Event time of this change, epoch ms.")
    window_s: int = Field(ge=0, description="Width of the judged window; 0 for a run.")
    detected_after_s: float = Field(description="From the onset to the first event.")
    duration_s: float | None = Field(default=None, description="Onset to end, once ended.")

    observed: float | None
    expected: float | None
    bound: float | None = Field(description="The limit that was crossed.")
    at_least: bool = Field(description="The window was still open: `observed` can only grow.")
    n: int = Field(description="How many observations the judgement rests on.")
    p: float | None = Field(description="Calibrated; null for structural rules.")
    score: float = Field(description="1.0 is the edge.")
    baseline: str
    confidence: Literal["low", "normal", "high"]
    summary: Text
    why: Why = Why()

    tokens_burnt: int | None = None
    cost_burnt_usd: float | None = None
    members: int = Field(default=1, ge=0, description="Series or runs in it right now.")
    top: tuple[AlertContributor, ...] = ()
    changes: tuple[AlertChange, ...] = Field(
        default=(), description="What was changed near the onset, likeliest first: no proof."
    )
    traces: tuple[str, ...] = Field(default=(), description="Sample trace ids, never content.")
    inhibitor: str = Field(default="", description="The rule that explains a suppressed alert.")
    actor: str = Field(default="", description="Who acknowledged it.")
    runbook: tuple[str, ...] = Field(default=(), description="What to do, step by step.")

    @computed_field(description="Hash of alert_id and sequence; names this change for good.")  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        return digest(self.alert_id, str(self.sequence))

    def encode(self) -> bytes:
        """Canonical UTF-8 JSON: sorted keys, no spaces; equal events have equal bytes."""
        return json.dumps(
            self.model_dump(mode="json"),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        ).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an event; fields of a later minor version are ignored.

        Raises:
            ValueError: it is not an alert event of version 1.
        """
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            at = ".".join(map(str, error.errors()[0]["loc"])) or "the document"
            message = f"not an alert event, v1: {at}: {error.errors()[0]['msg']}"
            raise ValueError(message) from None

    def headers(self) -> list[tuple[str, bytes]]:
        """CloudEvents 1.0 attributes in the Kafka binary mode (`ce_*` headers)."""
        when = datetime.fromtimestamp(self.at / 1000, UTC).isoformat(timespec="milliseconds")
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_source": SOURCE,
            "ce_type": TYPE_PREFIX + self.status,
            "ce_subject": self.fingerprint,
            "ce_time": when.replace("+00:00", "Z"),
            "ce_dataschema": SCHEMA,
            "ce_partitionkey": self.fingerprint,
            "content-type": "application/json",
        }
        return [(name, value.encode()) for name, value in attributes.items()]


def digest(*parts: str) -> str:
    """128 bits of SHA-256 over the parts, in hex. Stable across processes and versions."""
    return hashlib.sha256(SEP.join(parts).encode()).hexdigest()[:32]


def fingerprint_of(rule: str, group: tuple[tuple[str, str], ...]) -> str:
    """The identity of everything a rule ever says about one group."""
    return digest("alert", rule, *(part for pair in group for part in pair))
