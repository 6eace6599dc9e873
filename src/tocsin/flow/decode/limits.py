"""The limits of a message, and the exception that refuses one."""

from dataclasses import dataclass

from tocsin.types import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on untrusted input. What exceeds one is refused, except names, which are cut.

    No format that is read packs a value inside a record (a gzip or zstd one is
    UNKNOWN_FORMAT). A Kafka batch is unpacked by the client, one at a time and without a limit
    of its own: `max_bytes` is of the unpacked value, and until it is judged the batch is in
    memory. Where producers are not trusted, set `compression.type: uncompressed` on the topic:
    the broker then unpacks, and holds every batch to `max.message.bytes` as it unpacked.
    """

    max_bytes: int = 1_048_576  # of one message; the collector's own cap is 1,000,000
    max_depth: int = 32  # nesting of a value that is read (what is skipped may be deeper)
    max_spans: int = 10_000  # in one message
    max_string: int = 200  # characters of a name; longer names are cut, longer ids refused
    max_attributes: int = 4_096  # of a span, an event or a resource; native spans have none

    def check_attributes(self, count: int) -> None:
        """Raises RefusedError for more attributes than there may be."""
        if count > self.max_attributes:
            raise RefusedError(Reason.TOO_LARGE, "attributes")


class RefusedError(Exception):
    """A message, or one span of it, cannot be read. Never leaves the decode package."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail  # a field or attribute name of ours; never payload text
