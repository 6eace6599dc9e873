"""The client's log: under `tocsin_client`, and each warning once, not once a span."""

from __future__ import annotations

import logging

_LOG = logging.getLogger("tocsin_client")


class Log:
    """Remembers what it has warned of; one a publisher."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn_once(self, what: str) -> None:
        """Warn, unless this very sentence was said before."""
        if what not in self._said:
            self._said.add(what)
            _LOG.warning("tocsin: %s", what)

    def info(self, what: str) -> None:
        """Note what needs no action."""
        _LOG.info("tocsin: %s", what)

    def failed(self, what: str, error: BaseException) -> None:
        """Log a fault of this package, with its traceback."""
        _LOG.error("tocsin: %s", what, exc_info=error)
