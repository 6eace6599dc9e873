"""What deploy/ tells a user to do works: permissions suffice and no more, settings exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from click.testing import CliRunner

from tocsin.cli.main import main
from tocsin.config import Config, load
from tocsin.embedded import LOOPBACK, free_port, redis_binary, start_redis
from tocsin.run.topics import specs
from tocsin.store.redis import RedisStore
from tocsin.types import Fence, Position, RunDelta, Saved, ShardFlush, WindowDelta

ROOT = Path(__file__).parents[2]


@pytest.fixture
def guarded() -> Iterator[str]:
    """Give the URL of a Redis that admits the user of deploy/redis.acl only."""
    port = free_port()
    acl = str(ROOT / "deploy" / "redis.acl")
    child = start_redis(redis_binary(), port, "--aclfile", acl)
    yield f"redis://tocsin:change-me@{LOOPBACK}:{port}/0"
    child.stop()


async def test_the_redis_user_may_do_all_that_the_store_does(guarded: str) -> None:
    flush = ShardFlush(
        shard=0,
        fences=(Fence(partition=0, first=0, next=2, high_ms=1_000, watermark_ms=500),),
        partitions=1,
        windows=(WindowDelta(0, "runs_by_service\x1fprod\x1fapi", ("n", 2)),),
        runs=(RunDelta("trace", 2, 10, 5, 100, b""),),
        labels=(("00", "api"),),
    )
    async with RedisStore(guarded) as store:
        await store.ping()
        assert "Redis" in await store.describe()
        await store.initialise(0, {0: Position(0, None, None, 0)})
        assert [reply.applied for reply in await store.merge([flush])] == [True]
        epoch = await store.claim(0)
        snapshot = await store.snapshot(0, 0)
        assert snapshot.windows == (0,)
        assert await store.windows(0, [0], 60)
        assert await store.save(0, epoch, Saved(0, snapshot.seq, {"a": b"b"}, (b"event",)))
        assert await store.outbox(0) == [b"event"]
        assert await store.trim(0, epoch, 1)
        assert await store.load(0) == {"a": b"b"}
        assert await store.labels(0) == {"00": "api"}
        assert (0, 0) in await store.positions([0])


@pytest.mark.parametrize("command", ["FLUSHALL", "CONFIG GET *", "KEYS *", "SET other 1"])
def test_the_redis_user_may_do_no_harm(guarded: str, command: str) -> None:
    with (
        redis.Redis.from_url(guarded) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())


def test_who_does_not_say_who_he_is_may_do_nothing(guarded: str) -> None:
    with (
        redis.Redis.from_url(guarded.replace("tocsin:change-me@", "")) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()


def environments() -> Iterator[dict[str, str]]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = [s for s in compose["services"].values() if "environment" in s]
    for service in services:
        yield {k: str(v) for k, v in service["environment"].items() if k.startswith("TOCSIN")}
    for resource in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()):
        yield resource.get("data", {})


def test_every_setting_that_deploy_names_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("long-enough-to-be-a-secret-key-0123456789")
    for settings in environments():
        for name, value in settings.items():
            monkeypatch.setenv(name, str(secret) if name.endswith("_FILE") else value)
        assert isinstance(load(), Config)  # an unknown or wrong setting raises UserError


def commands() -> Iterator[str]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    yield from (s["command"] for s in compose["services"].values() if s["image"] == "tocsin")
    for resource in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()):
        if "spec" in resource:
            yield " ".join(resource["spec"]["template"]["spec"]["containers"][0]["args"])


def test_every_command_that_deploy_runs_exists() -> None:
    assert len(list(commands())) == 8
    for command in commands():
        done = CliRunner().invoke(main, [*command.split(), "--help"])
        assert done.exit_code == 0, done.output


def test_kafka_permissions_name_every_topic() -> None:
    script = (ROOT / "deploy" / "kafka-permissions.sh").read_text()
    named = set(re.findall(r"tocsin\.[a-z]\S*v1\S*", script))
    assert named == {spec.name for spec in specs(Config())}
