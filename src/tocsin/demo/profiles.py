"""The services of the synthetic fleet, as data: agents, models, tools, routes, and their speeds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """A model's speed and price. Prices are USD per million tokens."""

    provider: str
    name: str
    ttft_ms: float  # median time to first token
    tokens_per_s: float
    usd_in: float
    usd_out: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One service: who runs in it, how often, and how long its parts take (medians)."""

    service: str
    release: str
    runs_per_minute: float  # mean over the day
    agents: tuple[str, str]  # the entry agent, and the one it hands off to
    routes: tuple[tuple[str, float], ...]  # (route, share)
    models: tuple[tuple[Model, float], ...]  # (model, share of runs)
    tools: tuple[tuple[str, float], ...]  # (tool, median ms)
    rounds: float  # mean tool rounds a run
    handoff_share: float
    output_tokens: float  # median of one call


_NOVA = Model("openai", "gpt-4.1", 420, 90, 2.0, 8.0)
_MINI = Model("openai", "gpt-4.1-mini", 260, 150, 0.4, 1.6)
_HAIKU = Model("anthropic", "claude-3-5-haiku", 330, 110, 0.8, 4.0)
_SONNET = Model("anthropic", "claude-sonnet-4", 560, 75, 3.0, 15.0)
_FLASH = Model("google", "gemini-2.5-flash", 240, 190, 0.3, 2.5)

#: What a routing incident brings in: nobody has seen it before.
NEW_MODEL = Model("openai", "nova-2-preview", 420, 95, 2.5, 10.0)

FLEET: tuple[Profile, ...] = (
    Profile(
        "support-desk", "2.8.1", 46, ("triage", "refunds"),
        (("/chat", 0.7), ("/email", 0.3)), ((_NOVA, 0.62), (_MINI, 0.38)),
        (("lookup_order", 140), ("search_policy", 220), ("issue_refund", 380)), 1.3, 0.18, 110,
    ),
    Profile(
        "checkout-copilot", "5.0.3", 40, ("cart", "payments"),
        (("/suggest", 0.8), ("/pay", 0.2)), ((_MINI, 0.7), (_FLASH, 0.3)),
        (("get_cart", 60), ("price_quote", 110), ("check_stock", 90)), 1.0, 0.1, 60,
    ),
    Profile(
        "research", "0.14.0", 28, ("planner", "reader"),
        (("/deep", 0.45), ("/quick", 0.55)), ((_SONNET, 0.55), (_HAIKU, 0.45)),
        (("web_search", 620), ("fetch_page", 900), ("summarise_pdf", 1500)), 2.1, 0.3, 180,
    ),
    Profile(
        "code-review", "3.1.0", 32, ("reviewer", "fixer"),
        (("/pull-request", 0.85), ("/commit", 0.15)), ((_SONNET, 0.7), (_NOVA, 0.3)),
        (("read_file", 45), ("run_tests", 2400), ("search_code", 180)), 1.9, 0.12, 160,
    ),
    Profile(
        "ops-triage", "1.9.4", 30, ("oncall", "runbook"),
        (("/incident", 0.4), ("/question", 0.6)), ((_HAIKU, 0.65), (_SONNET, 0.35)),
        (("query_logs", 480), ("query_metrics", 310), ("get_deploys", 120)), 1.7, 0.2, 120,
    ),
    Profile(
        "doc-search", "4.4.2", 52, ("answerer", "librarian"),
        (("/ask", 0.9), ("/cite", 0.1)), ((_FLASH, 0.6), (_MINI, 0.4)),
        (("vector_search", 85), ("rerank_hits", 130), ("open_document", 70)), 1.1, 0.06, 90,
    ),
    Profile(
        "sales-outreach", "2.2.0", 34, ("writer", "researcher"),
        (("/draft", 0.75), ("/follow-up", 0.25)), ((_NOVA, 0.5), (_HAIKU, 0.5)),
        (("crm_lookup", 210), ("company_news", 540), ("save_draft", 95)), 1.2, 0.14, 150,
    ),
    Profile(
        "translate", "6.1.5", 42, ("translator", "proofreader"),
        (("/text", 0.6), ("/document", 0.4)), ((_FLASH, 0.75), (_NOVA, 0.25)),
        (("glossary", 40), ("detect_language", 30), ("memory_lookup", 75)), 0.8, 0.1, 130,
    ),
)  # fmt: skip
