"""The shape of a run as far as its ring shows it: how deep, how wide, how many agents.

A span is recorded when it ends, so inner ones come first, and a chain of agents becomes visible
as its outer ones end. Every value is what was known when each step ended, and it never falls: a
snapshot with more steps does not change the values of earlier ones. A parent that has left the
ring, or is of a kind that no ring holds, interrupts a chain: depth is a lower limit.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tocsin.flow.detect.runs.names import Names
from tocsin.flow.detect.runs.step_ring import CALLED, HANDOFFS, MODEL_CALLS, ROOTS, Steps
from tocsin.types import NONE, STEP_HAS_ARGS, Ints


def depths(steps: Steps, names: Sequence[Names]) -> Ints:
    """The deepest nesting of agents up to each step: as `steps` (in order).

    Agents and workflows inside one another count, whatever lies between them; so does a
    chain of hand-offs that did not come back. The larger of the two is the depth.
    """
    tree, chain = _Tree(), _Chain()
    deepest = 0
    out = np.zeros(len(steps), np.int64)
    nests, hands = ROOTS[steps["kind"]].astype(int).tolist(), HANDOFFS[steps["kind"]].tolist()
    spans, parents = steps["span"].tolist(), steps["parent"].tolist()
    for i, (span, parent) in enumerate(zip(spans, parents, strict=True)):
        deepest = max(deepest, tree.add(span, parent, nests[i]))
        if hands[i]:
            deepest = max(deepest, chain.hand(names[i].agent, names[i].act))
        out[i] = deepest
    return out


class _Tree:
    """Heights of the spans that have ended, whichever of parent and child ended first."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}  # span -> parent, 1 if it is an agent
        self._below: dict[int, int] = {}  # span -> height of its highest child

    def add(self, span: int, parent: int, nests: int) -> int:
        """Take in a span; the largest height that this made."""
        self._seen[span] = (parent, nests)
        height = self._below.get(span, 0) + nests
        climbed = {span}
        while parent and parent not in climbed and height > self._below.get(parent, 0):
            self._below[parent] = height
            above = self._seen.get(parent)
            if above is None:
                break
            climbed.add(parent)
            height += above[1]
            parent = above[0]
        return height


def chain_length(hands: Iterable[tuple[str, str]]) -> int:
    """How many agents the longest chain of hand-offs (source, target) has, of these in order."""
    chain = _Chain()
    return max([chain.hand(source, target) for source, target in hands], default=0)


class _Chain:
    """Agents that handed the run on, each to the next; going back to one shortens the chain."""

    def __init__(self) -> None:
        self._agents: list[str] = []

    def hand(self, source: str, target: str) -> int:
        """Take in a hand-off; how many agents the chain then has."""
        agents = self._agents
        if source == NONE and agents:
            source = agents[-1]
        agents = agents[: agents.index(source) + 1] if source in agents else [source]
        agents = agents[: agents.index(target) + 1] if target in agents else [*agents, target]
        self._agents = agents
        return len(agents)


def fan_outs(steps: Steps, names: Sequence[Names], *, models: bool) -> Ints:
    """The most children of one span at a time up to each step: as `steps` (in order).

    Children are agents under one span; and different calls under one span without a model call
    of their agent between them: a model asked for them at once. Calls that follow one another,
    a model call before each, are no fan-out, nor is the same call again, as in a poll. Calls
    count only from the first model call on, since before that it is not known which of them
    were made at once. `models` says that there was one before the ring begins.
    """
    agents: dict[int, int] = {}
    batch: dict[int, tuple[int, list[int]]] = {}  # parent -> model calls before, calls since
    asked: dict[str, int] = {}
    widest, any_model = 0, models
    out = np.zeros(len(steps), np.int64)
    kind = steps["kind"]
    nests, calls, asks = ROOTS[kind].tolist(), CALLED[kind].tolist(), MODEL_CALLS[kind].tolist()
    args_unknown = ((steps["flags"] & STEP_HAS_ARGS) == 0).tolist()
    symbols = steps["sym"].tolist()
    for i, parent in enumerate(steps["parent"].tolist()):
        if asks[i]:
            asked[names[i].agent] = asked.get(names[i].agent, 0) + 1
            any_model = True
        elif parent and nests[i]:
            agents[parent] = agents.get(parent, 0) + 1
            widest = max(widest, agents[parent])
        elif parent and calls[i] and any_model:
            turn = asked.get(names[i].agent, 0)
            if parent not in batch or batch[parent][0] != turn:
                batch[parent] = (turn, [])
            calls_now = batch[parent][1]
            if args_unknown[i] or symbols[i] not in calls_now:
                calls_now.append(symbols[i])
            widest = max(widest, len(calls_now))
        out[i] = widest
    return out


def agents(steps: Steps) -> Ints:
    """How many agents and workflows have ended up to each step: as `steps`."""
    return np.cumsum(ROOTS[steps["kind"]])
