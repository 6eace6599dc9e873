"""The services of the synthetic fleet, as data: agents, models, tools, routes, and their speeds."""

from dataclasses import dataclass

from tocsin.demo.conditions import Service


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
    """One service: what runs in it. Its tools and models have their own speeds (medians).

    `traffic` says how often and how well; its durations are factors on those speeds.
    """

    traffic: Service
    release: str
    agents: tuple[str, str]  # the entry agent, and the one it hands off to
    routes: tuple[tuple[str, float], ...]  # (route, share)
    models: tuple[Model, Model]  # the first takes `traffic.share` of the runs
    tools: tuple[tuple[str, float], ...]  # (tool, median ms)

    @property
    def service(self) -> str:
        return self.traffic.name


def _traffic(
    name: str, rate: float, share: float, rounds: float, handoffs: float, tokens_out: float
) -> Service:
    """Steady by day and week, as its history is a morning long; `rounds` of tools a run."""
    return Service(
        name, rate, size=25.0, daily=0.3, weekend=1.0, share=share, tools=rounds,
        handoffs=handoffs, tokens_in=700.0, tokens_out=tokens_out, errors=0.005, wander=0.02,
        call_ms=1.0, tool_ms=1.0, ttft_ms=1.0,
    )  # fmt: skip


_NOVA = Model("openai", "gpt-4.1", 420, 90, 2.0, 8.0)
_MINI = Model("openai", "gpt-4.1-mini", 260, 150, 0.4, 1.6)
_HAIKU = Model("anthropic", "claude-3-5-haiku", 330, 110, 0.8, 4.0)
_SONNET = Model("anthropic", "claude-sonnet-4", 560, 75, 3.0, 15.0)
_FLASH = Model("google", "gemini-2.5-flash", 240, 190, 0.3, 2.5)

#: What a routing incident brings in: nobody has seen it before.
NEW_MODEL = Model("openai", "nova-2-preview", 420, 95, 2.5, 10.0)

FLEET: tuple[Profile, ...] = (
    Profile(
        _traffic("support-desk", 46, 0.62, 1.3, 0.18, 110), "2.8.1",
        ("triage", "refunds"), (("/chat", 0.7), ("/email", 0.3)),
        (_NOVA, _MINI), (("lookup_order", 140), ("search_policy", 220), ("issue_refund", 380)),
    ),
    Profile(
        _traffic("checkout-copilot", 40, 0.7, 1.0, 0.1, 60), "5.0.3",
        ("cart", "payments"), (("/suggest", 0.8), ("/pay", 0.2)),
        (_MINI, _FLASH), (("get_cart", 60), ("price_quote", 110), ("check_stock", 90)),
    ),
    Profile(
        _traffic("research", 28, 0.55, 2.1, 0.3, 180), "0.14.0",
        ("planner", "reader"), (("/deep", 0.45), ("/quick", 0.55)),
        (_SONNET, _HAIKU), (("web_search", 620), ("fetch_page", 900), ("summarise_pdf", 1500)),
    ),
    Profile(
        _traffic("code-review", 32, 0.7, 1.9, 0.12, 160), "3.1.0",
        ("reviewer", "fixer"), (("/pull-request", 0.85), ("/commit", 0.15)),
        (_SONNET, _NOVA), (("read_file", 45), ("run_tests", 2400), ("search_code", 180)),
    ),
    Profile(
        _traffic("ops-triage", 30, 0.65, 1.7, 0.2, 120), "1.9.4",
        ("oncall", "runbook"), (("/incident", 0.4), ("/question", 0.6)),
        (_HAIKU, _SONNET), (("query_logs", 480), ("query_metrics", 310), ("get_deploys", 120)),
    ),
    Profile(
        _traffic("doc-search", 52, 0.6, 1.1, 0.06, 90), "4.4.2",
        ("answerer", "librarian"), (("/ask", 0.9), ("/cite", 0.1)),
        (_FLASH, _MINI), (("vector_search", 85), ("rerank_hits", 130), ("open_document", 70)),
    ),
    Profile(
        _traffic("sales-outreach", 34, 0.5, 1.2, 0.14, 150), "2.2.0",
        ("writer", "researcher"), (("/draft", 0.75), ("/follow-up", 0.25)),
        (_NOVA, _HAIKU), (("crm_lookup", 210), ("company_news", 540), ("save_draft", 95)),
    ),
    Profile(
        _traffic("translate", 42, 0.75, 0.8, 0.1, 130), "6.1.5",
        ("translator", "proofreader"), (("/text", 0.6), ("/document", 0.4)),
        (_FLASH, _NOVA), (("glossary", 40), ("detect_language", 30), ("memory_lookup", 75)),
    ),
)  # fmt: skip
