"""Times and counts as commands read and print them."""

import re
from datetime import UTC, datetime

from tocsin.errors import UserError

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(\d{1,9})([smhd])")


def moment(text: str, now_ms: int, option: str) -> int:
    """Epoch ms of `text`: ISO 8601 (no zone: UTC), epoch seconds, or an age: 90s, 30m, 2h, 7d.

    Raises UserError naming `option`.
    """
    text = text.strip()
    if age := _AGO.fullmatch(text):
        return now_ms - int(age[1]) * _UNIT_MS[age[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        if text.isdecimal():
            return int(text) * 1_000
        raise UserError(
            f"{option} {text!r} is no time; give one such as 2026-11-23T02:14:07Z, or an age: 30m."
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def utc(ms: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime(form)


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; the bare number if no calendar has it."""
    try:
        at = datetime.fromtimestamp(ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
