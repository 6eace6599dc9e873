"""One suite for both banks of the store: what ingest relies on. Fences and counters."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores import (
    CLOSED,
    LIVE,
    SHARDS,
    START,
    Bank,
    count,
    counters,
    flush,
    law,
    opened,
    run_delta,
    table,
)
from tocsin.store.base import COUNTER_MAX, Store
from tocsin.types import Fence, Position, Saved, ShardFlush, WindowDelta, join_series

# ---- fences ----------------------------------------------------------------------------


@law
async def test_a_flush_that_starts_where_the_shard_stands_is_applied(bank: Bank) -> None:
    store = await opened(bank)
    (reply,) = await store.merge([flush(0, 10, count(n=3), high=900, mark=600)])
    assert (reply.shard, reply.applied, reply.expected) == (0, True, {0: 10})
    assert await counters(store) == {LIVE: {"n": 3}}
    assert (await store.positions([0]))[0, 0] == Position(10, 900, 600, 0)


@law
async def test_a_replayed_flush_is_refused_with_the_offset_to_go_on_at(bank: Bank) -> None:
    store = await opened(bank)
    once = flush(0, 10, count(n=3), runs=[run_delta("t", 1, 2, 3)])
    await store.merge([once])
    before = await store.snapshot(0, 0)
    (again,) = await store.merge([once])
    assert (again.applied, again.expected) == (False, {0: 10})
    assert await store.snapshot(0, 0) == before
    assert await counters(store) == {LIVE: {"n": 3}}


@law
async def test_a_flush_ahead_of_the_shard_is_refused(bank: Bank) -> None:
    store = await opened(bank)
    (reply,) = await store.merge([flush(5, 9, count())])
    assert (reply.applied, reply.expected) == (False, {0: 0})
    assert await counters(store) == {}


@law
async def test_a_partition_never_initialised_is_refused_as_missing(bank: Bank) -> None:
    store = bank.open()
    (reply,) = await store.merge([flush(0, 1, count())])
    assert (reply.applied, reply.expected) == (False, {0: None})
    assert await counters(store) == {}
    assert await store.positions([0, 1]) == {}


@pytest.mark.parametrize("wrong", [0, 1, 2])
async def test_one_wrong_fence_of_several_refuses_the_whole_flush(bank: Bank, wrong: int) -> None:
    fences = [Fence(p, 4, 9, 50, 20) for p in range(3)]
    fences[wrong] = replace(fences[wrong], first=3)

    @law
    async def check(bank: Bank) -> None:
        store = bank.open()
        start = Position(4, None, None, 0)
        await store.initialise(0, dict.fromkeys(range(3), start))
        whole = ShardFlush(
            0, tuple(fences), 8, (count(),), (run_delta("t", 1, 2, 3),), (("ab", "name"),)
        )
        (reply,) = await store.merge([whole])
        assert (reply.applied, reply.expected) == (False, {0: 4, 1: 4, 2: 4})
        snapshot = await store.snapshot(0, 0)
        assert (snapshot.seq, snapshot.partitions, snapshot.windows, snapshot.runs) == (
            0,
            0,
            (),
            (),
        )
        assert snapshot.positions == dict.fromkeys(range(3), start)
        assert (await store.labels(0), await counters(store)) == ({}, {})

    await check(bank)


@law
async def test_a_refusal_tells_each_partition_apart(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 4, partition=1)])
    fences = (Fence(0, 2, 10, 50, 20), Fence(1, 0, 4, 50, 20), Fence(7, 0, 1, None, None))
    (reply,) = await store.merge([ShardFlush(0, fences, 8, (count(),), (), ())])
    assert (reply.applied, reply.expected) == (False, {0: 0, 1: 4, 7: None})


@law
async def test_several_fences_move_together(bank: Bank) -> None:
    store = await opened(bank)
    fences = (Fence(0, 0, 10, 50, 20), Fence(1, 0, 4, 60, None))
    (reply,) = await store.merge([ShardFlush(0, fences, 2, (count(),), (), ())])
    assert reply.expected == {0: 10, 1: 4}
    assert (await store.snapshot(0, 0)).positions == {
        0: Position(10, 50, 20, 0),
        1: Position(4, 60, None, 0),
    }


@law
async def test_a_flush_may_carry_as_many_partitions_as_a_topic_may_have(bank: Bank) -> None:
    store, many = bank.open(), 10_000
    await store.initialise(0, dict.fromkeys(range(many), START))
    fences = tuple(Fence(p, 0, p + 1, p, None) for p in range(many))
    (reply,) = await store.merge([ShardFlush(0, fences, many, (count(),), (), ())])
    assert reply.applied
    assert (await store.positions([many - 1]))[0, many - 1] == Position(many, many - 1, None, 0)
    (reply,) = await store.merge([ShardFlush(0, fences, many, (count(),), (), ())])
    assert reply.expected == {p: p + 1 for p in range(many)}


@law
async def test_shards_are_refused_and_applied_on_their_own(bank: Bank) -> None:
    store = await opened(bank)
    replies = await store.merge(
        [flush(0, 2, count(), shard=2), flush(1, 2, count(), shard=0), flush(0, 2, shard=3)]
    )
    assert [(r.shard, r.applied) for r in replies] == [(2, True), (0, False), (3, True)]


@law
async def test_a_flush_without_a_fence_is_a_mistake_of_the_caller(bank: Bank) -> None:
    store = await opened(bank)
    with pytest.raises(ValueError, match="shard 3 has no fence"):
        await store.merge([flush(0, 1, count()), ShardFlush(3, (), 2, (), (), ())])
    assert await counters(store) == {}


@law
async def test_merging_nothing_is_nothing(bank: Bank) -> None:
    store = await opened(bank)
    assert await store.merge([]) == []
    assert await store.windows(0, [], 60) == []


@law
async def test_high_and_watermark_never_go_back(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 1, high=900, mark=600)])
    await store.merge([flush(1, 2, high=800, mark=None)])
    await store.merge([flush(2, 3, high=None, mark=500)])
    assert (await store.positions([0]))[0, 0] == Position(3, 900, 600, 0)


@law
async def test_times_of_today_keep_every_digit(bank: Bank) -> None:
    store = await opened(bank)
    offset, at = 2**53 - 1, 1_893_456_789_123
    await store.initialise(0, {0: Position(offset - 1, at, at, at)}, force=True)
    await store.merge([flush(offset - 1, offset, high=at + 1, mark=at + 1)])
    assert (await store.positions([0]))[0, 0] == Position(offset, at + 1, at + 1, at)


@law
async def test_initialise_sets_only_what_is_missing(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 10, high=900, mark=600)])
    new = Position(3, 1, 1, 77)
    await store.initialise(0, {0: new, 5: new})
    positions = await store.positions([0, 5])
    assert positions[0, 0] == Position(10, 900, 600, 0)
    assert positions[0, 5] == new
    assert (1, 5) not in positions


@law
async def test_forced_initialise_overwrites_every_part(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 10, high=900, mark=600)])
    await store.initialise(0, {0: Position(3, None, None, 77)}, force=True)
    assert (await store.positions([0]))[0, 0] == Position(3, None, None, 77)
    assert (await store.merge([flush(3, 4)]))[0].applied


@law
async def test_positions_tell_only_of_what_was_asked(bank: Bank) -> None:
    store = await opened(bank)
    assert set(await store.positions([1])) == {(shard, 1) for shard in range(SHARDS)}
    assert await store.positions([]) == {}


@law
async def test_two_clients_merge_different_partitions_at_once(bank: Bank) -> None:
    one, two = await opened(bank), bank.open()
    rounds = 40

    async def pour(store: Store, partition: int) -> None:
        for at in range(rounds):
            (reply,) = await store.merge([flush(at, at + 1, count(), partition=partition)])
            assert reply.applied
            await asyncio.sleep(0)

    await asyncio.gather(pour(one, 0), pour(two, 1))
    assert await counters(one) == {LIVE: {"n": 2 * rounds}}
    assert (await one.snapshot(0, 0)).seq == 2 * rounds


@law
async def test_of_two_owners_of_a_partition_one_counts(bank: Bank) -> None:
    one, two = await opened(bank), bank.open()
    replies = await asyncio.gather(
        one.merge([flush(0, 5, count())]), two.merge([flush(0, 5, count())])
    )
    assert sorted(reply.applied for (reply,) in replies) == [False, True]
    assert await counters(one) == {LIVE: {"n": 1}}


# ---- counters --------------------------------------------------------------------------

_deltas = st.lists(
    st.builds(
        WindowDelta,
        window=st.sampled_from([60, 120]),
        series=st.sampled_from([LIVE, CLOSED, join_series("live", "prüf", "ß")]),
        counts=st.lists(
            st.tuples(st.sampled_from(["n", "cost", "d:17", "e:böse"]), st.integers(0, 2**40)),
            max_size=4,
        ).map(lambda pairs: tuple(part for pair in pairs for part in pair)),
    ),
    max_size=12,
)


@given(deltas=_deltas, cuts=st.lists(st.integers(0, 12), max_size=3), order=st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_into_flushes_in_any_order_gives_the_same_windows(
    bank: Bank, deltas: list[WindowDelta], cuts: list[int], order: random.Random
) -> None:
    fresh = Bank(bank.url, f"{bank.prefix}-{secrets.token_hex(6)}")
    edges = [0, *sorted(min(cut, len(deltas)) for cut in cuts), len(deltas)]
    parts = [deltas[a:b] for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    expected: dict[int, dict[str, Counter[str]]] = {60: {}, 120: {}}
    for delta in deltas:
        for name, by in zip(delta.counts[::2], delta.counts[1::2], strict=True):
            held = expected[delta.window].setdefault(delta.series, Counter())
            held[str(name)] += int(by)

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        whole = await store.merge([flush(0, 1, *deltas, shard=1)])
        for at, part in enumerate(parts):
            await store.merge([flush(at, at + 1, *part, shard=0)])
        assert whole[0].applied
        whole_frames = await store.windows(1, [60, 120], 60)
        split_frames = await store.windows(0, [60, 120], 60)
        for one, other in zip(whole_frames, split_frames, strict=True):
            assert table(one) == {s: dict(c) for s, c in expected[one.start].items()}
            assert (one.series, one.fields) == (other.series, other.fields)
            for column in ("owner", "field", "value"):
                np.testing.assert_array_equal(getattr(one, column), getattr(other, column))

    asyncio.run(check(fresh))


@law
async def test_a_frame_is_sorted_and_typed_as_declared(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 1, count(series=LIVE, n=1, err=2), count(series=CLOSED, zz=3))])
    await store.merge([flush(1, 2, count(series=CLOSED, a=4))])
    frame, empty = await store.windows(0, [60, 3600], 60)
    assert (frame.start, frame.seconds) == (60, 60)
    assert frame.series == (CLOSED, LIVE)
    assert frame.fields == ("a", "err", "n", "zz")
    assert frame.owner.tolist() == [0, 0, 1, 1]
    assert frame.field.tolist() == [0, 3, 1, 2]
    assert frame.value.tolist() == [4, 3, 2, 1]
    assert (empty.start, empty.series, empty.fields, len(empty.value)) == (3600, (), (), 0)
    for one in (frame, empty):
        assert [one.owner.dtype, one.field.dtype, one.value.dtype] == [
            np.uint32,
            np.uint16,
            np.int64,
        ]


@law
async def test_large_counters_are_exact_and_overflow_saturates(bank: Bank) -> None:
    store = await opened(bank)
    for at in range(3):
        await store.merge([flush(at, at + 1, count(n=2**53 - 1, cost=2**62, un=1))])
    assert await counters(store) == {LIVE: {"n": 3 * (2**53 - 1), "cost": COUNTER_MAX, "un": 3}}
    (moved,) = (await store.snapshot(0, 0)).changed
    assert moved.counts["n"] == 3 * (2**53 - 1)


@law
async def test_a_flush_wider_than_luas_stack_is_applied_whole(bank: Bank) -> None:
    store = await opened(bank)
    many = 9_000
    names = [join_series("live", f"s{i:05d}") for i in range(many)]
    labels = [(f"{i:016x}", f"name {i}") for i in range(many)]
    runs = [run_delta(f"t{i}", 1, 2, 3) for i in range(many)]
    wide = [count(series=name) for name in names]
    await store.merge([flush(0, 1, *wide, runs=runs, labels=labels)])
    snapshot = await store.snapshot(0, 0)
    assert {c.series for c in snapshot.changed} == set(names)
    assert len(snapshot.runs) == many
    assert await store.labels(0) == dict(labels)
    (frame,) = await store.windows(0, [60], 60)
    assert frame.series == tuple(names)
    epoch = await store.claim(0)
    blobs: dict[str, bytes | None] = {f"b{i}": b"x" for i in range(many)}
    outbox = tuple(b"%d" % i for i in range(many))
    assert await store.save(0, epoch, Saved(60, snapshot.seq, blobs, outbox))
    assert await store.load(0) == blobs
    assert await store.outbox(0) == list(outbox)
    assert await store.save(0, epoch, Saved(60, snapshot.seq, dict.fromkeys(blobs)))
    assert await store.load(0) == {}


@law
async def test_a_delta_without_counts_leaves_no_trace(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 1, WindowDelta(60, LIVE, ()))])
    snapshot = await store.snapshot(0, 0)
    assert (snapshot.windows, snapshot.changed, await counters(store)) == ((), (), {})


@law
async def test_labels_are_kept_by_hash(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 1, labels=[("00ff", "prod / søk"), ("00aa", "x")])])
    await store.merge([flush(1, 2, labels=[("00aa", "y")])])
    assert await store.labels(0) == {"00ff": "prod / søk", "00aa": "y"}
    assert await store.labels(1) == {}
