"""Printing for people: as wide as the terminal, in whole lines into a pipe, and never with spaces at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.text import Text

PIPE_WIDTH = 200
"""A pipe has no width: whole lines are easier to search than wrapped ones."""


def screen() -> Console:
    """Standard output. `COLUMNS` is respected everywhere."""
    console = Console(highlight=False, emoji=False, markup=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def console() -> Console:
    """Standard output of what prints lines of text: plain where it is no terminal, and as wide as it needs to be."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_WIDTH, soft_wrap=True)


NARROWEST = 20
"""Columns that a text gets at least, however narrow the terminal is."""
NEVER_FIRST = frozenset("、。，．」』）】！？ーゝ々")
"""Characters that stay with the one before them."""


def wrapped(text: str, width: int, most: int = 0) -> list[str]:
    """The text in lines of so many columns: broken between words, and between characters that are two columns wide;
    within a word only where it is longer than a line. Of more lines than `most` the rest is left out, which three dots
    say."""
    width, lines, line = max(width, NARROWEST), list[str](), ""
    for piece in _pieces(text, width):
        if cell_len(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    lines.append(line.rstrip())
    if most and len(lines) > most:
        last = Text(lines[most - 1])
        last.truncate(width - 2)
        return [*lines[: most - 1], f"{last.plain} …"]
    return lines


def _pieces(text: str, most: int) -> Iterator[str]:
    """What is kept together, each with the spaces behind it."""
    piece = ""
    for one in text:
        wide = cell_len(one) == 2 and one not in NEVER_FIRST
        begins = not one.isspace() and piece and (piece[-1].isspace() or wide or cell_len(piece[-1]) == 2)
        joined = one in NEVER_FIRST or cell_len(one) == 0
        if (begins and not (joined and not piece[-1].isspace())) or cell_len(piece + one) > most:
            yield piece
            piece = ""
        piece += one
    yield piece


def hang(console: Console, lead: Text, told: str, tail: str = "", *, style: str = "", most: int = 0) -> None:
    """A text behind `lead`, its further lines below it, `most` of them; `tail` stands dim at its end."""
    room = console.width - lead.cell_len
    ends: list[Text] = [Text(line, style=style) for line in wrapped(told, room, most)]
    for number, more in enumerate(wrapped(tail, room) if tail else []):
        if number == 0 and ends[-1].cell_len + 2 + cell_len(tail) <= room:
            ends[-1].append(f"  {tail}", "dim")
            break
        ends.append(Text(more, style="dim"))
    for number, end in enumerate(ends):
        before = lead if number == 0 else Text(" " * lead.cell_len)
        console.print(Text.assemble(before, end), soft_wrap=True)


def show(console: Console, view: RenderableType) -> None:
    """Print it without the spaces that fill a table up; who copies a line wants its words."""
    for line in console.render_lines(view, pad=False):
        console.print(Segments([*_trimmed(line), Segment.line()]), end="")


def _trimmed(line: Iterable[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        text, style, control = kept[-1]
        kept[-1] = Segment(text.rstrip(), style, control)
    return kept
