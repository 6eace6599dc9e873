"""The fleet of `conditions.py` as the spans it would publish: seeded, with incidents.

The same seed gives the same spans, however time is cut into calls.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tocsin.demo.conditions import DAY, Conditions, Floats, arrivals
from tocsin.demo.draw import BLOCK_MS, draw_runs
from tocsin.demo.incidents import MINUTE_MS, Incident
from tocsin.demo.profiles import FLEET, Profile
from tocsin.demo.span_messages import (
    ENV,
    NS_PER_MS,
    WORKFLOW,
    EncodedSpans,
    Message,
    SpanMessages,
    hexes,
    merge,
    pack,
)

#: One stream of random numbers for the runs of each service, one for loops: an incident in one
#: service never moves a draw of another. `conditions.py` draws from 7 and 11.
_RUNS, _LOOP = 13, 17


class Fleet:
    """Several services' spans, in order of end time.

    `seed` fixes every draw; `incidents` are laid over it; `profiles` are the services. Draws
    are counted from `origin_ms`, so two scenarios at the same hour of two days are alike.
    """

    def __init__(
        self,
        seed: int,
        incidents: Sequence[Incident] = (),
        profiles: Sequence[Profile] = FLEET,
        origin_ms: int = 0,
    ) -> None:
        self._seed, self._origin_ms = seed, origin_ms
        self._incidents = tuple(incidents)
        self._profiles = tuple(profiles)
        # A day ahead of the origin: runs that are under way there began before.
        start_ms = origin_ms - DAY * MINUTE_MS
        self._conditions = Conditions(
            [profile.traffic for profile in profiles],
            [fault for incident in incidents for fault in incident.faults(start_ms)],
            seed,
            start_ms // 1_000,
        )
        # Two blocks are read at a time (runs cross a border); bounded, as a block is ~10 MB.
        self._block = lru_cache(maxsize=4)(self._draw_block)
        self._loops = merge(self._loop(i) for i in self._incidents if i.kind == "loop")

    def spans(self, from_ms: int, to_ms: int) -> EncodedSpans:
        """All spans that end in [from_ms, to_ms), epoch ms, sorted by end time.

        Raises ValueError before the origin: there the draws are not numbered.
        """
        if from_ms < self._origin_ms:
            raise ValueError(f"the fleet begins at {self._origin_ms}, not at {from_ms}")
        first = (from_ms - self._origin_ms) // BLOCK_MS - 1
        last = (to_ms - 1 - self._origin_ms) // BLOCK_MS
        blocks = [self._block(number) for number in range(first, last + 1)]
        return merge(batch.between(from_ms, to_ms) for batch in (*blocks, self._loops))

    def _draw_block(self, number: int) -> EncodedSpans:
        """The spans of all runs that start in one block; some end in the next."""
        messages: list[Message] = []
        at_ms = self._origin_ms + number * BLOCK_MS
        first = DAY + number * (BLOCK_MS // MINUTE_MS)
        states = [self._conditions.at(first + i) for i in range(BLOCK_MS // MINUTE_MS)]
        for index, profile in enumerate(self._profiles):
            # Block -1, the runs under way at the origin, exists; a seed cannot be negative.
            rng = np.random.default_rng([self._seed, _RUNS, index, number + 1])
            now = {name: np.array([s[name][index] for s in states]) for name in states[0]}
            runs = arrivals(rng, now["rate"], now["size"])
            start_ms: Floats = np.repeat(at_ms + MINUTE_MS * np.arange(len(runs)), runs)
            start_ms = start_ms + rng.uniform(0.0, MINUTE_MS, len(start_ms))
            each = {name: np.repeat(values, runs) for name, values in now.items()}
            spans = SpanMessages(profile, rng, draw_runs(rng, profile, start_ms, each)).all()
            incidents = [i for i in self._incidents if i.service == profile.service]
            messages += _silenced(spans, incidents)
        return pack(messages)

    def _loop(self, loop: Incident) -> EncodedSpans:
        """One run that calls one tool again and again, and gets the same answer, while open."""
        profile = next(p for p in self._profiles if p.service == loop.service)
        return pack(_loop_spans(np.random.default_rng([self._seed, _LOOP]), profile, loop))


def _silenced(messages: list[Message], incidents: Sequence[Incident]) -> list[Message]:
    """Without the spans that end during a flatline: a dead service publishes nothing."""
    for gap in (i for i in incidents if i.kind == "flatline"):
        from_ns, to_ns = gap.from_ms * NS_PER_MS, gap.to_ms * NS_PER_MS
        messages = [m for m in messages if not from_ns <= int(str(m["end_time"])) < to_ns]
    return messages


def _loop_spans(rng: np.random.Generator, profile: Profile, loop: Incident) -> list[Message]:
    """(model call, tool call) every `loop.size` seconds, then the agent's span, which ends last."""
    (trace, arguments), result = hexes(rng, 2, 32), hexes(rng, 1, 16)[0]
    every_ns = round(loop.size * 1000) * NS_PER_MS
    start_ns, end_ns = loop.from_ms * NS_PER_MS, loop.to_ms * NS_PER_MS
    turns = (end_ns - start_ns) // every_ns - 1
    root, *ids = hexes(rng, 2 * turns + 1, 16)
    model = profile.models[0]
    common: Message = {
        "trace_id": trace, "parent_id": root, "env": ENV, "service": profile.service,
        "release": profile.release, "agent": profile.agents[0], "route": profile.routes[0][0],
        "status": "ok",
    }  # fmt: skip
    spans: list[Message] = []
    for turn in range(turns):
        at = start_ns + turn * every_ns
        tokens_in, tokens_out = 900 + 210 * turn, 48  # the context grows, nothing else changes
        cost = (tokens_in * model.usd_in + tokens_out * model.usd_out) / 1e6
        spans.append(common | {
            "span_id": ids[2 * turn], "kind": "llm", "stage": "act", "start_time": at,
            "end_time": at + every_ns // 2, "provider": model.provider, "model": model.name,
            "input_tokens": tokens_in, "output_tokens": tokens_out, "cost_usd": round(cost, 9),
            "finish_reason": "tool_calls",
        })  # fmt: skip
        spans.append(common | {
            "span_id": ids[2 * turn + 1], "kind": "tool", "tool": profile.tools[0][0],
            "start_time": at + every_ns // 2, "end_time": at + every_ns * 3 // 4,
            "args_hash": arguments[:16], "result_hash": result,
        })  # fmt: skip
    spans.append(common | {
        "span_id": root, "parent_id": None, "kind": "agent", "workflow": WORKFLOW,
        "start_time": start_ns, "end_time": end_ns - 1,
    })  # fmt: skip
    return spans
