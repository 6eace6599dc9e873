"""Detection on one shard: findings of closed windows, of open ones and of runs.

A closed window takes two calls: `detect_window` judges it by the baselines as they were before
it, `update` then adds it to them. In between its findings move the alerts. Alerts are kept
elsewhere: what detection must know of them is handed in as groups by rule id.

What outlasts a call is in blobs, by key; `restore` takes them up again:

    m:<start>    a closed window                q:<start>    a closed quarter of an hour
    d:<start>    hours of a day, for six weeks  k:names      names seen: models, error classes ...
    r:o:<trace>  a run that is waited for       r:b:<cell>   statistics of runs
    c:<day>      costs of series with a budget  z:residual   residual models, saved by the hour
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tocsin.flow.baseline.expect import new_level
from tocsin.flow.baseline.graded import Graded, grade
from tocsin.flow.baseline.history import seen_names
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.baseline.history.cost_ledger import CostLedger
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.residual_history import ResidualHistory
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.evaluate import judge, judge_open, residuals, signals, sketches, weekly
from tocsin.flow.detect.run_tracker import RunTracker
from tocsin.flow.detect.service_age import is_service_warm
from tocsin.flow.windows.views import MONOTONE
from tocsin.types import (
    ChangedRun,
    ChangedSeries,
    CostBudget,
    Finding,
    Group,
    Slo,
    WindowFrame,
    split_series,
)

#: Rule id -> groups with an alert of that rule.
Groups = Mapping[str, set[Group]]
#: Receives each closed window beside its baselines before it is judged: for backtest charts.
Observer = Callable[[Graded], None]
#: (env, service, since, now), epoch s: whether a recorded change explains a new level since then.
Explained = Callable[[str, str, int, int], bool]


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """What detection takes from the configuration."""

    window_s: int = 60
    #: Windows of history a series needs before a statistical rule judges it; a day at most.
    warmup_windows: int = 288
    #: Shell patterns; empty = any model is allowed.
    allowed_models: tuple[str, ...] = ()
    #: Shell patterns of tools that are meant to be polled, beside those of the loop rule.
    poll_tools: tuple[str, ...] = ()
    #: Latency objectives, beside those in the options of rules.
    slos: tuple[Slo, ...] = ()
    #: The wall clock of seasonal profiles, its holidays and quiet hours.
    calendar: Calendar = field(default_factory=Calendar)
    #: Days of history a series needs before its own baseline may raise a critical alert.
    young_days: float = 21.0
    #: What model calls may cost.
    cost_budgets: tuple[CostBudget, ...] = ()


@dataclass(frozen=True, slots=True)
class Detected:
    """What one step of detection gives: findings, and blobs to save (None deletes one)."""

    findings: tuple[Finding, ...]
    blobs: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class DetectedWindow(Detected):
    """The same of a closed window, with what `update` needs to add it to the baselines."""

    frame: WindowFrame
    graded: Graded
    excluded: Mapping[str, np.ndarray]  # signal -> rows that no baseline is made of


class ShardDetector:
    """See the module. Takes closed windows in order of time, and what moved in between.

    Args:
        rules: as prepared by `with_configuration`.
        settings: of all shards.
        observer: see Observer.
    """

    def __init__(
        self, rules: Sequence[Rule], settings: DetectSettings, observer: Observer | None = None
    ) -> None:
        self._rules, self._settings, self._observer = tuple(rules), settings, observer
        self._runs = RunTracker(self._rules)
        read, views, by_hour = signals(self._rules), sketches(self._rules), weekly(self._rules)
        self.history = History(settings.window_s, read, views, settings.calendar, by_hour)
        self._names = seen_names.SeenNames()
        self._ledger = CostLedger(settings.cost_budgets)
        self._residuals = ResidualHistory(settings.window_s, residuals(self._rules))
        self._young_s = round(settings.young_days * 86_400)
        self._runs_judged = True

    @property
    def closed_ms(self) -> int | None:
        """End of the newest window in the baselines, epoch ms; None before the first."""
        last = self.history.last
        return None if last is None else (last + self._settings.window_s) * 1_000

    @property
    def runs_judged(self) -> bool:
        """Whether all runs that were noted have been judged since."""
        return self._runs_judged

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take up what an earlier owner saved; only before the first window.

        Raises:
            ValueError: a blob of another version.
        """
        self.history.restore(blobs)
        self._ledger.restore(blobs)
        self._residuals.restore(blobs, self.history.catalog)
        if seen_names.BLOB in blobs:
            self._names.restore(blobs[seen_names.BLOB])
        self._runs.restore(blobs, self.closed_ms or 0)

    def note_runs(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> None:
        """Record runs that moved; must come before the windows of their steps are closed."""
        self._runs.see(runs, labels)
        self._runs_judged = not runs

    def detect_window(
        self, frame: WindowFrame, watched: Groups, alerting: Groups
    ) -> DetectedWindow:
        """Judge a closed window by the baselines before it.

        A rule that breaches is also judged as if the window were still open: a flush in time
        would have opened the alert with that finding. Runs that stand still are judged too.

        Args:
            frame: the window's counters; windows must come in order, silent ones too. Those
                that are left out count as unknown, never as silence.
            watched: groups with an alert in any state: each gets a finding, breach or not.
            alerting: groups with an open alert.
        """
        passed = self.history.reach(frame.start)
        graded = grade(
            self.history,
            frame,
            self._names,
            warmup=self._settings.warmup_windows,
            allowed_models=self._settings.allowed_models,
            young_s=self._young_s,
            ledger=self._ledger,
            residuals=self._residuals,
        )
        if self._observer is not None:
            self._observer(graded)
        findings, excluded = judge(self._rules, graded, watched)
        breached = {finding.rule for finding in findings if finding.breach}
        rows = self.history.rows(frame.series)
        columns = {signal: column[rows] for signal, column in graded.current.items()}
        may_be_early = [rule for rule in self._rules if rule.id in breached]
        early = judge_open(may_be_early, graded, rows, columns)
        still = self._runs.close((frame.start + frame.seconds) * 1_000)
        found = (*_without_alert(early, alerting), *findings, *still)
        return DetectedWindow(found, {**self._runs.blobs(), **passed}, frame, graded, excluded)

    def update(
        self, window: DetectedWindow, acknowledged: Groups, explained: Explained
    ) -> dict[str, bytes | None]:
        """Add a judged window to the baselines; gives the blobs to save.

        Args:
            window: the newest that was judged.
            acknowledged: groups with an acknowledged alert: a new level there is accepted at once.
            explained: says so of a new level that a change explains.
        """
        graded, excluded = window.graded, window.excluded
        names = self._update_names(graded)
        blobs: dict[str, bytes | None] = {} if names is None else {seen_names.BLOB: names}
        accepts = self._accepts_at_once(graded, acknowledged, explained)
        blobs |= new_level.note(graded, excluded, accepts) | self._residuals.learn(excluded)
        blobs |= self.history.learn(window.frame, excluded) | self._ledger.learn(window.frame)
        return blobs

    def detect_open(
        self,
        changed: Sequence[ChangedSeries],
        runs: Sequence[ChangedRun],
        labels: Mapping[str, str],
        alerting: Groups,
    ) -> Detected:
        """Judge runs that moved, and counters of open windows by rules on what can only grow.

        Args:
            changed: counters so far, of any views and windows.
            runs: runs that moved.
            labels: STEP.label, as 16 hex digits -> its names.
            alerting: groups with an open alert.
        """
        findings = self._runs.judge(runs, labels)
        self._runs_judged = True
        windows: dict[int, list[ChangedSeries]] = defaultdict(list)
        for one in changed:
            if self._is_next(one.window):
                windows[one.window].append(one)
        for window in sorted(windows):
            findings += _without_alert(self._judge_open(window, windows[window]), alerting)
        return Detected(tuple(findings), self._runs.blobs())

    def _is_next(self, window: int) -> bool:
        """Whether all windows that the expectation of this one is made of are closed.

        See Graded.skip.
        """
        last, width = self.history.last, self._settings.window_s
        return last is not None and last < window <= last + 2 * width

    def _judge_open(self, window: int, changed: Sequence[ChangedSeries]) -> list[Finding]:
        early = [one for one in changed if split_series(one.series)[0] in MONOTONE]
        series, counts = [one.series for one in early], [one.counts for one in early]
        rows = self.history.rows(series)
        empty = np.zeros(len(self.history.catalog))
        warmup, allowed = self._settings.warmup_windows, self._settings.allowed_models
        silent = dict.fromkeys(self.history.signals, empty)
        graded = Graded(
            window, self.history, self._names, warmup, allowed, silent, {}, self._young_s
        )
        columns = {
            signal: np.array(
                [sum(c.get(f, 0) for f in SIGNAL_FIELDS[signal]) for c in counts], float
            )
            for signal in self.history.signals
        }
        return judge_open(self._rules, graded, rows, columns)

    def _update_names(self, graded: Graded) -> bytes | None:
        catalog, met = graded.history.catalog, graded.current["n"] > 0
        names = sorted(
            catalog.names[row]
            for view in seen_names.KEEP_S
            for row in catalog.of_view(view)
            if met[row]
        )
        return self._names.learn(names, graded.at, lambda name: is_service_warm(graded, name))

    def _accepts_at_once(
        self, graded: Graded, acknowledged: Groups, explained: Explained
    ) -> new_level.Hastened:
        """Says whether a level shift of a row was acknowledged, or is explained by a change."""
        catalog = graded.history.catalog

        def accepts(signal: str, row: int, since: int) -> bool:
            for rule in self._rules:
                groups = acknowledged.get(rule.id)
                if groups and rule.signal == signal and catalog.group(row, rule.group_by) in groups:
                    return True
            dims = catalog.dims(row)
            return explained(dims["env"], dims["service"], since, graded.end)

        return accepts


def _without_alert(findings: Sequence[Finding], alerting: Groups) -> list[Finding]:
    """Early findings open alerts; an open one is moved by the closed window's finding alone."""
    return [one for one in findings if one.group not in alerting.get(one.rule, ())]
