"""Rows are addresses: given back, used again, and never mistaken for what they held."""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.types import join_series

GROUP = ("env", "service")


def series(service: str) -> str:
    return join_series("runs_by_service", "prod", service)


def test_groups_pass_over_rows_that_were_given_back() -> None:
    catalog = Catalog()
    rows = catalog.rows([series("a"), series("b"), series("c")])
    catalog.forget([int(rows[1])])
    numbers, groups = catalog.group_ids(rows[[0, 2]], GROUP)
    assert [dict(groups[i])["service"] for i in numbers] == ["a", "c"]


def test_a_row_used_again_is_of_its_new_group() -> None:
    catalog = Catalog()
    rows = catalog.rows([series("a"), series("b")])
    catalog.group_ids(rows, GROUP)
    catalog.forget([int(rows[0])])
    again = catalog.rows([series("new")])
    assert again == rows[:1]
    numbers, groups = catalog.group_ids(again, GROUP)
    assert dict(groups[int(numbers[0])])["service"] == "new"
    assert catalog.of_view("runs_by_service").tolist() == [0, 1]


def test_a_view_that_is_no_more_is_in_no_group_of_others() -> None:
    catalog = Catalog()
    rows = catalog.rows([join_series("gone_view", "prod", "a", "x"), series("a")])
    numbers, groups = catalog.group_ids(rows, GROUP)
    assert [groups[i] for i in numbers] == [(("env", ""), ("service", "")),
                                            (("env", "prod"), ("service", "a"))]  # fmt: skip
    assert np.array_equal(catalog.in_view(rows, "runs_by_service"), [False, True])


def test_of_series_that_are_not_known_there_is_no_row() -> None:
    catalog = Catalog()
    rows = catalog.rows([series("a"), series("b")])
    assert catalog.known([series("b"), series("gone"), series("a"), ""]).tolist() == [1, 0]
    catalog.forget([int(rows[0])])
    assert catalog.known([series("a")]).tolist() == []
