"""The parts of the configuration that each stage's pure code reads, as its own values."""

from tocsin.config import Config
from tocsin.flow.alerts import Budget
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.decode import Limits
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.shard_detector import DetectSettings, Observer
from tocsin.flow.shard import ShardEvaluator
from tocsin.flow.windows.event_time import TimeRules
from tocsin.run.batch import IngestSettings
from tocsin.run.prices import load_prices
from tocsin.types import QuietHours


def ingest_settings(config: Config) -> IngestSettings:
    """The part of the configuration that decides what a span becomes."""
    limits = config.limits
    return IngestSettings(
        shards=config.shards,
        limits=Limits(
            max_bytes=limits.max_record_bytes,
            max_depth=limits.max_depth,
            max_spans=limits.max_spans,
            max_string=limits.max_string,
            max_attributes=limits.max_attributes,
        ),
        fingerprint_key=config.fingerprint_bytes,
        time=TimeRules(
            window_s=config.window_s,
            lateness_ms=int(config.lateness_s * 1_000),
            horizon_ms=config.rebuild_horizon_s * 1_000,
            max_future_ms=config.max_future_s * 1_000,
        ),
        prices=load_prices(config.prices_file),
    )


def detect_settings(config: Config) -> DetectSettings:
    """The part of the configuration that detection reads."""
    return DetectSettings(
        window_s=config.window_s,
        warmup_windows=config.watch.warmup_windows,
        allowed_models=config.allowed_models,
        poll_tools=config.poll_tools,
        slos=config.slos,
        cost_budgets=config.cost_budgets,
        calendar=Calendar(
            config.timezone, config.holidays, tuple(map(QuietHours.parse, config.quiet_hours))
        ),
        young_days=config.watch.young_days,
    )


def evaluator_of(
    config: Config, rules: tuple[Rule, ...], observer: Observer | None = None
) -> ShardEvaluator:
    """A new evaluator of one shard, as configured; `observer` receives its closed windows."""
    budget = Budget(
        episodes_a_day=config.watch.false_episodes_per_day,
        pages_a_day=config.watch.pages_per_day,
    )
    return ShardEvaluator(rules, detect_settings(config), budget, observer)
