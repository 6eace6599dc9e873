"""Topics: made once, left alone after, and refused with the remedy when they do not fit."""

from __future__ import annotations

import re

import pytest

from memory_bus import MemoryBus
from tocsin.bus.base import TopicMissing, TopicSpec
from tocsin.config import Config, load
from tocsin.run.topics import ensure, require, specs


async def test_ensuring_twice_creates_once_and_changes_nothing() -> None:
    config, admin = Config(), MemoryBus().admin()
    first, second = await ensure(config, admin), await ensure(config, admin)
    assert all(state.created and not state.differs for state in first)
    assert not any(state.created for state in second)
    assert [s.partitions for s in first] == [s.partitions for s in second]
    await require(config, admin)


async def test_a_topic_of_another_size_is_left_alone_and_reported() -> None:
    config, bus = Config(), MemoryBus()
    bus.create(TopicSpec(config.topics.spans, 3))
    spans, *rest = await ensure(config, bus.admin())
    assert (spans.partitions, spans.wanted, spans.differs, spans.created) == (3, 8, True, False)
    assert not any(state.differs for state in rest)
    await require(config, bus.admin())  # any number of partitions will do for spans


async def test_missing_topics_are_named_with_the_command_that_makes_them() -> None:
    config, bus = Config(), MemoryBus()
    await ensure(config, bus.admin())
    other = load(topics={"prefix": "other"})
    bus.create(TopicSpec("other.spans.v1", 1))
    with pytest.raises(TopicMissing, match=r"other\.flushes\.v1.*tocsin topics") as told:
        await require(other, bus.admin())
    assert "other.spans.v1," not in str(told.value)


async def test_flushes_must_have_one_partition_a_shard() -> None:
    bus = MemoryBus()
    await ensure(load(shards=16), bus.admin())
    with pytest.raises(TopicMissing, match="16 partitions but shards is 4; set shards to 16"):
        await require(load(shards=4), bus.admin())


def test_every_topic_keeps_what_is_read_back_from_it() -> None:
    config = load(rebuild_horizon_s=7 * 86_400)
    by_name = {spec.name: spec for spec in specs(config)}
    assert len(by_name) == 6
    assert int(by_name[config.topics.spans].config["retention.ms"]) > 7 * 86_400_000
    alerts = by_name[config.topics.alerts].config
    assert alerts["cleanup.policy"] == "compact,delete"
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) for name in by_name)
