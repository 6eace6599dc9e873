"""One suite for both banks of the store: what watch relies on: runs, snapshot, save, expiry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from stores import CLOSED, LIVE, Bank, count, counters, flush, law, opened, run_delta, table
from tocsin.store.base import RUN_MIN_STEPS, SNAPSHOT_FIELDS, Store
from tocsin.store.memory import MemoryStore
from tocsin.store.redis import RedisStore
from tocsin.types import RING, RUN_HEADER, RUN_VERSION, SEP, STEP, Saved, join_series

# ---- runs ------------------------------------------------------------------------------


async def run_of(store: Store, trace: str) -> tuple[dict[str, float], list[int]]:
    """The header and the end times of a run's steps."""
    (state,) = [r.state for r in (await store.snapshot(0, 0)).runs if r.trace_id == trace]
    header = np.frombuffer(state, RUN_HEADER, 1)[0]
    steps = np.frombuffer(state, STEP, offset=RUN_HEADER.itemsize)
    return {name: float(header[name]) for name in RUN_HEADER.names or ()}, steps["end_ms"].tolist()


@law
async def test_a_run_adds_totals_and_keeps_the_earliest_start(bank: Bank) -> None:
    store = await opened(bank)
    await store.merge([flush(0, 1, runs=[run_delta("t", 1, 2, first=50)])])
    await store.merge([flush(1, 2, runs=[run_delta("t", 3, first=40), run_delta("t", 4)])])
    await store.merge([flush(2, 3, runs=[run_delta("t", 5, first=90, tokens=2**40)])])
    header, ends = await run_of(store, "t")
    assert ends == [1, 2, 3, 4, 5]
    assert header == {
        "version": RUN_VERSION,
        "spans": 5,
        "tokens": 30 + 2**40,
        "cost_nano": 28,
        "first_ms": 5,
    }


@law
async def test_a_run_keeps_its_last_steps(bank: Bank) -> None:
    store = await opened(bank)
    for at in range(10):
        ends = range(10 * at, 10 * at + 10)
        await store.merge([flush(at, at + 1, runs=[run_delta("t", *ends)])])
    header, kept = await run_of(store, "t")
    assert kept == list(range(100 - RING, 100))
    assert header["spans"] == 100
    await store.merge([flush(10, 11, runs=[run_delta("t", *range(1000, 1000 + 2 * RING))])])
    assert (await run_of(store, "t"))[1] == list(range(1000 + RING, 1000 + 2 * RING))


@law
async def test_a_run_is_reported_once_it_can_hold_a_loop(bank: Bank) -> None:
    store = await opened(bank)
    for at in range(RUN_MIN_STEPS):
        assert (await store.snapshot(0, 0)).runs == ()
        await store.merge([flush(at, at + 1, runs=[run_delta("t", at)])])
    assert [run.trace_id for run in (await store.snapshot(0, 0)).runs] == ["t"]


# ---- snapshot and save ---------------------------------------------------------------------


@law
async def test_an_untouched_shard_is_empty(bank: Bank) -> None:
    snapshot = await bank.open().snapshot(3, 0)
    assert (
        snapshot.shard,
        snapshot.epoch,
        snapshot.evaluated,
        snapshot.seq,
        snapshot.partitions,
    ) == (3, 0, None, 0, 0)
    assert (snapshot.positions, snapshot.windows, snapshot.changed, snapshot.runs) == (
        {},
        (),
        (),
        (),
    )


@law
async def test_a_snapshot_shows_counters_of_monotone_views_without_sketches(bank: Bank) -> None:
    store = await opened(bank)
    shown = {name: i + 1 for i, name in enumerate(SNAPSHOT_FIELDS)}
    full = count(60, LIVE, **shown, **{"d:12": 4, "e:timeout": 1})
    await store.merge([flush(0, 1, full, count(60, CLOSED), count(120, LIVE, **{"d:1": 1}))])
    snapshot = await store.snapshot(0, 0)
    (moved,) = snapshot.changed
    assert (moved.window, moved.series, moved.counts) == (60, LIVE, shown)
    assert (snapshot.windows, snapshot.partitions, snapshot.seq) == ((60, 120), 2, 1)


