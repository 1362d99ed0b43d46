"""Mistakes in a procedure's file: where, what, and the next step, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from opsbook.errors import UsageError

LONGEST_LINE = 160
"""Characters of a source line that are shown around a caret."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong. Line and column are 1-based; `length` is how far the caret reaches."""

    line: int
    column: int
    message: str
    hint: str = ""
    length: int = 1


@dataclass(frozen=True)
class TextMistake:
    """Something wrong in the text of a fence. `offset` and `length` are characters of that text."""

    offset: int
    length: int
    message: str
    hint: str


@dataclass
class Mistakes:
    """Collects what is wrong with one file while it is compiled."""

    file: str
    lines: Sequence[str]
    found: list[Mistake] = field(default_factory=list)

    def add(self, place: tuple[int, int], message: str, hint: str = "", length: int = 1) -> None:
        """Note a mistake at a line and column."""
        self.found.append(Mistake(*place, message, hint, max(length, 1)))

    def shown(self) -> list[str]:
        """Each mistake for people, in the order of the file; one that is said twice only once."""
        return [self._show(mistake) for mistake in sorted(set(self.found))]

    def _show(self, mistake: Mistake) -> str:
        parts = [f"{self.file}:{mistake.line}:{mistake.column}: {mistake.message}"]
        if 0 < mistake.line <= len(self.lines):
            source, column = _window(self.lines[mistake.line - 1], mistake.column)
            number = f"{mistake.line:>6} | "
            length = max(1, min(mistake.length, len(source) - column + 1))
            # Tabs stay tabs, so that the caret stands under its place in every terminal.
            before = "".join("\t" if character == "\t" else " " for character in source[: column - 1])
            parts += [number + source, " " * (len(number) - 2) + "| " + before + "^" * length]
        if mistake.hint:
            parts.append(f"    → {mistake.hint}")
        return "\n".join(parts)


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around a column, and the column in it."""
    line = "".join(character if character.isprintable() or character == "\t" else "�" for character in line)
    if len(line) <= LONGEST_LINE:
        return line, column
    start = max(0, min(column - LONGEST_LINE // 2, len(line) - LONGEST_LINE))
    return line[start : start + LONGEST_LINE], column - start


class InvalidProcedure(UsageError):
    """Procedures that cannot be used. `mistakes` holds everything that is wrong, by file."""

    def __init__(self, mistakes: Sequence[Mistakes]) -> None:
        self.mistakes = [one for one in mistakes if one.found]
        shown = [text for one in self.mistakes for text in one.shown()]
        count = len(shown)
        files = len(self.mistakes)
        where = "the procedure" if files == 1 else f"{files} procedures"
        super().__init__("\n".join([*shown, f"{count} mistake{'s' if count > 1 else ''} in {where}"]))
