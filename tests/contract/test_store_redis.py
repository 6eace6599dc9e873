"""What only Redis can do to us: lose scripts, lose all, fill up, refuse, vanish."""

from __future__ import annotations

import asyncio
import re

import pytest
import redis
from redis.asyncio import Redis as Client

from servers import Redis
from stores import (
    LIVE,
    SHARDS,
    START,
    Bank,
    Launch,
    count,
    counters,
    flush,
    law,
    opened,
    run_delta,
)
from tocsin.embedded import LOOPBACK, free_port
from tocsin.errors import UserError
from tocsin.store import redis_errors
from tocsin.store.base import Store, StoreFull, StoreUnavailable
from tocsin.store.redis import RedisStore
from tocsin.types import Saved


async def exercise(store: Store, shard: int = 0) -> None:
    """Every call of the store, each of which must take effect."""
    runs, labels = [run_delta("t", 1, 2, 3)], [("ab", "name")]
    (reply,) = await store.merge([flush(0, 1, count(), shard=shard, runs=runs, labels=labels)])
    assert reply.applied
    epoch = await store.claim(shard)
    snapshot = await store.snapshot(shard, 0)
    assert (len(snapshot.changed), len(snapshot.runs)) == (1, 1)
    assert await counters(store, shard=shard) != {}
    assert await store.labels(shard) == dict(labels)
    assert await store.save(shard, epoch, Saved(None, 0, {"b": b"1"}, (b"e", b"f")))
    assert await store.load(shard) == {"b": b"1"}
    assert await store.outbox(shard) == [b"e", b"f"]
    assert await store.trim(shard, epoch, 1)
    await store.ping()
    await store.describe()


def test_every_key_of_a_shard_carries_its_hash_tag(redis_server: Redis, prefix: str) -> None:
    url = redis_server.url

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        for shard in range(SHARDS):
            await exercise(store, shard)

    asyncio.run(check(Bank(url, prefix)))
    with redis.Redis.from_url(url) as client:
        keys = [key.decode() for key in client.scan_iter(match=f"{prefix}*", count=1000)]
    tags = [re.match(rf"{prefix}:\{{(\d\d)\}}:[a-z]+(:|$)", key) for key in keys]
    assert all(tags), keys
    names = {tag[1] for tag in tags if tag}
    assert names == {f"{shard:02d}" for shard in range(SHARDS)}
    assert len(keys) == SHARDS * 9  # meta w i:1 w:1 r:1 labels dirty blobs out


def test_only_what_ends_by_itself_or_is_bounded_has_no_time_to_live(
    redis_server: Redis, prefix: str
) -> None:
    url = redis_server.url

    @law
    async def check(bank: Bank) -> None:
        await exercise(await opened(bank))

    asyncio.run(check(Bank(url, prefix)))
    with redis.Redis.from_url(url) as client:
        keys = [key.decode() for key in client.scan_iter(match=f"{prefix}:{{00}}*", count=1000)]
        lasting = {key.split(":")[2] for key in keys if client.ttl(key) == -1}
    assert lasting == {"meta", "w", "labels", "dirty", "blobs", "out"}


async def test_scripts_forgotten_by_the_server_are_sent_again(
    redis_server: Redis, prefix: str
) -> None:
    url = redis_server.url

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        async with Client.from_url(url) as client:
            for at in range(3):
                await client.script_flush()
                flushes = [flush(at, at + 1, count(), shard=shard) for shard in range(SHARDS)]
                assert all(reply.applied for reply in await store.merge(flushes))
        assert [await counters(store, shard=s) for s in range(SHARDS)] == [
            {LIVE: {"n": 3}}
        ] * SHARDS

    await check(Bank(url, prefix))


