"""Runs written by hand, for the tests inside rule files and for our own.

    llm search(a)=1 llm search(a)=1        model calls and tool calls: (arguments)=result
    search(a)!timeout  llm!429             ... that failed, with an error class
    triage>billing                         a hand-off
    read(f)                                arguments known, result not
    read                                   neither known
    [search(a)=1 llm] x3                   three times over; `x3` repeats one step as well
    @planner                               the following steps are this agent's
    +600                                   ten minutes pass
    end                                    the root span ends: the run is over

Steps end one second apart, unless `+` says otherwise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tocsin.types import (
    NONE,
    RUN_HEADER,
    RUN_VERSION,
    SEP,
    STEP,
    STEP_ERROR,
    STEP_HAS_ARGS,
    STEP_HAS_RESULT,
    ChangedRun,
    Kind,
)

_TOKEN: Final = re.compile(r"\[|\](?:\s*x(\d+))?|x(\d+)|[^\s\[\]]+")
_STEP: Final = re.compile(r"(\w+)(?:\(([^)]*)\))?(?:=(\S+)|!(\S+))?")
_KINDS: Final = tuple(Kind)
_LLM_TOKENS: Final = 1_000


def run_case(
    text: str, *, trace_id: str = "t1", env: str = "prod", service: str = "shop"
) -> tuple[ChangedRun, dict[str, str]]:
    """The run a text describes, as the store would hand it out, and its labels.

    Raises:
        ValueError: a word of the text is no step.
    """
    writer = _Writer(trace_id, env, service)
    for word in expand(text):
        writer.add(word)
    return writer.run(), writer.labels


def expand(text: str) -> list[str]:
    """The words of a text with every repetition written out."""
    stack: list[list[str]] = [[]]
    last = 0  # how many words of the innermost list the latest item has
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word == "[":
            stack.append([])
        elif word[0] == "]":
            if len(stack) == 1:
                raise ValueError(f"a ] without its [ in {text!r}")
            inner = stack.pop() * int(token[1] or 1)
            stack[-1].extend(inner)
            last = len(inner)
        elif token[2] is not None:
            stack[-1].extend(stack[-1][-last:] * (int(token[2]) - 1) if last else [])
        else:
            stack[-1].append(word)
            last = 1
    if len(stack) > 1:
        raise ValueError(f"a [ without its ] in {text!r}")
    return stack[0]


@dataclass(slots=True)
class _Writer:
    """Turns words into steps; symbols are made the way `flow/fold_runs.py` makes them."""

    trace_id: str
    env: str
    service: str
    agent: str = "agent"
    at_ms: int = 1_700_000_000_000
    rows: list[tuple[int, ...]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def add(self, word: str) -> None:
        if word[0] == "@":
            self.agent = word[1:]
        elif word[0] == "+":
            self.at_ms += int(float(word[1:]) * 1000)
        elif word == "end":
            self._row(Kind.AGENT, NONE, None, None, None, parent=0)
        elif ">" in word:
            self.agent, target = word.split(">", 1)
            self._row(Kind.HANDOFF, target, None, None, None)
            self.agent = target
        else:
            match = _STEP.fullmatch(word)
            if match is None:
                raise ValueError(f"{word!r} is no step; like search(args)=result, llm!429, a>b")
            name, args, result, error = match.groups()
            self._row(Kind.LLM if name == "llm" else Kind.TOOL, name, args, result, error)

    def _row(
        self, kind: Kind, act: str, args: str | None, result: str | None, error: str | None,
        *, parent: int = 1,
    ) -> None:  # fmt: skip
        self.at_ms += 1_000
        names = (self.env, self.service, self.agent, kind.value, act)
        label = _hash(*names)
        self.labels[f"{label:016x}"] = SEP.join(names)
        flags = (
            (error is not None) * STEP_ERROR
            + (args is not None) * STEP_HAS_ARGS
            + (result is not None) * STEP_HAS_RESULT
        )
        tokens = _LLM_TOKENS if kind is Kind.LLM else 0
        sym = _hash(*names, args or "")
        rsym = _hash(*names, args or "", error or "", result or "")
        span = _hash(self.trace_id, str(len(self.rows)))
        self.rows.append(
            (self.at_ms, span, parent, sym, rsym, label, tokens, tokens, _KINDS.index(kind), flags)
        )

    def run(self) -> ChangedRun:
        steps = np.array(self.rows, STEP)
        tokens = sum(steps["tokens"].tolist())
        header = np.array((RUN_VERSION, len(steps), tokens, tokens * 1e3, 0), RUN_HEADER)
        return ChangedRun(self.trace_id, header.tobytes() + steps.tobytes())


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b(SEP.join(parts).encode(), digest_size=8).digest(), "big")


def steps_of(run: ChangedRun) -> np.ndarray:
    """A run's STEP records, as stored."""
    return np.frombuffer(run.state, STEP, offset=RUN_HEADER.itemsize)


def words(text: str) -> Iterator[str]:
    """The steps of a text alone, without the words that only set the scene."""
    return (word for word in expand(text) if word[0] not in "@+" and word != "end")
