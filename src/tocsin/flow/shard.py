"""Detection of one shard, pure: grade, judge, advance, then learn. In that order, always.

Live watch, replay and the tests inside rule files all run this class. The same frames give
the same events byte for byte, after a restore too: whatever outlasts a window is in blobs.

    m:<start>        a closed window      q:<start>   a closed quarter of an hour
    d:<start>        the hours of a day, six weeks of them
    a:<fingerprint>  an alert's state     k:names     which models, error classes ... it has met
    r:o:<trace>      a run that is waited for    r:b:<cell>  what runs were like
    c:<day>          what series with a budget cost
    g:governor       which groups and services rang lately
    z:residual       what every value of some series was like, saved by the hour
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tocsin.flow.alerts import AlertState, Budget, Governor, advance, governor, self_alert
from tocsin.flow.alerts.annotate import ChangeTable, explains
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.expect import new_level
from tocsin.flow.baseline.graded import Graded, grade
from tocsin.flow.baseline.history import seen_names
from tocsin.flow.baseline.history.calendars import Calendar
from tocsin.flow.baseline.history.cost_ledger import CostLedger
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.residual_history import ResidualHistory
from tocsin.flow.detect.detector import Rule, with_configuration
from tocsin.flow.detect.evaluate import judge, judge_open, residuals, signals, sketches, weekly
from tocsin.flow.detect.run_tracker import RunTracker
from tocsin.flow.detect.service_age import is_warm
from tocsin.flow.policies import policies_of
from tocsin.flow.windows.views import MONOTONE
from tocsin.types import (
    ChangedRun,
    ChangedSeries,
    CostBudget,
    Finding,
    Slo,
    WindowFrame,
    split_series,
)


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """What detection takes from the configuration."""

    window_s: int = 60
    #: Windows a series must have lived before a statistical rule speaks; a day at most.
    warmup_windows: int = 288
    #: Shell patterns; empty = any model is allowed.
    allowed_models: tuple[str, ...] = ()
    #: Shell patterns of tools that are meant to be polled, beside those of the loop rule.
    poll_tools: tuple[str, ...] = ()
    #: Latency objectives, beside those in the options of rules.
    slos: tuple[Slo, ...] = ()
    #: The wall clock that habits follow, its holidays and quiet hours.
    calendar: Calendar = field(default_factory=Calendar)
    #: Days a series must have lived before a baseline of its own may raise a critical alert.
    young_days: float = 21.0
    #: What model calls may cost.
    cost_budgets: tuple[CostBudget, ...] = ()
    #: How many alarms may be false before statistical rules must show more.
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step brings: events to publish, and blobs to save (None deletes one)."""

    events: tuple[AlertEvent, ...] = ()
    blobs: Mapping[str, bytes | None] = field(default_factory=dict)


#: Sees each window beside its past, before it is judged: for pictures of a backtest.
Observer = Callable[[Graded], None]


