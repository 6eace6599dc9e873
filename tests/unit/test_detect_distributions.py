"""Detectors of distributions: what stayed flat, what was promised, which series a rule is about."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from tocsin.config import load
from tocsin.errors import UserError
from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.baseline.stats.sketch import Sketches
from tocsin.flow.detect.detectors import slo
from tocsin.flow.detect.distribution import Distribution
from tocsin.flow.detect.equivalence import log_ratio
from tocsin.flow.detect.load_rules import load_rules, parse_rule
from tocsin.flow.rules.options import slos_of
from tocsin.flow.rules.spec import RuleError
from tocsin.flow.windows.fold import bucket
from tocsin.run.from_config import detect_settings
from tocsin.types import OBJECTIVES, Slo, join_series

SEED = 20231113
RULE = """
title: A rule
kpi: latency
detector: {detector}
views: [{view}]
{more}
group_by: [env, service]
runbook: [Look.]
"""


def held(samples: np.ndarray) -> Sketches:
    """A sketch a row of `samples` [rows, n], microseconds."""
    keys = [
        row * sketch.WIDTH + bucket(float(value))
        for row, values in enumerate(samples)
        for value in values
    ]
    key, count = np.unique(np.array(keys, np.int64), return_counts=True)
    return Sketches(key, count.astype(np.int64))


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_interval_of_a_ratio_of_quantiles_covers_as_often_as_it_says(q: float) -> None:
    rng = np.random.default_rng(SEED)
    tries, rows = 200, np.arange(200)
    now = held(rng.lognormal(13 + math.log(1.1), 0.5, (tries, 500)))
    base = held(rng.lognormal(13, 0.5, (tries, 3_000)))
    z = float(norm.isf(0.05))
    low, high = log_ratio(Distribution(now, rows), Distribution(base, rows), q, z)
    true = math.log(1.1)
    slack = 0.021  # a bucket either way
    for missed in ((low > true + slack).mean(), (high < true - slack).mean()):
        assert missed <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / tries), SEED


def test_without_confidence_the_interval_is_the_ratio_itself() -> None:
    one, other = (
        Distribution(held(np.full((1, 50), value)), np.array([0])) for value in (2e6, 1e6)
    )
    low, high = log_ratio(one, other, 0.5, 0.0)
    assert low[0] == high[0] == pytest.approx(math.log(2), abs=0.02)


def test_total_is_the_sum_within_a_hundredth() -> None:
    samples = np.random.default_rng(SEED).lognormal(12, 1, (3, 400))
    found = sketch.total(held(samples), np.arange(4))
    assert found[:3] == pytest.approx(samples.sum(axis=1), rel=0.01)
    assert found[3] == 0


# ---- where -----------------------------------------------------------------------------


def test_where_keeps_what_matches_in_every_dimension_as_series_come_and_go() -> None:
    catalog = Catalog()

    def names(*models: str) -> list[str]:
        return [join_series("calls_by_model", "prod", "shop", model) for model in models]

    catalog.rows(names("gpt-5", "claude", "gpt-4"))
    where = {"model": ("gpt-*",), "env": ("prod", "live")}
    assert catalog.matching("calls_by_model", where).tolist() == [0, 2]
    catalog.rows(names("gpt-6"))
    catalog.forget([0])
    assert catalog.matching("calls_by_model", where).tolist() == [2, 3]
    assert catalog.matching("calls_by_model", {}).tolist() == [1, 2, 3]
    assert catalog.matching("calls_by_model", {"env": ("dev",)}).tolist() == []


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("where: {tool: [a]}", "where.tool is not a dimension"),
        ("options: {strata: {calls_by_model: calls_by_route}}", "is no finer"),
        ("options: {strata: {calls_by_mode: calls_by_route}}", "is unknown"),
        ("options: {equivalence: {sgnal: ttft}}", "sgnal"),
        ("options: {equivalence: {signal: n}}", "is no distribution"),
        ("options: {max_ms: {a: 3}}", "options.max_ms is not read"),
    ],
)
def test_an_option_nobody_can_read_is_refused_with_its_name(more: str, complaint: str) -> None:
    text = RULE.format(detector="quantile", view="calls_by_model", more=more)
    with pytest.raises(RuleError, match=complaint):
        parse_rule(text, "mine", "mine.yaml")


# ---- objectives ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("{service: shop}", "needs one of p50_ms"),
        ("{service: shop, p95_ms: -1}", "above 0"),
        ("{tool: a, model: b, p95_ms: 9}", "model and tool together"),
        ("{srvice: shop, p95_ms: 9}", "srvice"),
    ],
)
def test_an_objective_that_cannot_be_held_is_refused(
    given: str, complaint: str, tmp_path: Path
) -> None:
    config = tmp_path / "tocsin.yaml"
    config.write_text(f"slos: [{given}]\n", encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        load(config)


def test_objectives_of_the_configuration_reach_detection(tmp_path: Path) -> None:
    config = tmp_path / "tocsin.yaml"
    config.write_text("slos: [{service: shop, p95_ms: 5000, p99_ms: 9000}]\n", encoding="utf-8")
    (found,) = detect_settings(load(config)).slos
    assert found == Slo(service="shop", p95_ms=5000.0, p99_ms=9000.0)
    assert found.levels == ((0.95, 5000.0), (0.99, 9000.0))
    assert found.where == {"env": ("*",), "service": ("shop",)}


@pytest.mark.parametrize("signal", ["duration", "ttft"])
@pytest.mark.parametrize("names", OBJECTIVES, ids=lambda names: " ".join(sorted(names)) or "runs")
def test_every_objective_that_may_be_written_is_read_by_one_rule(
    names: frozenset[str], signal: str
) -> None:
    given = {"signal": signal, "p95_ms": 5, **dict.fromkeys(names, "x")}
    rules = [rule for rule in load_rules() if rule.detector == "slo"]
    asked = [rule.model_copy(update={"options": {"slos": [given]}}) for rule in rules]
    if signal == "ttft" and names & {"tool", "stage"}:
        with pytest.raises(ValueError, match="first token"):
            slos_of({"slos": [given]})
    else:
        assert sum(bool(slo.reads(rule)) for rule in asked) == 1
