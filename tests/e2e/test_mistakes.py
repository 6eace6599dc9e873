"""What a user gets wrong is told in one sentence with the remedy, exit 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.embedded import free_port
from world import World


def told(world: World, *args: str, **settings: str) -> str:
    """The one sentence a command ends with."""
    world.settings = settings
    done = world.run(*args)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    *_, sentence = done.stderr.strip().splitlines()
    assert sentence.startswith("tocsin: ")
    return sentence


@pytest.mark.parametrize("stage", ["up", "ingest", "watch", "bridge", "topics"])
def test_an_unreachable_broker_is_named(world: World, stage: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    sentence = told(
        world, stage,
        TOCSIN_KAFKA__BOOTSTRAP=address, TOCSIN_KAFKA__CONNECT_TIMEOUT_S="2",
    )  # fmt: skip
    assert address in sentence


@pytest.mark.parametrize("stage", ["up", "ingest", "watch"])
def test_an_unreachable_redis_is_named(world: World, stage: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert address in told(world, stage, TOCSIN_REDIS__URL=f"redis://{address}/0")


def test_missing_topics_come_with_the_command_that_makes_them(world: World) -> None:
    assert "tocsin topics" in told(world, "up", TOCSIN_TOPICS__PREFIX="nowhere")


def test_a_shard_count_that_does_not_fit_the_topic_is_refused(world: World) -> None:
    assert "shards" in told(world, "watch", TOCSIN_SHARDS="5")


def test_a_wrong_setting_is_named_as_it_is_written(world: World) -> None:
    assert "TOCSIN_WINDOW_S" in told(world, "ingest", TOCSIN_WINDOW_S="soon")
    assert "TOCSIN_REDSI__URL" in told(world, "ingest", TOCSIN_REDSI__URL="x")
    assert "production" in told(world, "ingest", TOCSIN_PROFILE="production")


def test_a_missing_file_is_named(world: World, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    assert missing in told(world, "--config", missing, "up")
    assert missing in told(world, "replay", missing)
    assert missing in told(world, "bridge", "--sink", f"file:{missing}/x")


def test_a_broken_rule_is_named_with_its_key(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "title: x\nkpi: cost\ndetector: spike\nviewz: []\nrunbook: [look]\n"
    )
    sentence = told(world, "watch", TOCSIN_RULES_DIR=str(tmp_path))
    assert "mine.yaml" in sentence
    assert "viewz" in sentence
