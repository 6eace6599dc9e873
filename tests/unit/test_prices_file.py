"""The user's own prices: read as written, and a mistake in them is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memory_bus import MemoryRecord
from tocsin.config import Config, UserError
from tocsin.flow.windows.pricing import Prices, flat_rates
from tocsin.run.batch import PartitionProgress, read_batch
from tocsin.run.from_config import ingest_settings
from tocsin.run.prices import load_prices
from unit.decode_samples import END_NS, encode, native


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_prices_are_read_in_usd_per_million(tmp_path: Path) -> None:
    path = written(
        tmp_path, "My-Model: {input: 2, output: 8, cache_read: 0.5}\nembed: {input: 0.02}"
    )
    assert load_prices(path) == Prices(
        {"my-model": flat_rates(2.0, output=8.0, cache_read=0.5), "embed": flat_rates(0.02)}
    )  # fmt: skip


def test_no_file_and_an_empty_one_leave_the_list_prices(tmp_path: Path) -> None:
    assert load_prices(None) == load_prices(written(tmp_path, "# none yet\n")) == Prices()


def test_the_setting_reaches_ingest_and_replay(tmp_path: Path) -> None:
    config = Config(prices_file=written(tmp_path, "mine: {input: 1}"))
    assert ingest_settings(config).prices.overrides.keys() == {"mine"}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("mine: {inptu: 1}", "did you mean input?"),
        ("mine: {input: 1, thoughts: 2}", "use input, output"),
        ("mine: {output: 1}", "mine.input is missing"),
        ("mine: 3", "write prices by model"),
        ("3: {input: 1}", "write prices by model"),
        ("[1, 2]", "write prices by model"),
        ("mine: {input: -1}", "a number from 0"),
        ("mine: {input: .nan}", "a number from 0"),
        ("mine: {input: '1'}", "a number from 0"),
        ("mine: {input: yes}", "a number from 0"),
        ("mine: [", "not valid YAML in line"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_remedy(tmp_path: Path, text: str, remedy: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_prices(path)
    sentence = str(caught.value)
    assert remedy in sentence
    assert str(path) in sentence
    assert "\n" not in sentence


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml \(No such file"):
        load_prices(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"not UTF-8"):
        load_prices(tmp_path / "latin.yaml")


def test_a_batch_is_priced_before_it_is_folded(tmp_path: Path) -> None:
    config = Config(prices_file=written(tmp_path, "small: {input: 2}"), shards=1)
    calls: list[dict[str, Any]] = [
        {"model": "small"},
        {"model": "gpt-4o"},
        {"model": "large"},
        {"cost_usd": 0.5},
    ]
    values = [encode(native(**call, input_tokens=100)) for call in calls]
    now_ms = END_NS // 1_000_000
    records = [MemoryRecord("spans", 0, i, now_ms, 1, None, v, ()) for i, v in enumerate(values)]
    batch = read_batch({0: records}, {0: PartitionProgress(0)}, 1, ingest_settings(config), now_ms)
    assert batch.spans["cost_nano"].to_list() == [200_000, 250_000, None, 500_000_000]
    (flush,) = batch.flushes(batch.fences)
    (window,) = (d for d in flush.windows if d.series.startswith("calls_by_service"))
    counts = dict(zip(window.counts[::2], window.counts[1::2], strict=True))
    assert (counts["n"], counts["un"], counts["cost"]) == (4, 1, 500_450_000)
