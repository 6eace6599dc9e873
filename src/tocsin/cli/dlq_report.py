"""What `tocsin dlq show` and `tocsin dlq replay` print of DLQ records."""

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.bus.base import Bus
from tocsin.cli.text import count, iso
from tocsin.config import Config
from tocsin.run.dlq.records import DlqRecord, Selection
from tocsin.run.dlq.resend import bytes_of, find, resend

_SHOWN_BYTES = 2_000  # of a payload in the table; --json has all that was kept
_WIDE = 200  # columns, where no terminal says how many


async def print_dlq_records(
    bus: Bus, config: Config, selection: Selection, *, as_json: bool, payload: bool
) -> None:
    """The body of `tocsin dlq show`: DLQ records on stdout, the summary on stderr."""
    chosen, foreign = await find(bus, config, selection)
    held: dict[tuple[int, int], tuple[bytes | None, bytes | None]] = {}
    if payload:
        async for record in bytes_of(bus, config, chosen):
            held[record.partition, record.offset] = (record.key, record.value)
    out, err = Console(), Console(stderr=True, soft_wrap=True, highlight=False)
    if not out.is_terminal:
        out.width = _WIDE
    if as_json:
        for dlq_record in chosen:
            shown = held.get((dlq_record.partition, dlq_record.offset)) if payload else None
            out.file.write(json_line(dlq_record, shown) + "\n")
    elif chosen:
        values = {place: value for place, (_, value) in held.items()} if payload else None
        out.print(table(chosen, values))
    err.print(Text(summary(chosen)))
    if foreign:
        err.print(Text(f"{count(foreign, 'record')} on {config.topics.dlq} not of Tocsin"))


async def resend_and_print(
    bus: Bus, config: Config, selection: Selection, *, send: bool, partial: bool
) -> bool:
    """The body of `tocsin dlq replay`. Whether no record that was meant was left out."""
    result = await resend(bus, config, selection, send=send, partial=partial)
    say = Console(soft_wrap=True, highlight=False)
    say.print(Text(summary(result.chosen)))
    verb = "re-published" if send else "would be re-published"
    records = count(result.sent, "record")
    say.print(Text(f"{records} ({result.size} bytes) {verb} to {config.topics.spans}"))
    for why, left in result.left_out.items():
        say.print(Text(f"{count(left, 'record')} left out, {why}"))
    if result.sent and not send:
        say.print(Text("Nothing was sent: this was a dry run; add --yes to send."))
    return not result.left_out


def json_line(dlq_record: DlqRecord, payload: tuple[bytes | None, bytes | None] | None) -> str:
    """One DLQ record as a line of JSON; `payload` is (key, value), shown only when asked for."""
    topic, partition, offset = dlq_record.origin
    fields: dict[str, Any] = {
        "reason": dlq_record.reason, "detail": dlq_record.detail,
        "refused_at": iso(dlq_record.at_ms),
        "original": {"topic": topic, "partition": partition, "offset": offset,
                     "time": iso(dlq_record.origin_ms)},
        "spans": dlq_record.spans,
        "items": [int(item) for item in dlq_record.items.split(",") if item],
        "size": dlq_record.size, "truncated": dlq_record.truncated, "redacted": dlq_record.redacted,
        "dlq_record": {"partition": dlq_record.partition, "offset": dlq_record.offset},
    }  # fmt: skip
    if payload is not None:
        for name, data in zip(("key", "payload"), payload, strict=True):
            fields |= _as_text(name, data)
    return msgspec.json.encode(fields).decode()


def _as_text(name: str, data: bytes | None) -> dict[str, str | None]:
    """Bytes as JSON can carry them: as they are where they are text, else in base64."""
    try:
        return {name: data if data is None else data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data or b"").decode()}


def table(
    dlq_records: Sequence[DlqRecord], payloads: dict[tuple[int, int], bytes | None] | None
) -> Table:
    """DLQ records for a person; payloads (by partition and offset) only when asked for."""
    shown = Table(box=None, pad_edge=False)
    for name in ("refused (UTC)", "reason", "detail", "original record", "its time (UTC)"):
        shown.add_column(name, overflow="fold")
    for name in ("spans", "bytes"):
        shown.add_column(name, justify="right")
    if payloads is not None:
        shown.add_column("payload", overflow="fold")
    for dlq_record in dlq_records:
        less = " (redacted)" if dlq_record.redacted else " (cut)" if dlq_record.truncated else ""
        cells = [
            iso(dlq_record.at_ms), dlq_record.reason, dlq_record.detail,
            "/".join(map(str, dlq_record.origin)), iso(dlq_record.origin_ms),
            str(dlq_record.spans), f"{dlq_record.size}{less}",
        ]  # fmt: skip
        if payloads is not None:
            value = payloads.get((dlq_record.partition, dlq_record.offset)) or b""
            # As a literal: no control character reaches a terminal.
            cells.append(repr(value[:_SHOWN_BYTES])[2:-1])
        shown.add_row(*map(Text, cells))
    return shown


def summary(dlq_records: Sequence[DlqRecord]) -> str:
    """How many of each reason, most first; and how many are redacted, so cannot be sent."""
    reasons = Counter(dlq_record.reason for dlq_record in dlq_records)
    listed = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
    spans = sum(dlq_record.spans for dlq_record in dlq_records)
    said = f"{count(len(dlq_records), 'DLQ record')}, {count(spans, 'span')}: {listed or 'none'}"
    redacted = sum(dlq_record.redacted for dlq_record in dlq_records)
    return f"{said}; {redacted} redacted (dlq.keep_original is off)" if redacted else said
