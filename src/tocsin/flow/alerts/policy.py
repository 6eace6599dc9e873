"""How one rule's alerts live: what opens them, what ends them, what keeps them quiet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

_HOUR_S: Final = 3_600
#: A window rule without a judgement for so long has lost its series.
STALE_S: Final = _HOUR_S


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule as lifecycle sees it. Durations are seconds of event time."""

    rule: str
    title: str
    kpi: str
    runbook: tuple[str, ...] = ()
    m: int = 1  # breached in m ...
    n: int = 1  # ... of the last n evaluations
    clear_windows: int = 1  # clear for so many evaluations in a row
    window_s: int = 60  # width of the judged windows; 0 for rules on runs
    step_s: int = 60  # from one evaluation to the next
    stale_s: int = STALE_S  # without any finding, a series or run no longer counts
    max_age_s: int = 48 * _HOUR_S  # nothing fires longer than this
    fold_s: int = 300  # breached again so soon after its end, an alert goes on
    flap_opens: int = 3  # so many openings ...
    flap_within_s: int = 6 * _HOUR_S  # ... in so long are one flapping incident ...
    flap_quiet_s: int = _HOUR_S  # ... that ends after so long without a breach
    inhibited_by: tuple[str, ...] = ()


def depths(policies: Iterable[Policy]) -> Mapping[str, int]:
    """How many rules stand above each rule in the order of inhibition; 0 has none above.

    What happens at one instant is handled from the top, so that an alert that opens
    together with the one that explains it is born suppressed. Rules in a circle are level.
    """
    return _depths(tuple((policy.rule, policy.inhibited_by) for policy in policies))


@lru_cache(maxsize=8)  # asked for by every tick, and the same for as long as the rules are
def _depths(rules: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, int]:
    above = dict(rules)

    def depth(rule: str, below: frozenset[str]) -> int:
        seen = below | {rule}
        return max((1 + depth(r, seen) for r in above.get(rule, ()) if r not in seen), default=0)

    return MappingProxyType({rule: depth(rule, frozenset()) for rule in above})
