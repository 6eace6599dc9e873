"""Which parts of a series drive what happened to it: the models of a service, the tools of a run.

Parts are the series of the rule's `contributors` views that agree with the series in every
dimension it has, and have one more.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from tocsin.flow.detect.series import Series
from tocsin.flow.rules.spec import DIMS
from tocsin.types import Contributor, Floats

#: A part that brings less of the whole than this is not named; and no more than so many are.
MIN_SHARE: Final = 0.03
MOST_NAMED: Final = 5
_HOME = ("env", "service")  # the dimensions every series has


def drivers(series: Series, i: int, excess: Callable[[Series], Floats]) -> tuple[Contributor, ...]:
    """The parts of entry `i` that bring most of it, the greatest first.

    Args:
        series: the series judged.
        i: the entry that breached.
        excess: how much each of some parts brings, counted from 0; what is below 0 brings
            nothing. A part's share is of all that the parts of its view bring.
    """
    dims = series.dims(i)
    found: list[Contributor] = []
    for view in series.rule.contributors:
        extra = [dim for dim in DIMS[view] if dim not in dims]
        if len(extra) != 1 or not set(dims) <= set(DIMS[view]):
            continue
        parts = parts_of(series, view, dims)
        brings = np.maximum(excess(parts), 0.0) if len(parts) else np.zeros(0)
        whole = brings.sum()
        for part, more in enumerate(brings):
            if whole > 0 and more / whole >= MIN_SHARE:
                value = parts.dims(part)[extra[0]]
                found.append(Contributor(extra[0], value, float(f"{more / whole:.3g}")))
    found.sort(key=lambda part: (-part.share, part.dimension, part.value))
    return tuple(found[:MOST_NAMED])


def drivers_of_rise(
    series: Series, i: int, usual: Callable[[Series], Floats]
) -> tuple[Contributor, ...]:
    """The parts of entry `i` whose signal is now most above what is `usual` for each of them."""
    return drivers(series, i, lambda parts: parts.now - usual(parts))


def parts_of(series: Series, view: str, dims: Mapping[str, str]) -> Series:
    """The series of a view that have these dimension values; `dims` names env and service."""
    catalog = series.graded.history.catalog
    rows = catalog.of_view(view)
    numbers, groups = catalog.group_ids(rows, _HOME)
    home = tuple((dim, dims[dim]) for dim in _HOME)
    if home not in groups:
        return series.at_rows(np.empty(0, np.int64))
    near = series.at_rows(rows[numbers == groups.index(home)])
    inside = [dims.items() <= near.dims(i).items() for i in range(len(near))]
    return near.only(np.array(inside, bool))
