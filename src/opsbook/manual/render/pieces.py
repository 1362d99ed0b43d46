"""What a manual is made of, before it is Markdown or HTML: sections of blocks, blocks of lines, lines of pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["plain", "good", "care", "bad", "quiet"]


@dataclass(frozen=True)
class Code:
    """Something that is typed or read literally."""

    text: str


@dataclass(frozen=True)
class Strong:
    """What the eye must find."""

    text: str


@dataclass(frozen=True)
class Mark:
    """A state in a word. Its tone is a colour where there are colours; the word always says it alone."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Link:
    """A way to another section, by its key, or to an address."""

    text: str
    target: str


Piece = str | Code | Strong | Mark | Link
Line = tuple[Piece, ...]
Row = tuple[Line, ...]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    line: Line


@dataclass(frozen=True)
class Table:
    """Rows under a head. `caption` says what it is to somebody who does not see it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Items:
    """A list; `open`: each is to be ticked."""

    lines: tuple[Line, ...]
    open: bool = False


@dataclass(frozen=True)
class StepNote:
    """What stands beside a step's fence."""

    number: int
    kind: str
    risk: str
    tone: Tone
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prose:
    """Markdown of the team, with the steps by the line of their fence (1-based in `text`)."""

    text: str
    steps: Mapping[int, StepNote] = field(default_factory=dict)


@dataclass(frozen=True)
class Trend:
    """Measurements over time against the line that none of them may cross. Values and target in one unit."""

    caption: str
    """Says what is seen to somebody who does not see it."""
    points: tuple[tuple[float, float | None], ...]
    """When (any unit), oldest first, and what was measured; None where it failed."""
    target: float
    target_label: str
    ends: tuple[str, str]
    """Labels of the first and the last moment."""
    newest_label: str = ""


Block = Text | Table | Items | Prose | Trend


@dataclass(frozen=True)
class Section:
    """A part with a title. `key` is what links name; without one nothing links here."""

    title: str
    blocks: tuple[Block, ...] = ()
    parts: tuple[Section, ...] = ()
    key: str = ""
    marks: tuple[Mark, ...] = ()
    """What stands beside the title."""


@dataclass(frozen=True)
class Manual:
    """The whole."""

    title: str
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]
    language: str = "en"
    flowing: bool = False
    """On paper its sections follow each other; else each begins a page."""


def line(*pieces: Piece) -> Line:
    """A line of these pieces, without empty ones."""
    return tuple(piece for piece in pieces if piece != "")


def joined(pieces: Iterable[Piece], between: str = ", ") -> Line:
    """Pieces with a separator between them."""
    found: list[Piece] = []
    for piece in pieces:
        found += [between, piece] if found else [piece]
    return tuple(found)


def table(caption: str, head: str, rows: Iterable[Row]) -> Table:
    """A table without the columns that are empty in every row. `head` is the words of its columns between ` | `."""
    kept, words = list(rows), head.split(" | ")
    used = [n for n in range(len(words)) if any(row[n] for row in kept)]
    return Table(caption, tuple(words[n] for n in used), tuple(tuple(row[n] for n in used) for row in kept))
