"""What somebody changed about a running service."""

from dataclasses import dataclass, field
from enum import StrEnum


class ChangeKind(StrEnum):
    """What somebody changed about a running service."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    FLAG = "flag"
    PROMPT = "prompt"
    CONFIG = "config"
    ROUTING = "routing"


#: In a change: every service of its environment, or every environment.
EVERY = "*"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One change to a running service, by those who made it. Names only, no content."""

    at_ms: int  # when it took effect
    kind: str  # a ChangeKind
    env: str  # or EVERY
    service: str  # or EVERY
    name: str  # of what was changed: the service, flag, prompt, setting or route
    value: str  # its version or variant from then on; may be empty
    source: str  # who says so
    #: When it was reported: its record's timestamp. Reported again it is the same change.
    reported_ms: int = field(default=0, compare=False)
