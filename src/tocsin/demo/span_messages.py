"""The fleet's spans as messages: Tocsin's native JSON, one span a message, keyed by trace id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from tocsin.demo import draw
from tocsin.demo.draw import Bools, Floats, Ints, Runs
from tocsin.demo.profiles import NEW_MODEL, Profile

ENV, WORKFLOW = "prod", "serve"
NS_PER_MS = 1_000_000
_encoder = msgspec.json.Encoder()

#: One span as its producer writes it: native field name -> value.
Message = dict[str, object]


@dataclass(frozen=True, slots=True)
class EncodedSpans:
    """Encoded spans in order of end time: `end_ms[i]`, `keys[i]` (trace id), `values[i]`."""

    end_ms: Ints
    keys: list[bytes]
    values: list[bytes]

    def between(self, from_ms: int, to_ms: int) -> EncodedSpans:
        """The spans that end in [from_ms, to_ms)."""
        first, last = np.searchsorted(self.end_ms, [from_ms, to_ms]).tolist()
        return EncodedSpans(self.end_ms[first:last], self.keys[first:last], self.values[first:last])


def pack(messages: Sequence[Message]) -> EncodedSpans:
    """Encodes, in order of end time; equal times keep the order they came in."""
    end_ns = np.array([message["end_time"] for message in messages], dtype=np.int64)
    order = np.argsort(end_ns, kind="stable")
    ordered = [messages[i] for i in order.tolist()]
    keys = [str(message["trace_id"]).encode() for message in ordered]
    return EncodedSpans(end_ns[order] // NS_PER_MS, keys, [_encoder.encode(m) for m in ordered])


def merge(batches: Iterable[EncodedSpans]) -> EncodedSpans:
    """Several batches as one, in order of end time."""
    parts = list(batches)
    if len(parts) == 1:
        return parts[0]
    end_ms = np.concatenate([np.empty(0, dtype=np.int64), *(part.end_ms for part in parts)])
    order = np.argsort(end_ms, kind="stable")
    keys = [key for part in parts for key in part.keys]
    values = [value for part in parts for value in part.values]
    picked = order.tolist()
    return EncodedSpans(end_ms[order], [keys[i] for i in picked], [values[i] for i in picked])


def hexes(rng: np.random.Generator, count: int, digits: int) -> list[str]:
    """`count` random ids of `digits` (even) hex digits."""
    text = rng.bytes(count * digits // 2).hex()
    return [text[at : at + digits] for at in range(0, count * digits, digits)]


class SpanMessages:
    """Turns one service's runs into messages; `row` is the run's index, one entry a span."""

    def __init__(self, profile: Profile, rng: np.random.Generator, runs: Runs) -> None:
        self._profile, self._rng, self._runs = profile, rng, runs
        count = len(runs.start_ms)
        self._traces = hexes(rng, count, 32)
        self._entry_ids = hexes(rng, count, 16)
        self._second_ids = hexes(rng, count, 16)
        self._routes = [profile.routes[i][0] for i in runs.route.tolist()]
        self._handed = runs.present[:, draw.HANDOFF]

    def all(self) -> list[Message]:
        """All spans of the runs, in no particular order."""
        return [
            *self._agents(),
            *self._calls(),
            *self._tools(),
            *self._steps(draw.RETRIEVE, "retrieval", "retrieve"),
            *self._steps(draw.VERIFY, "guardrail", "verify"),
            *self._handoffs(),
        ]

    def _agents(self) -> list[Message]:
        """The entry agent's span is the root; the agent it handed off to lies within."""
        runs, (entry, second) = self._runs, self._profile.agents
        everyone, handed = np.arange(len(runs.start_ms)), np.flatnonzero(self._handed)
        failed = runs.error[:, draw.MODELS].sum(axis=1) > 1
        roots = self._spans(
            "agent", everyone, self._entry_ids, [None] * len(everyone),
            runs.start_ms, runs.end_ms[:, -1] + 2.0, [entry] * len(everyone),
            failed, "RetriesExhausted", {"workflow": [WORKFLOW] * len(everyone)},
        )  # fmt: skip
        return roots + self._spans(
            "agent", handed, [self._second_ids[i] for i in handed.tolist()],
            [self._entry_ids[i] for i in handed.tolist()],
            runs.end_ms[handed, draw.HANDOFF], runs.end_ms[handed, -1] + 1.0,
            [second] * len(handed), failed[handed], "RetriesExhausted", {},
        )  # fmt: skip

    def _calls(self) -> list[Message]:
        runs, profile = self._runs, self._profile
        row, call = np.nonzero(runs.present[:, draw.MODELS])
        models = (*profile.models, NEW_MODEL)
        used = runs.model[row]
        tokens_in, tokens_out = runs.tokens_in[row, call], runs.tokens_out[row, call]
        usd_in = np.array([m.usd_in for m in models])[used]
        usd_out = np.array([m.usd_out for m in models])[used]
        last = call == runs.present[row][:, draw.TOOLS].sum(axis=1)
        columns: dict[str, Sequence[object]] = {
            "stage": ["act" if turn else "plan" for turn in call.tolist()],
            "provider": [models[i].provider for i in used.tolist()],
            "model": [models[i].name for i in used.tolist()],
            "input_tokens": tokens_in.astype(np.int64).tolist(),
            "output_tokens": tokens_out.astype(np.int64).tolist(),
            "cost_usd": np.round((tokens_in * usd_in + tokens_out * usd_out) / 1e6, 9).tolist(),
            "ttft_ms": np.round(runs.ttft_ms[row, call], 3).tolist(),
            "finish_reason": np.where(last, "stop", "tool_calls").tolist(),
        }
        return self._slots("llm", row, draw.MODELS[call], "RateLimitError", columns)

    def _tools(self) -> list[Message]:
        runs = self._runs
        row, turn = np.nonzero(runs.present[:, draw.TOOLS])
        arguments, results = hexes(self._rng, len(row), 16), hexes(self._rng, len(row), 16)
        for at in np.flatnonzero(runs.repeats[row] & (turn == 1)).tolist():
            arguments[at] = arguments[at - 1]  # nonzero is row-major: the turn before is next to it
            results[at] = results[at - 1]
        columns: dict[str, Sequence[object]] = {
            "tool": [self._profile.tools[i][0] for i in runs.tool[row, turn].tolist()],
            "args_hash": arguments,
            "result_hash": results,
        }
        return self._slots("tool", row, draw.TOOLS[turn], "ToolError", columns)

    def _steps(self, slot: int, kind: str, stage: str) -> list[Message]:
        row = np.flatnonzero(self._runs.present[:, slot])
        slots = np.full(len(row), slot)
        return self._slots(kind, row, slots, "StepError", {"stage": [stage] * len(row)})

    def _handoffs(self) -> list[Message]:
        row = np.flatnonzero(self._handed)
        source, target = self._profile.agents
        columns: dict[str, Sequence[object]] = {
            "handoff_from": [source] * len(row),
            "handoff_to": [target] * len(row),
        }
        slots = np.full(len(row), draw.HANDOFF)
        return self._slots("handoff", row, slots, "HandoffError", columns)

    def _slots(
        self, kind: str, row: Ints, slot: Ints, failure: str, columns: dict[str, Sequence[object]]
    ) -> list[Message]:
        """Spans below an agent: the second one's once the work was handed off."""
        runs, (entry, second) = self._runs, self._profile.agents
        after = (self._handed[row] & (slot > draw.HANDOFF)).tolist()
        parents = [
            self._second_ids[i] if late else self._entry_ids[i]
            for i, late in zip(row.tolist(), after, strict=True)
        ]
        return self._spans(
            kind, row, hexes(self._rng, len(row), 16), parents,
            runs.begin_ms[row, slot], runs.end_ms[row, slot],
            [second if late else entry for late in after],
            runs.error[row, slot], failure, columns,
        )  # fmt: skip

    def _spans(
        self, kind: str, row: Ints, ids: Sequence[str], parents: Sequence[str | None],
        begin_ms: Floats, end_ms: Floats, agents: Sequence[str],
        error: Bools, failure: str, columns: dict[str, Sequence[object]],
    ) -> list[Message]:  # fmt: skip
        count, rows, failed = len(row), row.tolist(), error.tolist()
        table: dict[str, Sequence[object]] = {
            "trace_id": [self._traces[i] for i in rows],
            "span_id": ids,
            "parent_id": parents,
            "kind": [kind] * count,
            "start_time": (begin_ms * NS_PER_MS).astype(np.int64).tolist(),
            "end_time": (end_ms * NS_PER_MS).astype(np.int64).tolist(),
            "env": [ENV] * count,
            "service": [self._profile.service] * count,
            "release": [self._profile.release] * count,
            "agent": agents,
            "route": [self._routes[i] for i in rows],
            "status": ["error" if bad else "ok" for bad in failed],
            "error_class": [failure if bad else None for bad in failed],
            **columns,
        }
        rows_of = zip(*table.values(), strict=True)
        return [dict(zip(table, values, strict=True)) for values in rows_of]
