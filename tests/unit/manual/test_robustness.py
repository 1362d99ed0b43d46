"""No text may break the reader, and none may make it slow."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsbook.manual.document import read_document
from opsbook.manual.reading import as_json, read_manual
from opsbook.manual.shell import commands, walk_commands

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.md"))
PIECES = st.sampled_from(
    [
        "# A",
        "## Backups",
        "### Escalation",
        "- [ ] x",
        "- **RTO**: 4 hours",
        "1. do",
        "   ```bash",
        "```",
        "```sql",
        "~~~",
        "| a | b |",
        "|---|---|",
        "| P1 | 5 min |",
        "> q",
        "**Level 1:**",
        "kubectl delete pod x",
        "psql <<EOF",
        "EOF",
        "DELETE FROM t WHERE a < now() - interval '3 days';",
        "- alert: X",
        "  expr: up == 0",
        "rate(x[5m])",
        "\t- tab",
        "<details>",
        "---",
        "Sunday 02:00-04:00",
        "a → b → c",
        "$ ls",
        "\\",
        "`",
        "``",
        "[x](#y)",
        "\u200b",
        "é中文",
        "$(",
        "${",
        "<pod>",
        "'",
        '"',
        "(",
        "{",
        "",
        " ",
        "\x00",
    ]
)
QUICK = settings(suppress_health_check=[HealthCheck.too_slow])


def read(text: str) -> None:
    json.dumps(as_json(read_manual(text, "x")))


@QUICK
@given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    read(text)


@QUICK
@given(st.lists(PIECES, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_mixture_of_markdown_can_be_read(lines: list[str], end: str) -> None:
    read(end.join(lines))


@QUICK
@given(st.sampled_from(SAMPLES), st.integers(0, 6000))
def test_a_manual_cut_off_anywhere_can_be_read(path: Path, length: int) -> None:
    read(path.read_text(encoding="utf-8")[:length])


@QUICK
@given(st.lists(PIECES, max_size=20))
def test_every_line_of_an_item_lies_in_the_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    data = as_json(read_manual(text, "x"))
    for kind, found in data.items():
        if isinstance(found, list):
            assert all(1 <= item["line"] <= text.count("\n") + 1 for item in found), kind


@QUICK
@given(st.lists(PIECES, max_size=12))
def test_every_word_of_a_command_stands_where_it_is_said_to(lines: list[str]) -> None:
    text = "\n".join(lines).replace("\x00", "")
    source = text.split("\n")
    for command in walk_commands(commands(text, console=False)):
        for word in command.argv:
            assert source[word.line - 1][word.column - 1 :].startswith(word.raw.split("\n")[0])


@QUICK
@given(st.lists(PIECES, max_size=25))
def test_every_line_of_a_code_block_stands_where_it_is_said_to(lines: list[str]) -> None:
    document = read_document("\n".join(lines))
    for fence in document.fences():
        for index, content in enumerate(fence.text.removesuffix("\n").split("\n")):
            stripped = content.strip()
            line = document.lines[fence.line + index - 1] if fence.line + index <= len(document.lines) else ""
            assert (
                stripped.replace("\ufffd", "\x00") in line.replace("\ufffd", "\x00").replace("\t", "    ")
                or stripped in line
            )


@pytest.mark.parametrize(
    "piece",
    ["a", "*", "`", "[", "](", "<", "_", ">", "- ", "# ", "| ", "(", "$(", "{", '"', "\\", "\t", "-", "0", "a:", "→"],
)
def test_a_line_of_a_million_characters_is_read_in_time(piece: str) -> None:
    started = time.process_time()
    read(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("piece", ["$(", "((", "{", '"', "if ", "| ", "&& ", "<<EOF\n", "${", "a="])
def test_a_deep_script_is_read_in_time(piece: str) -> None:
    started = time.process_time()
    read("```bash\n" + piece * (20_000 // len(piece)) + "\n```\n")
    assert time.process_time() - started < 5


def test_deep_nesting_is_read() -> None:
    read("\n".join("  " * depth + "- a" for depth in range(500)))
    read(">" * 2000 + " a")


def test_a_manual_of_six_hundred_lines_is_read_in_a_moment() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SAMPLES)
    text = (text * 3)[: len("\n".join((text * 3).split("\n")[:600]))]
    read(text)
    started = time.process_time()
    read(text + "\n")
    assert time.process_time() - started < 1.0