@law
async def test_a_snapshot_reports_each_change_until_it_is_seen_or_saved(bank: Bank) -> None:
    store = await opened(bank)
    other = LIVE + SEP + "b"
    runs = [run_delta("t", 1, 2, 3)]
    await store.merge([flush(0, 1, count(series=LIVE), count(series=other), runs=runs)])
    first = await store.snapshot(0, 0)
    assert {c.series for c in first.changed} == {LIVE, other}
    await store.merge([flush(1, 2, count(series=other))])
    second = await store.snapshot(0, first.seq)
    assert [(c.series, c.counts) for c in second.changed] == [(other, {"n": 2})]
    assert second.runs == ()
    epoch = await store.claim(0)
    assert {c.series for c in (await store.snapshot(0, 0)).changed} == {LIVE, other}
    await store.save(0, epoch, Saved(None, first.seq))
    after = await store.snapshot(0, 0)  # a new owner starts at 0: it finds what was not saved
    assert [c.series for c in after.changed] == [other]
    assert after.runs == ()


@law
async def test_a_snapshot_is_about_windows_after_the_evaluated_mark(bank: Bank) -> None:
    store = await opened(bank)
    epoch = await store.claim(0)
    await store.merge([flush(0, 1, count(180), count(60), count(120))])
    assert (await store.snapshot(0, 0)).windows == (60, 120, 180)
    await store.save(0, epoch, Saved(120, 0))
    snapshot = await store.snapshot(0, 0)
    assert (snapshot.evaluated, snapshot.windows) == (120, (180,))
    assert [c.window for c in snapshot.changed] == [180]
    assert await counters(store, 60) == {LIVE: {"n": 1}}  # kept for a late rebuild


@law
async def test_the_evaluated_mark_never_goes_back(bank: Bank) -> None:
    store = await opened(bank)
    epoch = await store.claim(0)
    for mark, expected in ((None, None), (0, 0), (120, 120), (60, 120), (None, 120), (180, 180)):
        assert await store.save(0, epoch, Saved(mark, 0))
        assert (await store.snapshot(0, 0)).evaluated == expected


@law
async def test_blobs_are_set_replaced_and_deleted_as_bytes(bank: Bank) -> None:
    store = await opened(bank)
    epoch = await store.claim(0)
    every = bytes(range(256))
    await store.save(0, epoch, Saved(None, 0, {"a": every, "b": b"", "c": b"1", "gone": None}))
    await store.save(0, epoch, Saved(None, 0, {"c": None, "b": b"2"}))
    assert await store.load(0) == {"a": every, "b": b"2"}
    assert await store.load(1) == {}


@law
async def test_the_outbox_keeps_order_and_is_trimmed_from_its_front(bank: Bank) -> None:
    store = await opened(bank)
    epoch = await store.claim(0)
    await store.save(0, epoch, Saved(None, 0, outbox=(b"1", b"\xff2")))
    await store.save(0, epoch, Saved(None, 0, outbox=(b"3",)))
    assert await store.outbox(0) == [b"1", b"\xff2", b"3"]
    assert await store.trim(0, epoch, 2)
    assert await store.outbox(0) == [b"3"]
    assert await store.trim(0, epoch, 0)
    assert await store.outbox(0) == [b"3"]
    assert await store.trim(0, epoch, 5)
    assert await store.outbox(0) == []


@law
async def test_every_claim_is_later_than_all_before(bank: Bank) -> None:
    store, other = await opened(bank), bank.open()
    epochs = [await (store, other)[i % 2].claim(0) for i in range(5)]
    assert epochs == sorted(set(epochs))
    assert (await store.snapshot(0, 0)).epoch == epochs[-1]
    assert (await store.snapshot(1, 0)).epoch == 0


@law
async def test_an_owner_that_was_replaced_can_change_nothing(bank: Bank) -> None:
    zombie, owner = await opened(bank), bank.open()
    old = await zombie.claim(0)
    await zombie.save(0, old, Saved(60, 0, {"a": b"old"}, (b"1",)))
    await zombie.merge([flush(0, 1, count(120))])
    new = await owner.claim(0)
    before = await owner.snapshot(0, 0)
    assert not await zombie.save(0, old, Saved(600, 9, {"a": None, "b": b"x"}, (b"2",)))
    assert not await zombie.trim(0, old, 1)
    assert await owner.snapshot(0, 0) == before
    assert await owner.load(0) == {"a": b"old"}
    assert await owner.outbox(0) == [b"1"]
    assert await owner.trim(0, new, 1)


@law
async def test_a_shard_nobody_claimed_is_not_saved(bank: Bank) -> None:
    store = await opened(bank)
    assert not await store.save(0, 7, Saved(60, 0, {"a": b"x"}, (b"1",)))
    assert (await store.load(0), await store.outbox(0)) == ({}, [])


