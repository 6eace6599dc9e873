"""How one rule's alerts open, end, flap and are inhibited."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

_HOUR_S: Final = 3_600
#: A series without a finding for so long no longer counts, s; at least this for window rules.
STALE_S: Final = _HOUR_S


@dataclass(frozen=True, slots=True)
class Policy:
    """What alerts must know of one rule. Durations are seconds of event time."""

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
    max_age_s: int = 48 * _HOUR_S  # an alert that is open for longer expires
    fold_s: int = 300  # breached again so soon after its end, an alert reopens
    flap_opens: int = 3  # so many openings ...
    flap_within_s: int = 6 * _HOUR_S  # ... in so long are one flapping incident ...
    flap_quiet_s: int = _HOUR_S  # ... that ends after so long without a breach
    inhibited_by: tuple[str, ...] = ()


def depths(policies: Iterable[Policy]) -> Mapping[str, int]:
    """How many rules stand above each rule in the order of inhibition; 0 has none above.

    Findings of one instant are applied from the top, so that an alert that opens together with
    the one that inhibits it opens as suppressed. Rules in a circle have the same depth.
    """
    return _depths(tuple((policy.rule, policy.inhibited_by) for policy in policies))


@lru_cache(maxsize=8)  # asked for by every tick, and the same for as long as the rules are
def _depths(rules: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, int]:
    above = dict(rules)

    def depth(rule: str, below: frozenset[str]) -> int:
        seen = below | {rule}
        return max((1 + depth(r, seen) for r in above.get(rule, ()) if r not in seen), default=0)

    return MappingProxyType({rule: depth(rule, frozenset()) for rule in above})