class ShardDetector:
    """See the module. Give it closed windows in order, and what moves in between."""

    observer: Observer | None = None

    def __init__(self, shard: int, rules: Sequence[Rule], settings: DetectSettings) -> None:
        self.shard = shard
        self._settings = settings
        self._rules = tuple(with_configuration(rule, settings) for rule in rules)
        self._policies = policies_of(self._rules, settings.window_s)
        self._policies[self_alert.POLICY.rule] = self_alert.POLICY
        self._runs = RunTracker(self._rules)
        self._history = History(
            settings.window_s,
            signals(self._rules),
            sketches(self._rules),
            settings.calendar,
            weekly(self._rules),
        )
        self._known = seen_names.SeenNames()
        self._ledger = CostLedger(settings.cost_budgets)
        self._residuals = ResidualHistory(settings.window_s, residuals(self._rules))
        self._young_s = round(settings.young_days * 86_400)
        self._governor = Governor(settings.budget)
        self._evidence = {r.id: r.evidence["p"] for r in self._rules if "p" in r.evidence}
        self._states: dict[str, AlertState] = {}
        self._now_ms = 0  # event time reached; it never goes back
        self._unjudged = False  # runs were seen that `open` has not judged yet
        self._judged_ms = 0  # event time up to which runs were judged

    @property
    def states(self) -> Mapping[str, AlertState]:
        """Alert states by fingerprint."""
        return self._states

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take up what an earlier owner saved; only before the first window.

        Raises:
            ValueError: a blob of another version.
        """
        self._history.restore(blobs)
        for key, raw in blobs.items():
            if key.startswith("a:"):
                self._states[key[2:]] = AlertState.decode(raw)
        self._ledger.restore(blobs)
        self._residuals.restore(blobs, self._history.catalog)
        if seen_names.BLOB in blobs:
            self._known.restore(blobs[seen_names.BLOB])
        last = self._history.last
        self._runs.restore(blobs, 0 if last is None else (last + self._settings.window_s) * 1_000)
        if governor.BLOB in blobs:
            self._governor.restore(blobs[governor.BLOB])

    def see(self, runs: Sequence[ChangedRun], labels: Mapping[str, str]) -> None:
        """Take note of runs that moved, before windows that hold their steps are closed."""
        self._runs.see(runs, labels)
        self._unjudged = bool(runs)

    def close(self, frame: WindowFrame, now_ms: int, changes: ChangeTable | None = None) -> Outcome:
        """Judge a closed window, then learn from it.

        Args:
            frame: the window's counters; windows must come in order, silent ones too. Those
                that are left out count as unknown, never as silence.
            now_ms: event time of the tick, at least the window's end.
            changes: what was changed of late: it may explain a level shift.
        """
        passed = self._history.reach(frame.start)
        graded = grade(
            self._history,
            frame,
            self._known,
            warmup=self._settings.warmup_windows,
            allowed_models=self._settings.allowed_models,
            young_s=self._young_s,
            ledger=self._ledger,
            residuals=self._residuals,
        )
        if self.observer is not None:
            self.observer(graded)
        findings, excluded = judge(self._rules, graded, self._watched())
        bad = {finding.rule for finding in findings if finding.breach}
        rows = self._history.rows(frame.series)
        early = judge_open(
            [rule for rule in self._rules if rule.id in bad],
            graded,
            rows,
            {signal: column[rows] for signal, column in graded.current.items()},
        )
        still = self._runs.close((frame.start + frame.seconds) * 1_000)
        outcome = self._advance([*self._unheard(early), *findings, *still], now_ms)
        blobs = {**outcome.blobs, **passed}
        names = self._learn_names(graded)
        if names is not None:
            blobs[seen_names.BLOB] = names
        blobs |= new_level.note(graded, excluded, self._hastened(graded, changes))
        blobs |= self._residuals.learn(excluded)
        blobs |= self._history.learn(frame, excluded) | self._ledger.learn(frame)
        return Outcome(outcome.events, blobs)

    def open(
        self,
        changed: Sequence[ChangedSeries],
        runs: Sequence[ChangedRun],
        labels: Mapping[str, str],
        now_ms: int,
    ) -> Outcome:
        """Judge what needs no closed window: counters that can only grow, and runs."""
        findings = self._runs.judge(runs, labels)
        self._unjudged = False
        windows: dict[int, list[ChangedSeries]] = defaultdict(list)
        for one in changed:
            if self._is_next(one.window):
                windows[one.window].append(one)
        for window in sorted(windows):
            findings += self._unheard(self._judge_open(window, windows[window]))
        return self._advance(findings, now_ms)

    def behind(self, low_ms: int, now_ms: int, after_ms: int) -> Outcome:
        """Judge the pipeline itself: `low_ms` is evaluated, `now_ms` is the clock."""
        is_open = any(
            s.is_open() for s in self._states.values() if s.rule == self_alert.POLICY.rule
        )
        finding = self_alert.stalled(low_ms, now_ms - low_ms, after_ms, is_open=is_open)
        return self._advance([finding], self._now_ms) if finding else Outcome()

    def _hastened(self, graded: Graded, changes: ChangeTable | None) -> new_level.Hastened:
        """Whether a level shift of a row was acknowledged, or is explained by a change."""
        catalog = graded.history.catalog
        rules = {rule.id: rule for rule in self._rules}
        known_of = [
            (rules[state.rule], state.group)
            for state in self._states.values()
            if state.status == "acknowledged" and state.rule in rules
        ]

        def hastened(signal: str, row: int, since: int) -> bool:
            if any(
                rule.signal == signal and catalog.group(row, rule.group_by) == group
                for rule, group in known_of
            ):
                return True
            dims = catalog.dims(row)
            return changes is not None and explains(
                changes, dims["env"], dims["service"], since * 1_000, graded.end * 1_000
            )

        return hastened

    def _is_next(self, window: int) -> bool:
        """Whether the past that the window is judged by is all there (see Graded.skip)."""
        last, width = self._history.last, self._settings.window_s
        return last is not None and last < window <= last + 2 * width

    def _judge_open(self, window: int, changed: Sequence[ChangedSeries]) -> list[Finding]:
        early = [one for one in changed if split_series(one.series)[0] in MONOTONE]
        series, counts = [one.series for one in early], [one.counts for one in early]
        rows = self._history.rows(series)
        empty = np.zeros(len(self._history.catalog))
        graded = Graded(
            window,
            self._history,
            self._known,
            self._settings.warmup_windows,
            self._settings.allowed_models,
            dict.fromkeys(self._history.signals, empty),
            {},
            self._young_s,
        )
        columns = {
            signal: np.array(
                [sum(c.get(f, 0) for f in SIGNAL_FIELDS[signal]) for c in counts], float
            )
            for signal in self._history.signals
        }
        return judge_open(self._rules, graded, rows, columns)

    def _unheard(self, findings: list[Finding]) -> list[Finding]:
        """Early findings open alerts; of an open one the closed window says more."""
        open_ = {(s.rule, s.group) for s in self._states.values() if s.is_open()}
        return [finding for finding in findings if (finding.rule, finding.group) not in open_]

    def _watched(self) -> dict[str, set[Group]]:
        watched: dict[str, set[Group]] = defaultdict(set)
        for state in self._states.values():
            watched[state.rule].add(state.group)
        return watched

    def _learn_names(self, graded: Graded) -> bytes | None:
        catalog, met = graded.history.catalog, graded.current["n"] > 0
        names = sorted(
            catalog.names[row]
            for view in seen_names.KEEP_S
            for row in catalog.of_view(view)
            if met[row]
        )
        return self._known.learn(names, graded.at, lambda name: is_warm(graded, name))

    def _advance(self, findings: Sequence[Finding], now_ms: int) -> Outcome:
        self._now_ms = max(self._now_ms, now_ms)
        if not self._unjudged:
            self._judged_ms = self._now_ms
        before = self._states
        # Alerts of windows age in windows: a partition that lags holds windows open, and an
        # alert may not expire because of it.
        last = self._history.last
        closed_ms = None if last is None else (last + self._settings.window_s) * 1_000
        heard = self._governor.govern(findings, before, self._evidence)
        events: tuple[AlertEvent, ...] = ()
        if before or heard:  # most windows of most shards have neither
            self._states, events = advance(
                before,
                heard,
                self._now_ms,
                self._policies,
                closed_ms=closed_ms,
                runs_ms=self._judged_ms,
            )
        blobs: dict[str, bytes | None] = self._runs.blobs()
        blobs |= {
            f"a:{key}": state.encode()
            for key, state in self._states.items()
            if state is not before.get(key)
        }
        blobs |= {f"a:{key}": None for key in before if key not in self._states}
        rang = self._governor.learn(events)
        if rang is not None:
            blobs[governor.BLOB] = rang
        return Outcome(events, blobs)
