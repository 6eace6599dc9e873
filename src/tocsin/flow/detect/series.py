"""The series a rule is about, in one window: what they hold now beside what they held before.

A detector is given a `Series` and gives verdicts. All of its arrays are aligned: entry `i` is
the same series in each. It never changes what it reads.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tocsin.flow.baseline.expect.counts import DAY_S, Expected, expect
from tocsin.flow.baseline.expect.recent import recent, windows_of
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.seasonal import SeasonalRates
from tocsin.flow.detect.observations import Observations
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Bools, Floats, Group, Ints


@dataclass(frozen=True, slots=True)
class Series:
    """Some series of one shard in one window, as one rule sees them.

    Attributes:
        rule: whose signal, views and thresholds are meant.
        graded: the window beside its past.
        rows: the series, as rows of the shard's catalog.
        alerting: groups (of the rule's `group_by`) with an alert: they are judged whatever
            they hold, so that their alert can go on or end.
    """

    rule: RuleSpec
    graded: Graded
    rows: Ints
    alerting: frozenset[Group] = frozenset()

    @classmethod
    def of(cls, rule: RuleSpec, graded: Graded, alerting: frozenset[Group] = frozenset()) -> Self:
        """All series of the rule's views that its `where` admits."""
        rows = graded.history.catalog.of_views(rule.views, rule.where)
        return cls(rule, graded, rows, alerting)

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, which: Bools | Ints) -> Self:
        """Some of the series: a mask, or positions."""
        return replace(self, rows=self.rows[which])

    def at_rows(self, rows: Ints) -> Self:
        """Other series of the same window, seen by the same rule."""
        return replace(self, rows=rows)

    # ---- this window -------------------------------------------------------------------

    @property
    def now(self) -> Floats:
        """The rule's signal in this window; 0 where silent."""
        return self.current(self.rule.signal)

    @property
    def n(self) -> Floats:
        """Events in this window."""
        return self.current("n")

    def current(self, signal: str) -> Floats:
        """A count signal in this window."""
        return self.graded.current[signal][self.rows]

    @property
    def window_s(self) -> int:
        """Width of the window, s."""
        return self.graded.history.window_s

    @property
    def at(self) -> int:
        """Start of the window, epoch s."""
        return self.graded.at

    @property
    def end(self) -> int:
        """End of the window, epoch s."""
        return self.graded.end

    # ---- who they are ------------------------------------------------------------------

    @property
    def is_alerting(self) -> Bools:
        """Which belong to a group that has an alert."""
        if not self.alerting or not len(self.rows):
            return np.zeros(len(self.rows), bool)
        numbers, groups = self.graded.history.catalog.group_ids(self.rows, self.rule.group_by)
        alerted = np.array([group in self.alerting for group in groups], bool)
        found: Bools = alerted[numbers]
        return found

    @property
    def names(self) -> list[str]:
        """Series keys: view and dimension values."""
        names = self.graded.history.catalog.names
        return [names[row] for row in self.rows.tolist()]

    def dims(self, i: int) -> dict[str, str]:
        """Dimension -> value of entry `i`."""
        return self.graded.history.catalog.dims(int(self.rows[i]))

    def name(self, i: int) -> str:
        """Entry `i` for a reader: its service, and the dimension values beyond it."""
        dims = self.dims(i)
        extra = [f"{dim} {value}" for dim, value in dims.items() if dim not in {"env", "service"}]
        return " ".join([dims.get("service", "?"), *extra])

    # ---- their past --------------------------------------------------------------------

    @property
    def age_s(self) -> Ints:
        """Seconds since each was first seen, to the quarter-hour."""
        return self.graded.history.age(self.rows, self.graded.at)

    @property
    def warmup_s(self) -> int:
        """How long a series must have lived to be judged by its past, a day at most, s."""
        return min(self.graded.warmup * self.window_s, DAY_S)

    @property
    def is_warm(self) -> Bools:
        """Which have lived long enough to be judged by their past."""
        return self.age_s >= self.warmup_s

    def recent(self, signal: str, seconds: float) -> Floats:
        """[series, windows]: a count signal in the windows of the last `seconds`, newest last."""
        return recent(self.graded, signal, self.rows, seconds)

    def total(self, signal: str, seconds: float) -> Floats:
        """A count signal over the last `seconds`, this window included; three hours at most."""
        past = min(windows_of(self.graded, seconds) - 1, self.graded.history.width)
        return self.total_before(signal, past) + self.current(signal)

    def total_before(self, signal: str, windows: int) -> Floats:
        """A count signal over so many windows before this one; what is not known adds nothing."""
        return self.totals_before(signal, windows, 1)[:, 0]

    def quarters(self, signal: str, lag_s: int = 0, *, raw: bool = False, mark: str = "") -> Floats:
        """[series, quarter-hours]: a count signal up to `lag_s` before the window, newest last.

        NaN where nothing is known, or where it is not to be learned from (unless `raw`): by what
        was excluded under the key `mark`, else under the signal's own.
        """
        return self.graded.history.counts.quarters(
            signal, self.rows, self.graded.at - lag_s, mark, raw=raw
        )

    def expected(self, signal: str | None = None) -> Expected:
        """What the window should hold of the rule's signal (or of `signal`)."""
        graded, signal = self.graded, signal or self.rule.signal
        return expect(
            graded.history, signal, self.rows, at=graded.at, warmup=graded.warmup, skip=graded.skip
        )

    def expected_since(self, quiet_s: Ints) -> Expected:
        """The mean window between `quiet_s` (a series each, s) before this one and its end.

        The past is taken up to there only: a silence under judgement is no evidence of itself.
        """
        graded, signal = self.graded, self.rule.signal
        return expect(
            graded.history, signal, self.rows, at=graded.at, warmup=graded.warmup, quiet=quiet_s
        )

    def observations(self, signal: str | None = None) -> Observations:
        """The distributions of the rule's signal (or of `signal`): now, of late, and before."""
        return Observations(self.graded, signal or self.rule.signal, self.rows)

    def windows_before(self, signal: str, windows: int) -> Floats:
        """[series, windows]: a count signal in so many windows before this one, newest last.

        NaN where nothing is known; fewer columns where fewer windows are kept.
        """
        return self.graded.history.counts.trailing(signal, self.rows, windows)

    def totals_before(self, signal: str, windows: int, parts: int) -> Floats:
        """[series, parts]: totals of `windows` windows each, up to this one, newest last.

        What is not known adds nothing. All together are three hours at most.
        """
        return self.graded.history.counts.sums(signal, self.rows, windows, parts)

    def seasonal(self, times: Ints) -> SeasonalRates:
        """What the time of day or week says of the rule's signal at `times`.

        Those are epoch s, ascending, within a few hours.
        """
        return self.graded.history.seasonal.rates(self.rule.signal, self.rows, times)

    @property
    def is_quiet_time(self) -> bool:
        """Whether the window begins in configured quiet hours or on a holiday."""
        calendar = self.graded.history.weeks.calendar
        return calendar.is_quiet(self.graded.at) or calendar.is_holiday(self.graded.at)

    def in_view(self, view: str) -> Bools:
        """Which are series of a view."""
        return self.graded.history.catalog.in_view(self.rows, view)