async def test_after_flushall_every_position_is_missing_and_the_owner_is_fenced(
    launch: Launch,
) -> None:
    url = f"redis://{LOOPBACK}:{launch()}"

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        await store.merge([flush(0, 1, count())])
        epoch = await store.claim(0)
        async with Client.from_url(url) as client:
            await client.flushall()
        assert await store.positions([0, 1]) == {}
        (reply,) = await store.merge([flush(1, 2, count())])
        assert (reply.applied, reply.expected) == (False, {0: None})
        assert not await store.save(0, epoch, Saved(60, 1, outbox=(b"x",)))
        assert (await store.snapshot(0, 1)).epoch != epoch
        assert await store.claim(0) > epoch  # although the store forgot the last one

    await check(Bank(url, "t"))


async def test_a_full_store_takes_nothing_and_goes_on_when_there_is_room(launch: Launch) -> None:
    url = f"redis://{LOOPBACK}:{launch('--maxmemory-policy', 'noeviction')}"

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        await store.merge([flush(0, 1, count(), runs=[run_delta("t", 1, 2, 3)])])
        epoch = await store.claim(0)
        await store.save(0, epoch, Saved(None, 0, {"old": b"1", "kept": b"1"}, (b"e",)))
        before = await store.snapshot(0, 0), await store.load(0), await counters(store)
        async with Client.from_url(url) as client:
            await client.config_set("maxmemory", "1")
            more = flush(1, 2, count(), count(120), runs=[run_delta("t", 4)], labels=[("a", "b")])
            with pytest.raises(StoreFull, match="raise maxmemory"):
                await store.merge([more])
            with pytest.raises(StoreFull):
                await store.save(0, epoch, Saved(60, 1, {"old": None, "new": b"2"}, (b"f",)))
            with pytest.raises(StoreFull):  # although its first change would free memory
                await store.save(0, epoch, Saved(None, 1, {"old": None}, (b"f",)))
            with pytest.raises(StoreFull):
                await store.initialise(2, {9: (await store.positions([0]))[0, 0]})
            assert await store.trim(0, epoch, 1)  # makes room: never refused
            after = await store.snapshot(0, 0), await store.load(0), await counters(store)
            assert after == before
            assert await store.labels(0) == {}
            await client.config_set("maxmemory", "0")
        assert (await store.merge([more]))[0].applied
        assert await store.save(0, epoch, Saved(60, 1, {"old": None}))

    await check(Bank(url, "t"))


async def test_a_full_store_of_the_oldest_version_is_told_apart_too(oldest_url: str) -> None:
    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        async with Client.from_url(oldest_url) as client:
            await client.config_set("maxmemory", "1")
            try:
                with pytest.raises(StoreFull):
                    await store.merge([flush(0, 1, count())])
            finally:
                await client.config_set("maxmemory", "0")
        assert await counters(store) == {}
        assert (await store.snapshot(0, 0)).seq == 0

    await check(Bank(oldest_url, "full"))


async def test_a_merge_that_timed_out_may_be_repeated(launch: Launch) -> None:
    url = f"redis://{LOOPBACK}:{launch()}"

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        hasty = RedisStore(url, bank.prefix, timeout_s=0.1)
        async with Client.from_url(url) as client:
            await hasty.ping()
            await client.client_pause(400)
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await hasty.merge([flush(0, 1, count())])
        await hasty.close()
        await asyncio.sleep(0.5)
        (reply,) = await store.merge([flush(0, 1, count())])
        assert reply.applied or reply.expected == {0: 1}
        assert await counters(store) == {LIVE: {"n": 1}}

    await check(Bank(url, "t"))


@pytest.mark.parametrize("clustered", [False, True])
async def test_a_save_that_timed_out_took_effect_once_at_most(
    redis_server: Redis, cluster_url: str, prefix: str, clustered: bool
) -> None:
    url = cluster_url if clustered else redis_server.url

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        epoch = await store.claim(0)
        await store.save(0, epoch, Saved(None, 0, outbox=(b"1",)))
        hasty = RedisStore(url, prefix, cluster=clustered, timeout_s=0.1)
        async with Client.from_url(url) as client:
            await hasty.ping()
            await client.client_pause(400)
            with pytest.raises(StoreUnavailable):
                await hasty.save(0, epoch, Saved(None, 0, outbox=(b"2",)))
        await hasty.close()
        await asyncio.sleep(0.5)
        assert await store.outbox(0) in ([b"1"], [b"1", b"2"])

    await check(Bank(url, prefix, cluster=clustered))


