"""Cuts of a batch: no part brings more of a run than it may, none is cut without need."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tocsin.run.replay.cut import cut

#: Records of a partition, each the traces of its spans.
PARTITION = st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=30)


def batch(partitions: list[list[list[str]]]) -> pl.DataFrame:
    """Spans as a batch has them: partition by partition, `row` the number of the record."""
    rows, row = [], 0
    for partition, records in enumerate(partitions):
        for traces in records:
            rows += [(partition, row, trace) for trace in traces]
            row += 1
    schema = {"partition": pl.Int32, "row": pl.UInt32, "trace_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


@given(st.lists(PARTITION, min_size=1, max_size=3), st.integers(3, 6))
def test_no_part_brings_more_of_a_run_than_it_may(
    partitions: list[list[list[str]]], most: int
) -> None:
    spans = batch(partitions)
    parts = cut(spans, most)
    assert (
        max(Counter(zip(parts.tolist(), spans["trace_id"], strict=True)).values(), default=0)
        <= most
    )
    for part in spans.with_columns(part=pl.Series(parts)).partition_by("partition"):
        assert part["part"].is_sorted()  # in order of the log
        assert part.group_by("row").agg(pl.col("part").n_unique())["part"].max() == 1


@given(PARTITION, st.integers(1, 6))
def test_a_part_ends_only_where_the_next_record_would_be_too_much(
    records: list[list[str]], most: int
) -> None:
    spans = batch([records])
    parts = cut(spans, most)
    for part in range(1, int(max(parts, default=0)) + 1):
        begun = spans.filter(pl.Series(parts == part))
        before = spans.filter(pl.Series(parts == part - 1))
        alone = before.height == 0 or before["row"].n_unique() == 1
        first = begun.filter(pl.col("row") == pl.col("row").min())
        together = Counter([*before["trace_id"], *first["trace_id"]])
        assert alone or begun.height == 0 or max(together.values()) > most


def test_a_batch_of_short_runs_is_one_part() -> None:
    assert not cut(batch([[[f"t{i % 40}"] for i in range(400)]])).any()
