"""Lines on the terminal: wrapped by the columns that characters take, below where they began."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from opsbook.cli.terminal import NARROWEST, hang, wrapped

JAPANESE = "データベースの接続が切れました。注文サービスは現在利用できません。"


@given(st.text("ab x-、。データ́\u200b", max_size=200), st.integers(1, 60))
def test_no_line_is_wider_and_nothing_but_spaces_is_lost(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cell_len(line) <= max(width, NARROWEST) for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three four five six", ["one two three four", "five six"]),
        ("a-word-that-is-longer-than-a-line", ["a-word-that-is-longe", "r-than-a-line"]),
        (JAPANESE, ["データベースの接続が", "切れました。注文サー", "ビスは現在利用できま", "せん。"]),
        ("memo: データベース", ["memo: データベース"]),
    ],
)
def test_it_breaks_between_words_and_between_wide_characters(text: str, lines: list[str]) -> None:
    assert wrapped(text, 20) == lines


def hung(told: str, tail: str, most: int = 0) -> list[str]:
    console = Console(file=io.StringIO(), width=30, highlight=False, emoji=False)
    hang(console, Text("  12:00  "), told, tail, most=most)
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_what_follows_stands_below_and_the_end_has_a_line_of_its_own_where_there_is_no_room() -> None:
    assert hung("short", "ana") == ["  12:00  short  ana"]
    assert hung("nineteen characters", "ana") == ["  12:00  nineteen characters", "         ana"]
    first, second = hung(JAPANESE, "", most=2)
    assert first == "  12:00  データベースの接続が"
    assert second.endswith(" …") and cell_len(second) <= 30
