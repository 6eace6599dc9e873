"""What is remembered of one alert between ticks, and its encoding."""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.flow.alerts.policy import Policy
from tocsin.types import Finding, Severity, Status

#: First byte of an encoded state. A state of another version is refused.
STATE_VERSION: Final = 1
#: Series or runs one alert remembers; beyond it those without a finding for longest are dropped.
MEMBERS: Final = 256


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One series or run within an alert's group."""

    window: int  # the last window judged
    at_ms: int  # event time of the newest finding
    bits: int = 0  # breached? one bit an evaluation, the newest is the lowest
    clears: int = 0  # evaluations in a row that were clear
    breaching: bool = False  # by its newest finding
    open: bool = False  # breached m of n, and not cleared since
    latched: bool = False  # aged out while breaching: must clear before it may open again
    score: float = 0.0  # the largest since it opened
    onset_ms: int = 0
    tokens: int | None = None
    cost_nano: int | None = None
    counted: int = 0  # the last window whose tokens and cost are in these sums
    trace: str = ""


class AlertState(msgspec.Struct, frozen=True):
    """One rule's alert on one group; `status` pending until it has opened once."""

    fingerprint: str
    rule: str
    group: tuple[tuple[str, str], ...]
    env: str
    service: str
    last: Finding  # the finding of its latest event
    status: Status = "pending"
    alert_id: str = ""
    sequence: int = 0  # of the next event
    severity: Severity = "info"
    onset_ms: int = 0
    opened_ms: int = 0
    changed_ms: int = 0  # of the newest event
    ended_ms: int = 0
    opens: tuple[int, ...] = ()  # when it opened, within flap_within_s
    flapping: bool = False
    # Score and number of members at the newest event. Stored under their first names.
    emitted_score: float = msgspec.field(default=0.0, name="told_score")
    emitted_members: int = msgspec.field(default=0, name="told_members")
    actor: str = ""
    members: dict[str, Member] = {}

    def encode(self) -> bytes:
        return bytes((STATE_VERSION,)) + _ENCODER.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> AlertState:
        """Raises ValueError if another version wrote it, or if it is no alert state."""
        if raw[:1] != bytes((STATE_VERSION,)):
            raise ValueError(f"alert state of version {raw[:1].hex() or 'none'} cannot be read")
        return _DECODER.decode(raw[1:])

    def is_open(self) -> bool:
        return self.status in {"firing", "acknowledged", "suppressed"}

    def took_part(self) -> list[tuple[str, Member]]:
        """Series or runs of this occurrence, the newest first."""
        part = [
            (series, member)
            for series, member in self.members.items()
            if member.open or (member.onset_ms and member.at_ms >= self.opened_ms)
        ]
        return sorted(part, key=lambda item: (-item[1].at_ms, item[0]))


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AlertState)


def due_ms(state: AlertState, policy: Policy | None) -> int:
    """When time alone next changes this state, in epoch ms. A rule that is gone: at once."""
    if policy is None:
        return state.changed_ms
    seen = max((member.at_ms for member in state.members.values()), default=0)
    if state.status == "pending":  # until m of n can no longer be reached
        return seen + policy.n * policy.step_s * 2_000
    if not state.is_open():  # until it no longer counts as flapping, and no member is latched
        latched = any(member.latched for member in state.members.values())
        still = seen + policy.stale_s * 1_000 if latched else 0
        return max(state.ended_ms + policy.flap_within_s * 1_000, still)
    due = state.opened_ms + policy.max_age_s * 1000
    alive = [member.at_ms for member in state.members.values() if member.open]
    if alive:
        return min(due, min(alive) + policy.stale_s * 1000)
    return min(due, seen + policy.flap_quiet_s * 1000)


def pruned(members: dict[str, Member]) -> dict[str, Member]:
    """At most MEMBERS of them: open before closed, then the newest."""
    if len(members) <= MEMBERS:
        return members
    order = sorted(members.items(), key=lambda item: (not item[1].open, -item[1].at_ms, item[0]))
    return dict(order[:MEMBERS])
