"""The table of views: everything that Tocsin measures.

A *view* selects some kinds of span and groups them by some dimensions; a view and the
values of its dimensions name one *series*. Every view counts the same fields (`fold.py`),
so adding a row here adds a family of series and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tocsin.types import MODEL_CALL_KINDS, Kind

RUNS = (Kind.AGENT, Kind.WORKFLOW)
TOOLS = (Kind.TOOL,)
HANDOFFS = (Kind.HANDOFF,)
#: Everything an agent does. `other` (HTTP, databases, ...) is decoded but never measured.
WORK = tuple(kind for kind in Kind if kind is not Kind.OTHER)


@dataclass(frozen=True, slots=True)
class View:
    """Which spans, grouped by what.

    `dims` are columns of `SPAN_SCHEMA` or of `DERIVED` and begin with env and service, so that
    all series of one service live in one shard; a null dimension is grouped as `types.NONE`.
    `monotone` says that rules judge its open windows, before they close: it is kept to
    the views that such rules read. `needs` names a column that must not be null for a
    span to be in the view; the empty string asks nothing. Where `tags` are named,
    fields of these prefixes are all that it counts.
    """

    name: str
    kinds: tuple[Kind, ...]
    dims: tuple[str, ...]
    monotone: bool = False
    needs: str = ""
    tags: tuple[str, ...] = ()


_INPUT = pl.col("input_tokens")
#: Columns derived from others, for views only. `input_size` is a class of prompts of similar
#: length, so that a model is compared with itself on similar work. `substituted` is
#: the model that was asked for where another family answered: `gpt-5` answered by
#: `gpt-5-2026-08-01` is no substitution.
DERIVED: Mapping[str, pl.Expr] = {
    "substituted": pl.when(
        ~pl.col("model")
        .str.split("/")
        .list.last()
        .str.starts_with(pl.col("model_requested").str.split("/").list.last())
    ).then(pl.col("model_requested")),
    "input_size": pl.when(_INPUT < 2_000)
    .then(pl.lit("under 2k"))
    .when(_INPUT < 16_000)
    .then(pl.lit("2k to 16k"))
    .when(_INPUT >= 16_000)
    .then(pl.lit("16k and more")),
}

VIEWS: tuple[View, ...] = (
    View("runs_by_service", RUNS, ("env", "service"), monotone=True),
    View("runs_by_agent", RUNS, ("env", "service", "agent"), monotone=True),
    View("runs_by_route", RUNS, ("env", "service", "route"), monotone=True),
    View("calls_by_service", MODEL_CALL_KINDS, ("env", "service"), monotone=True),
    View("calls_by_agent", MODEL_CALL_KINDS, ("env", "service", "agent"), monotone=True),
    View("calls_by_route", MODEL_CALL_KINDS, ("env", "service", "route"), monotone=True),
    View("calls_by_model", MODEL_CALL_KINDS, ("env", "service", "model"), monotone=True),
    View(
        "calls_by_model_input",
        MODEL_CALL_KINDS,
        ("env", "service", "model", "input_size"),
        needs="input_size",
        tags=("d:", "t:"),  # strata of `calls_by_model`: latencies only
    ),
    View("calls_by_route_model", MODEL_CALL_KINDS, ("env", "service", "route", "model")),
    View("calls_by_provider", MODEL_CALL_KINDS, ("env", "service", "provider")),
    View(
        "calls_by_prompt",
        MODEL_CALL_KINDS,
        ("env", "service", "prompt_name", "prompt_version"),
        needs="prompt_name",
    ),
    View(
        "calls_by_substitution",
        MODEL_CALL_KINDS,
        ("env", "service", "substituted", "model"),
        needs="substituted",
    ),
    View("tools_by_service", TOOLS, ("env", "service")),
    View("tools_by_tool", TOOLS, ("env", "service", "tool"), monotone=True),
    View("tools_by_agent_tool", TOOLS, ("env", "service", "agent", "tool")),
    View("steps_by_stage", WORK, ("env", "service", "stage"), needs="stage"),
    View("handoffs_by_service", HANDOFFS, ("env", "service")),
    View("handoffs_by_pair", HANDOFFS, ("env", "service", "handoff_from", "handoff_to")),
    View("handoffs_by_route", HANDOFFS, ("env", "service", "route")),
    View("errors_by_class", WORK, ("env", "service", "error_class"), needs="error_class"),
    View(
        "errors_by_tool_class",
        TOOLS,
        ("env", "service", "tool", "error_class"),
        needs="error_class",
    ),
    View(
        "errors_by_model_class",
        MODEL_CALL_KINDS,
        ("env", "service", "model", "error_class"),
        needs="error_class",
    ),
    View(
        "errors_by_route_class",
        WORK,
        ("env", "service", "route", "error_class"),
        needs="error_class",
    ),
    View("scores_by_name", WORK, ("env", "service", "score_name"), needs="score_name"),
)

#: Views whose open windows are judged before they close.
MONOTONE = frozenset(view.name for view in VIEWS if view.monotone)