@law
async def test_merges_need_no_claim_and_end_none(bank: Bank) -> None:
    store = await opened(bank)
    epoch = await store.claim(0)
    await store.merge([flush(0, 1, count())])
    assert await store.save(0, epoch, Saved(None, 1))
    assert (await store.merge([flush(1, 2, count())]))[0].applied


# ---- time to live ----------------------------------------------------------------------


@law
async def test_counters_and_runs_die_with_their_time_and_positions_stay(bank: Bank) -> None:
    store = await opened(bank, window_ttl_s=0.2, run_ttl_s=0.2)
    runs = [run_delta("t", 1, 2, 3)]
    await store.merge([flush(0, 1, count(60), count(120), runs=runs, labels=[("ab", "x")])])
    await bank.elapse(0.3)
    await store.merge([flush(1, 2, count(120, n=5))])
    snapshot = await store.snapshot(0, 0)
    assert snapshot.windows == (120,)
    assert [(c.window, c.counts) for c in snapshot.changed] == [(120, {"n": 5})]
    assert snapshot.runs == ()
    assert snapshot.positions[0].next == 2
    frames = await store.windows(0, [60, 120], 60)
    assert [table(frame) for frame in frames] == [{}, {LIVE: {"n": 5}}]
    assert await store.labels(0) == {"ab": "x"}


@law
async def test_a_run_lives_on_while_it_moves(bank: Bank) -> None:
    store = await opened(bank, run_ttl_s=0.4)
    await store.merge([flush(0, 1, runs=[run_delta("t", 1, 2, 3)])])
    for at in (1, 2):
        await bank.elapse(0.25)
        await store.merge([flush(at, at + 1, runs=[run_delta("t", 3 + at)])])
    assert (await run_of(store, "t"))[1] == [1, 2, 3, 4, 5]


@law
async def test_nothing_dies_before_its_time(bank: Bank) -> None:
    store = await opened(bank, window_ttl_s=30, run_ttl_s=30)
    await store.merge([flush(0, 1, count(60), runs=[run_delta("t", 1, 2, 3)])])
    await bank.elapse(0.05)
    snapshot = await store.snapshot(0, 0)
    assert (snapshot.windows, len(snapshot.runs)) == ((60,), 1)


# ---- bounds ----------------------------------------------------------------------------


async def test_the_oldest_changes_are_forgotten_beyond_the_limit(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "redis"):
        monkeypatch.setattr(f"tocsin.store.{module}.DIRTY_LIMIT", 3)
    names = [join_series("live", str(i)) for i in range(6)]

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        for at, name in enumerate(names):
            await store.merge([flush(at, at + 1, count(series=name))])
        assert [c.series for c in (await store.snapshot(0, 0)).changed] == names[3:]
        assert set(await counters(store)) == set(names)
        # Of one merge that alone brings too many, the first by name are forgotten.
        at_once = flush(6, 7, *(count(series=name) for name in reversed(names)))
        await store.merge([at_once])
        assert [c.series for c in (await store.snapshot(0, 0)).changed] == names[3:]

    await check(bank)


async def test_a_snapshot_with_many_changes_stops_after_a_whole_merge(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "redis"):
        monkeypatch.setattr(f"tocsin.store.{module}.SNAPSHOT_LIMIT", 4)
    sizes = (3, 2, 6, 1, 3, 4)  # changes a merge; a snapshot takes what fits, at least one merge

    @law
    async def check(bank: Bank) -> None:
        store = await opened(bank)
        for at, size in enumerate(sizes):
            named = [count(series=join_series("live", f"{at}-{i}")) for i in range(size)]
            await store.merge([flush(at, at + 1, *named)])
        seen, reported = 0, []
        while (snapshot := await store.snapshot(0, seen)).changed:
            reported.append((snapshot.seq, len(snapshot.changed)))
            seen = snapshot.seq
        assert reported == [(1, 3), (2, 2), (3, 6), (5, 4), (6, 4)]
        assert snapshot.seq == len(sizes)

    await check(bank)


@law
async def test_a_store_says_what_it_is_and_that_it_answers(bank: Bank) -> None:
    store = bank.open()
    await store.ping()
    assert (await store.describe()).split()[0] in {"memory", "Redis", "Valkey"}


def test_memory_is_a_store_to_the_type_checker() -> None:
    stores: Mapping[str, type[Store]] = {"memory": MemoryStore, "redis": RedisStore}
    assert set(stores) == {"memory", "redis"}
