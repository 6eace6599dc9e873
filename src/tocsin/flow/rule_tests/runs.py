"""Runs written by hand, for tests: `docs/rule-tests.md` describes the language."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

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
_STEP: Final = re.compile(r"(\w+)(?::(\d+))?(?:\(([^)]*)\))?(?:=(\S+)|!(\S+))?")
_KINDS: Final = tuple(Kind)
_LLM_TOKENS: Final = 1_000
_TOKEN_NANO: Final = 1_000  # what a token costs
EPOCH_MS: Final = 1_700_000_000_000
_LATER_MS: Final = 7 * 3600 * 1000 + 3600 * 1000
#: The span that all of a run is in; `end` ends it.
_ROOT: Final = 1


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Runs that moved, their labels, and the event time (ms) up to which windows then close."""

    runs: tuple[ChangedRun, ...]
    labels: Mapping[str, str]
    closed_ms: int


def run_snapshots(case: Any) -> list[RunSnapshot]:
    """The snapshots of a case: a text, or a mapping of `before`, `times` and `then`.

    Raises:
        ValueError: it is neither, or a word of a text is no step.
    """
    if isinstance(case, str):
        return [_snapshot([case], EPOCH_MS)]
    if not isinstance(case, dict) or set(case) != {"before", "times", "then"}:
        raise ValueError(f"runs is a text, or before, times and then; not {case!r}")
    before = _snapshot([case["before"]] * int(case["times"]), EPOCH_MS)
    then = _snapshot([case["then"]], EPOCH_MS + _LATER_MS)
    return [before, replace(then, labels={**before.labels, **then.labels})]


def _snapshot(texts: list[str], start_ms: int) -> RunSnapshot:
    """Runs a second apart, each under a trace id of its own."""
    runs, labels, reached = [], dict[str, str](), start_ms
    for i, text in enumerate(texts):
        writer = _Writer(f"t{start_ms}-{i}", "prod", "shop", at_ms=start_ms + 1_000 * i)
        for word in expand(text):
            writer.add(word)
        runs.append(writer.run())
        labels |= writer.labels
        reached = max(reached, writer.at_ms)
    return RunSnapshot(tuple(runs), labels, reached)


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
    """Turns words into steps; symbols are made the way `flow/windows/fold_runs.py` makes them."""

    trace_id: str
    env: str
    service: str
    agent: str = "agent"
    at_ms: int = EPOCH_MS
    parent: int = _ROOT
    rows: list[tuple[int, ...]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    inside: list[tuple[str, int]] = field(default_factory=list)  # agents and spans around us
    opened: dict[int, str] = field(default_factory=dict)  # agents of numbered spans
    first_ms: int = 0

    def add(self, word: str) -> None:
        self.first_ms = self.first_ms or self.at_ms
        if word[0] == "@":
            self.agent, _, number = word[1:].partition("/")
            self.parent = _hash(self.trace_id, "span", number) if number else _ROOT
            self.opened[self.parent] = self.agent
        elif word[0] == "+":
            self.at_ms += int(float(word[1:]) * 1000)
        elif word == "end":
            self._row(Kind.AGENT, NONE, parent=0, span=_ROOT)
        elif word.startswith("done/"):
            span = _hash(self.trace_id, "span", word[5:])
            self.agent = self.opened[span]
            self._row(Kind.AGENT, NONE, parent=_ROOT, span=span)
        elif word[-1] == "{":
            self.inside.append((self.agent, self.parent))
            self.agent = word[:-1]
            self.parent = _hash(self.trace_id, "in", str(len(self.rows)), str(len(self.inside)))
        elif word == "}":
            self._close()
        elif ">" in word:
            self.agent, target = word.split(">", 1)
            self._row(Kind.HANDOFF, target)
            self.agent = target
        else:
            self._step(word)

    def _close(self) -> None:
        if not self.inside:
            raise ValueError("a } without its agent{")
        span = self.parent
        outer, self.parent = self.inside.pop()
        self._row(Kind.AGENT, NONE, span=span, parent=self.parent)
        self.agent = outer

    def _step(self, word: str) -> None:
        match = _STEP.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} is no step; like search(args)=result, llm!429, a>b")
        name, tokens, args, result, error = match.groups()
        kind = Kind.LLM if name == "llm" else Kind.TOOL
        self._row(kind, name, args, result, error, tokens=int(tokens or _LLM_TOKENS))

    def _row(
        self, kind: Kind, act: str, args: str | None = None, result: str | None = None,
        error: str | None = None, *, parent: int | None = None, span: int = 0, tokens: int = 0,
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
        tokens = tokens if kind is Kind.LLM else 0
        outcome = result or (str(tokens) if tokens != _LLM_TOKENS and tokens else "")
        sym = _hash(*names, args or "")
        rsym = _hash(*names, args or "", error or "", outcome)
        span = span or _hash(self.trace_id, str(len(self.rows)))
        parent = self.parent if parent is None else parent
        cost_nano = tokens * _TOKEN_NANO
        self.rows.append(
            (self.at_ms, span, parent, sym, rsym, label, tokens, cost_nano, _KINDS.index(kind),
             flags)
        )  # fmt: skip

    def run(self) -> ChangedRun:
        """The run as stored: all its totals, and its last steps."""
        steps = np.array(self.rows, STEP)
        tokens = sum(steps["tokens"].tolist())
        header = (RUN_VERSION, len(steps), tokens, tokens * _TOKEN_NANO, self.first_ms)
        return ChangedRun(self.trace_id, np.array(header, RUN_HEADER).tobytes() + steps.tobytes())


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b(SEP.join(parts).encode(), digest_size=8).digest(), "big")


def steps_of(run: ChangedRun) -> np.ndarray:
    """A run's STEP records, as stored."""
    return np.frombuffer(run.state, STEP, offset=RUN_HEADER.itemsize)


def words(text: str) -> Iterator[str]:
    """The steps of a text alone, without the words that add none."""
    return (word for word in expand(text) if word[0] not in "@+" and word != "end")