async def test_starts_of_expired_windows_do_not_pile_up(redis_server: Redis, prefix: str) -> None:
    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank, window_ttl_s=0.1)
        epoch = await store.claim(0)
        await store.merge([flush(0, 1, *(count(60 * i) for i in range(40)))])
        await store.save(0, epoch, Saved(60 * 30, 1))
        await asyncio.sleep(0.2)
        for _ in range(3):
            assert (await store.snapshot(0, 0)).windows == ()
        async with Client.from_url(redis_server.url) as client:
            assert await client.zcard(f"{prefix}:{{00}}:w") == 0

    await check(Bank(redis_server.url, prefix))


async def told(url: str) -> str:
    """The sentence a user sees when the store cannot be used."""
    store = RedisStore(url, timeout_s=2, connect_timeout_s=2)
    try:
        with pytest.raises(UserError) as caught:
            await store.merge([flush(0, 1, count())])
    finally:
        await store.close()
    assert isinstance(caught.value, StoreUnavailable)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


async def test_a_server_that_is_not_there_is_one_sentence_without_credentials() -> None:
    port = free_port()
    sentence = await told(f"redis://user:hush@{LOOPBACK}:{port}/0")
    assert f"{LOOPBACK}:{port}" in sentence
    assert "hush" not in sentence
    assert "redis.url" in sentence


async def test_a_wrong_or_missing_password_is_told_as_such(launch: Launch) -> None:
    port = launch()
    with redis.Redis(LOOPBACK, port) as client:
        client.config_set("requirepass", "right")
    assert "TOCSIN_REDIS__PASSWORD" in await told(f"redis://{LOOPBACK}:{port}")
    sentence = await told(f"redis://:wrong@{LOOPBACK}:{port}")
    assert "WRONGPASS" in sentence
    assert "wrong@" not in sentence


async def test_a_replica_is_told_as_such(launch: Launch) -> None:
    port = launch()
    good = RedisStore(f"redis://{LOOPBACK}:{port}")
    await good.initialise(0, {0: START})
    await good.close()
    with redis.Redis(LOOPBACK, port) as client:
        client.replicaof(LOOPBACK, str(free_port()))
    assert "point redis.url at the primary" in await told(f"redis://{LOOPBACK}:{port}")


async def test_the_access_list_in_the_remedy_suffices_and_is_needed(launch: Launch) -> None:
    port = launch()
    rights = re.search(r"~<prefix>:\* (.*)$", redis_errors.ERROR_HELP["NOPERM"])
    assert rights
    with redis.Redis(LOOPBACK, port) as client:
        client.execute_command(
            "ACL", "SETUSER", "tocsin", "on", ">pass", "~tocsin:*", *rights[1].split()
        )

    @law
    async def check(bank: Bank) -> None:
        await exercise(await opened(bank))

    await check(Bank(f"redis://tocsin:pass@{LOOPBACK}:{port}", "tocsin"))
    with pytest.raises(StoreUnavailable, match="ACL"):
        await check(Bank(f"redis://tocsin:pass@{LOOPBACK}:{port}", "other"))


async def test_a_server_that_evicts_says_so(launch: Launch) -> None:
    port = launch("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    store = RedisStore(f"redis://{LOOPBACK}:{port}")
    assert "set maxmemory-policy noeviction" in await store.describe()
    await store.close()


async def test_a_store_outlives_the_restart_of_its_server(redis_server: Redis, prefix: str) -> None:
    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        await store.merge([flush(0, 1, count())])
        await asyncio.to_thread(redis_server.stop)
        with pytest.raises(StoreUnavailable):
            await store.snapshot(0, 0)
        await asyncio.to_thread(redis_server.start)
        await store.ping()
        assert await store.positions([0]) == {}

    await check(Bank(redis_server.url, prefix))
