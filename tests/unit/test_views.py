"""The views table is consistent with the span schema it reads."""

from __future__ import annotations

from tocsin.flow.windows.views import DERIVED, VIEWS
from tocsin.types import MODEL_CALL_KINDS, SEP, SPAN_SCHEMA, Kind


def test_view_names_are_unique_and_fit_a_series_key() -> None:
    names = [view.name for view in VIEWS]
    assert len(set(names)) == len(names)
    assert not any(SEP in name for name in names)


def test_every_dimension_is_a_text_column_of_the_span() -> None:
    for view in VIEWS:
        for column in view.dims:
            kind = "String" if column in DERIVED else str(SPAN_SCHEMA[column])
            assert kind == "String", (view.name, column)


def test_every_view_stays_inside_one_shard() -> None:
    assert all(view.dims[:2] == ("env", "service") for view in VIEWS)


def test_what_a_view_needs_is_a_column_of_the_span() -> None:
    assert all(view.needs in {*SPAN_SCHEMA, *DERIVED} for view in VIEWS if view.needs)


def test_infrastructure_spans_are_in_no_view() -> None:
    assert not any(Kind.OTHER in view.kinds for view in VIEWS)


def test_open_windows_are_judged_only_where_a_counter_can_only_grow() -> None:
    assert {view.name for view in VIEWS if view.monotone} == {
        "runs_by_service",
        "runs_by_agent",
        "runs_by_route",
        "calls_by_service",
        "calls_by_agent",
        "calls_by_route",
        "calls_by_model",
        "tools_by_tool",
    }


def test_tokens_are_read_from_model_calls_only() -> None:
    by_name = {view.name: view for view in VIEWS}
    for name, view in by_name.items():
        assert view.kinds == MODEL_CALL_KINDS or not name.startswith("calls_by_"), name
