"""A manual as Markdown (CommonMark with GitHub's tables and task lists)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from opsbook.manual.render.anchors import anchors_of, prose_of, walk
from opsbook.manual.render.pieces import (
    Block,
    Code,
    Items,
    Line,
    Link,
    Manual,
    Mark,
    Piece,
    Prose,
    Section,
    StepNote,
    Strong,
    Table,
    Text,
    Trend,
)

_SPECIAL = re.compile(r"([\\`*\[\]|]|<(?=[\w/!?])|(?<!\w)_|_(?!\w))")
_FENCE = re.compile(r"(?P<indent>\s*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)")
_LEVELS_OF_CONTENTS = 3
FILLED_IN = "<!-- opsbook: ignore-file OB505 opsbook fills in the parameters of its procedures -->"
"""For lint, which else asks where a value in a command comes from."""


def as_markdown(manual: Manual) -> str:
    """The whole text, ending in a line break. The same manual is always the same text."""
    writer = _Writer(*anchors_of(manual))
    return "\n\n".join(writer.manual(manual)).rstrip() + "\n"


class _Writer:
    def __init__(self, sections: Mapping[int, str], keys: Mapping[str, str]) -> None:
        self.sections, self.keys = sections, keys

    def manual(self, manual: Manual) -> Iterator[str]:
        yield f"# {_plain(manual.title)}"
        if any(
            "{{" in block.text for one, _ in walk(manual.sections) for block in one.blocks if isinstance(block, Prose)
        ):
            yield FILLED_IN
        for block in manual.lead:
            yield self.block(block, 1)
        yield "## Contents"
        yield "\n".join(self.contents(manual.sections))
        for section, level in walk(manual.sections):
            yield f"{'#' * level} {_plain(section.title)}"
            if section.marks:
                yield " ".join(self.piece(mark) for mark in section.marks)
            for block in section.blocks:
                yield self.block(block, level)

    def contents(self, sections: tuple[Section, ...], level: int = 2) -> Iterator[str]:
        for section in sections:
            yield f"{'  ' * (level - 2)}- [{_plain(section.title)}](#{self.sections[id(section)]})"
            if level < _LEVELS_OF_CONTENTS:
                yield from self.contents(section.parts, level + 1)

    def block(self, block: Block, level: int) -> str:
        if isinstance(block, Text):
            return self.line(block.line)
        if isinstance(block, Table):
            return self.table(block)
        if isinstance(block, Trend):
            return _plain(block.caption)
        if isinstance(block, Items):
            return "\n".join(f"- {'[ ] ' if block.open else ''}{self.line(one)}" for one in block.lines)
        return self.prose(block, level)

    def table(self, block: Table) -> str:
        rows = [" | ".join(self.line(cell) or " " for cell in row) for row in block.rows]
        head = " | ".join(_plain(word) or " " for word in block.head)
        return "\n".join([f"| {head} |", "|---" * len(block.head) + "|", *(f"| {row} |" for row in rows)])

    def prose(self, block: Prose, level: int) -> str:
        lines: list[str] = []
        for number, one in enumerate(prose_of(block, level, self.keys).split("\n"), 1):
            note, fence = block.steps.get(number), _FENCE.match(one)
            if note is None or fence is None:
                lines.append(one)
                continue
            # What a fence says to opsbook becomes a sentence for people.
            lines += [
                f"{fence['indent']}*{_remark(note)}*",
                "",
                f"{fence['indent']}{fence['marks']}{fence['language']}",
            ]
        return "\n".join(lines).strip("\n")

    def line(self, line: Line) -> str:
        return "".join(self.piece(piece) for piece in line)

    def piece(self, piece: Piece) -> str:
        if isinstance(piece, str):
            return _plain(piece)
        if isinstance(piece, Code):
            return _code(piece.text)
        if isinstance(piece, Strong):
            return f"**{_plain(piece.text)}**"
        if isinstance(piece, Mark):
            return f"**{_plain(piece.text)}**" if piece.tone in ("bad", "care") else _plain(piece.text)
        return self.link(piece)

    def link(self, piece: Link) -> str:
        target = f"#{self.keys[piece.target]}" if piece.target in self.keys else piece.target
        return f"[{_plain(piece.text)}]({target})" if "#" in target or ":" in target else _plain(piece.text)


def _remark(note: StepNote) -> str:
    return " · ".join([f"Step {note.number}", note.risk, *(_plain(one) for one in note.remarks)])


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", text))


def _code(text: str) -> str:
    plain = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    marks = "`" * (longest + 1)
    return f"{marks} {plain} {marks}" if longest else f"`{plain}`"
