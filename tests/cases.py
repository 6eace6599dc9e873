"""How many cases a law is checked on where one case is dear."""

from __future__ import annotations

from hypothesis import settings

_USUAL = 100  # what Hypothesis tries of itself


def cases(most: int) -> settings:
    """At most so many by `make test` and `make quick`; the more in `make fuzz`, as for any law."""
    profile = settings().max_examples
    if profile > _USUAL:
        return settings(max_examples=most * profile // _USUAL)
    return settings(max_examples=min(most, profile))
