"""`tocsin decode`: a file is taken for the messages it is, and nothing of it goes unsaid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cli.decode_report import SHOWN, messages_of, understand
from tocsin.cli.main import main
from tocsin.config import Config
from tocsin.run.from_config import ingest_settings
from unit.decode_samples import Otlp, encode, native, otlp

CALL = native(model="gpt-4o", provider="openai", input_tokens=1_000, output_tokens=100)
OTLP = otlp("protobuf", Otlp({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}))
SECRET = "tell me about jane@example.com"


def run(folder: Path, content: bytes, *options: str) -> Result:
    path = folder / "spans"
    path.write_bytes(content)
    return CliRunner().invoke(main, ["decode", *options, str(path)])


def pretty(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


@pytest.mark.parametrize(
    "content",
    [
        encode(CALL), pretty(CALL), encode([CALL, CALL]), pretty([CALL, CALL]), OTLP,
        b"\xef\xbb\xbf" + pretty(CALL), b"\n" + encode(CALL) + b"\n", b"", b"no span at all",
        b"{ broken", b'{\n  "a": {},\n  "b": [1]\n', b"[" * 100_000, b"\n{\x00\x01\nmore",
    ],
)  # fmt: skip
def test_a_document_is_one_message(content: bytes) -> None:
    assert messages_of(content) == [content]


@given(st.lists(st.sampled_from([encode(CALL), encode([CALL]), b"{ broken", b"null"]), min_size=2))
def test_lines_of_json_are_a_message_each(lines: Sequence[bytes]) -> None:
    content = b"\n\n".join(lines) + b"\r\n"
    if any(line[:1] in b"{[" and line != b"{ broken" for line in lines) and lines[0] != b"null":
        assert messages_of(content) == list(lines)
    else:
        assert messages_of(content) == [content]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_gives_spans_or_refusals(content: bytes) -> None:
    messages, decoded = understand(content, ingest_settings(Config()))
    assert messages >= 1
    spoken_for = {reject.row for reject in decoded.rejects} | set(decoded.spans["row"])
    assert spoken_for == set(range(messages))


def test_json_gives_canonical_spans_with_their_cost(tmp_path: Path) -> None:
    result = run(tmp_path, encode(CALL) + b"\n" + encode(native(kind="tool")), "--json")
    assert result.exit_code == 0
    call, tool = map(json.loads, result.stdout.splitlines())
    assert (call["kind"], call["model"], call["cost_nano"]) == ("llm", "gpt-4o", 3_500_000)
    assert tool["kind"] == "tool"
    assert "cost_nano" not in tool


def test_the_table_shows_what_a_call_was(tmp_path: Path) -> None:
    result = run(tmp_path, pretty(CALL))
    assert result.exit_code == 0
    for shown in ("llm", "shop", "gpt-4o", "1000", "100", "0.003500"):
        assert shown in result.stdout


def test_the_table_is_cut_and_says_so(tmp_path: Path) -> None:
    result = run(tmp_path, encode([CALL] * (SHOWN + 3)))
    assert "and 3 more" in result.stdout
    assert len(run(tmp_path, encode([CALL] * (SHOWN + 3)), "--json").stdout.splitlines()) == 43


def test_what_is_refused_is_named_by_message_and_span(tmp_path: Path) -> None:
    bad = native(input_tokens=-1)
    content = b"\n".join([encode(CALL), encode([CALL, bad]), b'{"a": 1}'])
    result = run(tmp_path, content, "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert "message 2, span 2: bad_value (input_tokens)" in result.stderr
    assert "message 3: unknown_format" in result.stderr


def test_the_summary_counts_all_files(tmp_path: Path) -> None:
    (tmp_path / "more").write_bytes(OTLP)
    (tmp_path / "spans").write_bytes(
        b"\n".join(map(encode, [CALL, CALL | {"model": "small"}, native(kind="tool"), {}]))
    )
    files = [str(tmp_path / "spans"), str(tmp_path / "more")]
    result = CliRunner().invoke(main, ["decode", *files])
    assert result.stderr.splitlines()[-1] == (
        "4 spans of 5 messages (3 llm, 1 tool); 1 call without usage, 2 of unknown cost; 1 refused"
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_content_is_shown(tmp_path: Path, options: Sequence[str]) -> None:
    span = Otlp(
        {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
            "gen_ai.tool.call.arguments": SECRET, "gen_ai.input.messages": SECRET,
        }
    )  # fmt: skip
    broken = native(kind="tool", cost_usd=SECRET, prompt=SECRET)
    for content in (otlp("json", span), otlp("protobuf", span), encode(broken), SECRET.encode()):
        result = run(tmp_path, content, *options)
        assert "jane" not in result.output


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["decode", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert result.stderr.startswith("tocsin: Cannot read ")
    assert len(result.stderr.splitlines()) == 1
