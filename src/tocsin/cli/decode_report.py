"""`tocsin decode`: what Tocsin understands of a file, so that a producer can be checked first.

A file is one message, or one message a line. It goes through the same decode and pricing as a
topic does, under the same limits; only lateness is not judged, for a file has no clock.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.cli.text import count, utc
from tocsin.config import Config, UserError
from tocsin.flow.decode import decode
from tocsin.flow.windows.pricing import fill_costs
from tocsin.run.batch import IngestSettings
from tocsin.run.from_config import ingest_settings
from tocsin.run.replay.sources import RecordedMessage
from tocsin.types import MODEL_CALL_KINDS, NANO, Decoded

#: Lines of the table, of each file; --json shows all.
SHOWN = 40
_WIDE = 160  # columns, where no terminal says how many
_CALL_KINDS = [kind.value for kind in MODEL_CALL_KINDS]
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Summary:
    """What was found in all files."""

    messages: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    no_usage: int = 0  # calls without a token count
    no_cost: int = 0  # calls whose cost is unknown
    refused: int = 0

    def add(self, messages: int, decoded: Decoded) -> None:
        """Count one file."""
        calls = decoded.spans.filter(pl.col("kind").is_in(_CALL_KINDS))
        tokens = pl.all_horizontal(pl.col("input_tokens", "output_tokens").is_null())
        self.messages += messages
        self.kinds.update(decoded.spans["kind"])
        self.no_usage += int(calls.select(tokens.sum()).item())
        self.no_cost += calls["cost_nano"].null_count()
        self.refused += len(decoded.rejects)

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.kinds.most_common())
        return (
            f"{count(self.kinds.total(), 'span')} of {count(self.messages, 'message')}"
            f"{f' ({kinds})' if kinds else ''}; {count(self.no_usage, 'call')} without usage, "
            f"{self.no_cost} of unknown cost; {self.refused} refused"
        )


def messages_of(content: bytes) -> list[bytes]:
    """The messages of a file: its lines if they are JSON each, else the whole of it."""
    text = content.removeprefix(_BOM)
    if text.lstrip()[:1] not in {b"{", b"["} or _is_json(text):
        return [content]
    lines = [line for line in text.splitlines() if line.strip()]
    # A broken document has lines that are JSON too, but those are indented.
    one_a_line = any(line[:1] in {b"{", b"["} and _is_json(line) for line in lines)
    return lines if one_a_line else [content]


def understand(content: bytes, settings: IngestSettings) -> tuple[int, Decoded]:
    """How many messages `content` is, and their spans with costs; `row` is the message."""
    records = [RecordedMessage(value=value) for value in messages_of(content)]
    decoded = decode(records, settings.limits, settings.fingerprint_key)
    return len(records), Decoded(fill_costs(decoded.spans, settings.prices), decoded.rejects)


def print_decoded(paths: Sequence[Path], config: Config, *, as_json: bool) -> bool:
    """Print the spans of files on stdout, refusals and the summary on stderr.

    Returns whether everything was understood. Raises UserError for a file that cannot be read.
    """
    settings, summary = ingest_settings(config), Summary()
    out, err = Console(), Console(stderr=True, soft_wrap=True, highlight=False)
    if not out.is_terminal:
        out.width = _WIDE
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"Cannot read {path} ({error.strerror}); check the path.") from None
        messages, decoded = understand(content, settings)
        summary.add(messages, decoded)
        if as_json:
            for span in decoded.spans.drop("row").iter_rows(named=True):
                known = {name: value for name, value in span.items() if value is not None}
                out.file.write(msgspec.json.encode(known).decode() + "\n")
        elif not decoded.spans.is_empty():
            out.print(_table(path, decoded.spans))
        for reject in decoded.rejects:
            item = "" if reject.item is None else f", span {reject.item + 1}"
            detail = f" ({reject.detail})" if reject.detail else ""
            err.print(
                Text(f"refused: {path}, message {reject.row + 1}{item}: {reject.reason}{detail}"),
                style="red",
            )
    err.print(Text(str(summary)))
    return summary.refused == 0


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except RecursionError:
        return True  # too deep for us, which decode will say
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _table(path: Path, spans: pl.DataFrame) -> Table:
    table = Table(title=Text(str(path)), title_justify="left", box=None, pad_edge=False)
    for name in ("ended (UTC)", "kind", "service", "agent", "model or tool"):
        table.add_column(name, overflow="fold")
    for name in ("seconds", "in", "out", "USD"):
        table.add_column(name, justify="right")
    table.add_column("error", overflow="fold")
    for span in spans.head(SHOWN).iter_rows(named=True):
        seconds = (span["end_ns"] - span["start_ns"]) / NANO
        nano = span["cost_nano"]
        unknown = "?" if span["kind"] in _CALL_KINDS else ""
        usd = unknown if nano is None else f"{nano / NANO:.6f}"
        cells = (
            utc(span["end_ns"] / 1_000_000),
            span["kind"], span["service"], span["agent"],
            span["model"] or span["tool"] or span["handoff_to"], f"{seconds:.3f}",
            span["input_tokens"], span["output_tokens"], usd, span["error_class"],
        )  # fmt: skip
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    if spans.height > SHOWN:
        table.caption = f"and {spans.height - SHOWN} more; --json shows all"
    return table
