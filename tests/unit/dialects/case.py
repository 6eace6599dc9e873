"""One span as its producer writes it, and what decode must find in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from unit.decode_samples import END_NS


class Case(NamedTuple):
    """A span, and what it says."""

    name: str
    attributes: Mapping[str, Any]
    expected: Mapping[str, Any]
    failed: bool = False
    events: Sequence[tuple[str, int, Mapping[str, Any]]] = ()


RAISED = ("exception", END_NS, {"exception.type": "openai.APITimeoutError"})
