"""Instants as producers write them: integer nanoseconds, or ISO 8601 text."""

from datetime import UTC, datetime

from tocsin.types import NANO

#: Event times outside 2000..2200 are mistakes (milliseconds, seconds, zero), not history.
FIRST_NS = 946_684_800 * NANO
LAST_NS = 7_258_118_400 * NANO
#: Stands for an instant that cannot be read; out of range, so that the range check finds it.
UNREADABLE = -1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400 * NANO
_LONGEST_ISO = 40


def instant_ns(value: int | str) -> int:
    """Nanoseconds since the epoch, or UNREADABLE.

    Text is ISO 8601 (without a zone: UTC; digits beyond microseconds are dropped, since
    Python's datetime has none) or the decimal digits of an integer.
    """
    if isinstance(value, str):
        value = value.strip()
        if len(value) > _LONGEST_ISO:
            return UNREADABLE
        value = int(value) if value.isascii() and value.isdecimal() else _iso_ns(value)
    return value if FIRST_NS <= value <= LAST_NS else UNREADABLE


def _iso_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return UNREADABLE
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Integers all the way: a float of seconds is 200 ns coarse today.
    since = moment - _EPOCH
    return since.days * _DAY_NS + since.seconds * NANO + since.microseconds * 1_000
