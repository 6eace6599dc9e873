"""Frames are a commutative monoid, and their bytes say all of them."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tocsin.flow.baseline.frames import (
    FrameError,
    add,
    canonical,
    decode,
    encode,
    merge,
    totals,
    without,
)
from tocsin.flow.rule_tests.series import frame_of
from tocsin.types import WindowFrame

_COUNTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.dictionaries(
        st.sampled_from(["n", "in", "d:7", "d:900"]), st.integers(1, 2**50), min_size=1
    ),
)
FRAMES = _COUNTS.map(lambda cells: frame_of(0, 60, cells))


def cells(frame: WindowFrame) -> Counter[tuple[str, str]]:
    said: Counter[tuple[str, str]] = Counter()
    for owner, field, value in zip(frame.owner, frame.field, frame.value, strict=True):
        said[frame.series[owner], frame.fields[field]] += int(value)
    return said


def same(left: WindowFrame, right: WindowFrame) -> bool:
    return encode(left) == encode(right)


@given(FRAMES, FRAMES)
def test_adding_frames_adds_every_counter(left: WindowFrame, right: WindowFrame) -> None:
    assert cells(add(left, right)) == cells(left) + cells(right)


@given(FRAMES, FRAMES, FRAMES)
def test_frames_add_in_any_order(a: WindowFrame, b: WindowFrame, c: WindowFrame) -> None:
    assert same(add(a, b), add(b, a))
    assert same(add(add(a, b), c), add(a, add(b, c)))
    assert same(merge([a, b, c], 0, 60), add(add(c, a), b))


@given(FRAMES)
def test_a_frame_without_cells_is_zero(frame: WindowFrame) -> None:
    assert same(add(frame, frame_of(0, 60, {})), canonical(frame))


@given(FRAMES, st.dictionaries(st.sampled_from(["n", "duration"]), st.lists(st.text())))
def test_bytes_say_the_whole_frame(frame: WindowFrame, excluded: dict[str, list[str]]) -> None:
    back, out = decode(encode(frame, excluded))
    assert cells(back) == cells(frame)
    assert (back.start, back.seconds, back.series) == (frame.start, frame.seconds, frame.series)
    assert out == {signal: sorted(names) for signal, names in excluded.items() if names}


@pytest.mark.parametrize("raw", [b"", b"\x00", encode(frame_of(0, 60, {}))[:-3]])
def test_bytes_that_are_no_frame_are_refused(raw: bytes) -> None:
    with pytest.raises(FrameError):
        decode(raw)


@given(FRAMES)
def test_totals_sum_the_fields_that_make_a_signal(frame: WindowFrame) -> None:
    said = cells(frame)
    expected = [said[name, "n"] + said[name, "in"] for name in frame.series]
    assert np.array_equal(totals(frame, ("n", "in")), expected)


@given(FRAMES)
def test_without_some_fields_a_frame_says_the_rest_of_all_its_series(frame: WindowFrame) -> None:
    left = without(frame, "d:")
    assert left.series == frame.series
    assert cells(left) == {
        key: count for key, count in cells(frame).items() if not key[1].startswith("d:")
    }
    assert not [name for name in left.fields if name.startswith("d:")]
    assert without(left, "d:") is left
