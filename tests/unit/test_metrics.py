"""The one list of metrics: names, labels, and what a reader is told."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tocsin import metrics as m

SOURCE = Path(m.__file__).parent


def test_names_follow_the_conventions_and_none_is_taken_twice() -> None:
    names = [metric.name for metric in m.CATALOGUE]
    assert len(names) == len(set(names))
    for metric in m.CATALOGUE:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert isinstance(metric, m.Counter) == metric.name.endswith("_total")
        assert metric.meaning
        assert metric.action


def test_every_metric_is_used_somewhere() -> None:
    used = {
        node.attr
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    } | {"BUILD_INFO"}  # set by Metrics itself
    idle = {name for name, value in vars(m).items() if isinstance(value, m.Metric)} - used
    assert not idle, "listed, so someone will watch it, and it will never move"


def test_what_is_written_is_read_and_exposed() -> None:
    metrics = m.Metrics()
    assert metrics.read(m.RECORDS_CONSUMED, topic="t") == 0
    metrics.add(m.RECORDS_CONSUMED, 3, topic="t")
    metrics.set(m.HEARTBEAT, 7.5, stage="watch")
    metrics.observe(m.FLUSH_SECONDS, 0.2)
    assert metrics.read(m.RECORDS_CONSUMED, topic="t") == 3
    assert metrics.read(m.HEARTBEAT, stage="watch") == 7.5
    text = metrics.render().decode()
    assert 'tocsin_records_consumed_total{topic="t"} 3.0' in text
    assert 'tocsin_flush_seconds_bucket{le="0.25"} 1.0' in text


def test_two_sets_of_metrics_do_not_meet() -> None:
    one, two = m.Metrics(), m.Metrics()
    one.add(m.SPANS_LATE)
    assert (one.read(m.SPANS_LATE), two.read(m.SPANS_LATE)) == (1, 0)


def test_labels_of_what_is_not_ours_any_more_are_dropped() -> None:
    metrics = m.Metrics()
    metrics.set(m.LAG, 5, topic="t", partition="1")
    metrics.drop(m.LAG, topic="t", partition="1")
    assert 'partition="1"' not in metrics.render().decode()
    with pytest.raises(ValueError, match="label"):
        metrics.set(m.LAG, 5, topic="t")
