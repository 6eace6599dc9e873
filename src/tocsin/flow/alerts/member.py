"""One series or run within an alert: its state after a finding.

A window rule judges each window of a series once when it is closed, and perhaps several times
before (`at_least`). A run is judged anew, as a whole, whenever it moves. A finding that is
neither newer nor worse than what is known changes nothing.
"""

from collections.abc import Callable

from msgspec.structs import replace

from tocsin.flow.alerts.policy import Policy
from tocsin.flow.alerts.state import Member
from tocsin.types import Finding


def after_finding(member: Member | None, finding: Finding, policy: Policy) -> Member | None:
    """The member after the finding; the same object (or None) if nothing changed."""
    if member is None:
        if not finding.breach:
            return None
        member = Member(window=finding.window - policy.step_s, at_ms=0)
    elif not (finding.breach or member.open or member.bits or member.latched):
        return member
    runs = policy.window_s == 0
    after = _run(member, finding) if runs else _window(member, finding, policy)
    if not finding.breach:
        return after
    if after is member and (runs or finding.at_least or member.counted >= finding.window):
        return member
    # A finding of a run gives all that it has burnt so far; that of a window the window's part.
    add: Callable[[int, int], int] = max if runs else int.__add__
    return replace(
        after,
        score=max(finding.score, member.score if member.open else 0.0),
        tokens=_both(add, member.tokens if member.open else None, finding.tokens_burnt),
        cost_nano=_both(add, member.cost_nano if member.open else None, finding.cost_burnt_nano),
        counted=after.counted if finding.at_least else finding.window,
        trace=finding.traces[0] if finding.traces else after.trace,
    )


def _run(member: Member, finding: Finding) -> Member:
    if finding.breach:
        worse = member.open and finding.score > member.score
        if finding.at_ms <= member.at_ms and not worse:
            return member
        return replace(
            member,
            at_ms=max(member.at_ms, finding.at_ms),
            onset_ms=member.onset_ms if member.open else finding.window * 1000,
            breaching=True,
            open=not member.latched,
        )
    if not finding.clear or finding.at_ms < member.at_ms:
        return member
    return replace(member, at_ms=finding.at_ms, breaching=False, open=False, latched=False)


def _window(member: Member, finding: Finding, policy: Policy) -> Member:
    steps = (finding.window - member.window) // policy.step_s
    if finding.window < member.window or (finding.at_least and not finding.breach):
        return member
    newer = finding.window > member.window
    bits = member.bits << min(max(steps, 1), policy.n) if newer else member.bits & ~1
    bits = (bits | finding.breach) & ((1 << policy.n) - 1)
    clears = 0 if finding.breach or not finding.clear else member.clears + newer
    opens = finding.breach and bits.bit_count() >= policy.m and not member.latched
    over = clears >= policy.clear_windows
    after = replace(
        member,
        window=finding.window,
        at_ms=max(member.at_ms, finding.at_ms),
        bits=0 if over else bits,
        clears=clears,
        breaching=finding.breach,
        open=(member.open or opens) and not over,
        latched=member.latched and not over,
    )
    if opens and not member.open:
        first = finding.window - (bits.bit_length() - 1) * policy.step_s
        after = replace(after, onset_ms=first * 1000)
    return member if after == member else after


def _both(add: Callable[[int, int], int], before: int | None, now: int | None) -> int | None:
    if before is None or now is None:
        return now if before is None else before
    return add(before, now)
