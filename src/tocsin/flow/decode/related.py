"""Fields that a span takes from other spans of its message, and spans that repeat another.

Only spans of one record are compared, so what a record gives depends on nothing but itself,
however a consumer batches records. What arrives in another message stays as it is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from tocsin.flow.decode.canonical import TRANSFER
from tocsin.flow.decode.otlp_span import Row
from tocsin.types import MODEL_CALL_KINDS, NANO, Kind

_Parents = Mapping[tuple[str, str | None], Row]

_CALLS = frozenset(kind.value for kind in MODEL_CALL_KINDS)
_TOOL, _AGENT, _WORKFLOW, _HANDOFF, _STEP, _OTHER = (
    kind.value
    for kind in (Kind.TOOL, Kind.AGENT, Kind.WORKFLOW, Kind.HANDOFF, Kind.STEP, Kind.OTHER)
)
#: Between these and a model call inside them lies another piece of work: not the same call.
_BOUNDARIES = frozenset({_TOOL, _AGENT, _HANDOFF})
_TRANSFER = re.compile(TRANSFER)
_NO_LETTER = re.compile(r"[^0-9a-z]+")


def relate(spans: Sequence[Row]) -> None:
    """Changes the spans of one message in place, in time linear in their number."""
    if len(spans) < 2:
        return
    by_id = {(span["trace_id"], span["span_id"]): span for span in spans}
    _inherit_agents(spans, by_id)
    _count_once(spans, by_id)
    _hand_over_once(spans)


def _inherit_agents(spans: Iterable[Row], by_id: _Parents) -> None:
    """A span without an agent's name has that of the nearest span around it that has one.

    Many frameworks name the agent on its own span only. An agent without a name is somebody
    else, so what is inside it inherits nothing; a workflow is nobody's.
    """
    known: dict[int, str | None] = {}
    for span in spans:
        if "agent" in span:
            continue
        path: list[Row] = []
        at: Row | None = span
        while at is not None and id(at) not in known:
            if "agent" in at or at["kind"] == _AGENT:
                known[id(at)] = at.get("agent")
                break
            known[id(at)] = None  # spans may be each other's parents
            path.append(at)
            at = by_id.get((at["trace_id"], at["parent_id"]))
        name = None if at is None else known[id(at)]
        if name is not None:
            known |= dict.fromkeys(map(id, path), name)
            for inside in path:
                if inside["kind"] != _WORKFLOW:
                    inside["agent"] = name


def _count_once(spans: Iterable[Row], by_id: _Parents) -> None:
    """Where one call was traced twice (two instrumentations, one around the other), keep one.

    Of model calls the innermost with usage counts, and the outer ones become steps. Of tool
    calls the outer one counts, since only it has the arguments; the MCP client's span inside
    becomes `other`. Of runs the outer one counts: Traceloop's LangGraph writes two of a name.
    """
    seen: set[int] = set()
    repeated: list[Row] = []
    for span in spans:
        parent = by_id.get((span["trace_id"], span["parent_id"]))
        if parent is None or parent is span:
            continue
        if span["kind"] in _CALLS and ("input_tokens" in span or "output_tokens" in span):
            while (
                parent
                and parent is not span
                and parent["kind"] not in _BOUNDARIES
                and id(parent) not in seen
            ):
                seen.add(id(parent))
                if parent["kind"] in _CALLS:
                    parent["kind"] = _STEP
                parent = by_id.get((parent["trace_id"], parent["parent_id"]))
        elif (
            span["kind"] == _TOOL == parent["kind"]
            and "mcp" in span
            and span.get("tool") == parent.get("tool")
        ):
            span["kind"] = _OTHER
        elif (
            span["kind"] == _AGENT == parent["kind"]
            and "agent" in span
            and span["agent"] == parent.get("agent")
        ):
            repeated.append(span)
    for span in repeated:
        span["kind"] = _STEP


def _hand_over_once(spans: Iterable[Row]) -> None:
    """Drop the tool call that asked for a handoff, if the handoff has a span of its own.

    The two name the target alike but for case and blanks, and end within a second.
    """
    handoffs = {
        (span["trace_id"], _plain(span["handoff_to"]), span["end_ns"] // NANO + offset_s)
        for span in spans
        if span["kind"] == _HANDOFF and "handoff_to" in span
        for offset_s in (-1, 0, 1)
    }
    if not handoffs:
        return
    for span in spans:
        if span["kind"] == _TOOL and "handoff_to" not in span:
            target = _TRANSFER.search(span.get("tool") or "")
            handoff = target and (span["trace_id"], _plain(target[1]), span["end_ns"] // NANO)
            if handoff in handoffs:
                span["kind"] = _OTHER


def _plain(name: str) -> str:
    return _NO_LETTER.sub("_", name.lower())
