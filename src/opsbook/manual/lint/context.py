"""What a rule is given: one manual with everything that can be read from it, worked out once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from opsbook.manual.document import Block, Document, Prose, Table
from opsbook.manual.lint.facts.expressions import Expression, expressions
from opsbook.manual.lint.facts.manifests import Manifest, manifests
from opsbook.manual.lint.facts.names import Names, names
from opsbook.manual.lint.facts.statements import Statement, statements
from opsbook.manual.lint.facts.steps import ShellBlock, Step, all_steps, shell_blocks
from opsbook.manual.lint.rule import Place

if TYPE_CHECKING:
    from opsbook.book.load import Book
    from opsbook.manual.lint.repository import Repository
    from opsbook.manual.lint.shellcheck import Complaint
    from opsbook.manual.reading import Manual


@dataclass
class Context:
    """One manual under lint. `others` are the other manuals of the system, `repository` what lies around this one.

    Where a book is under lint, `book` is it, and `document` has its lines and no blocks.
    """

    document: Document
    manual: Manual | None
    others: tuple[Context, ...] = field(default=(), repr=False)
    repository: Repository | None = None
    book: Book | None = None

    @cached_property
    def blocks(self) -> tuple[ShellBlock, ...]:
        """Shell fences and inline commands in order."""
        return shell_blocks(self.document)

    @cached_property
    def scripts(self) -> tuple[ShellBlock, ...]:
        """The shell fences alone."""
        return tuple(block for block in self.blocks if block.fence is not None)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every command of every block, carried ones behind their carrier."""
        return tuple(all_steps(self.blocks))

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """Every SQL statement."""
        return statements(self.document, iter(self.steps))

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """Every PromQL expression."""
        return expressions(self.document, iter(self.steps))

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """Every YAML document."""
        return manifests(self.document, iter(self.steps))

    @cached_property
    def names(self) -> Names:
        """The workloads and namespaces of the manual."""
        return names(self.steps, self.manifests)

    @cached_property
    def complaints(self) -> tuple[Complaint, ...]:
        """What shellcheck says of the shell fences; nothing where it is not installed."""
        from opsbook.manual.lint.shellcheck import complaints

        return complaints([block for block in self.scripts if block.fence and block.fence.language == "bash"])

    @cached_property
    def read(self) -> Manual:
        """What the manual says, read here where the caller did not."""
        from opsbook.manual.reading import extract

        return self.manual if self.manual is not None else extract(self.document)

    @cached_property
    def text(self) -> str:
        """The whole manual in small letters."""
        return "\n".join(self.document.lines).lower()

    @cached_property
    def prose(self) -> tuple[tuple[int, str], ...]:
        """Line and text of headings, paragraphs, list items and table rows."""
        found: list[tuple[int, str]] = []
        for block in self.document.walk():
            if isinstance(block, Prose):
                found += [(line.line, line.text) for line in block.lines]
            elif isinstance(block, Table):
                found += [(row.line, " | ".join(c.text for c in row.cells)) for row in (block.header, *block.rows)]
        return tuple(sorted(found))

    def calls(self, tool: str, *verbs: str) -> Iterator[Step]:
        """The commands of a tool, of some of its verbs where any are named."""
        for step in self.steps:
            call = step.call
            if call is not None and call.tool == tool and (not verbs or call.verb in verbs):
                yield step

    def section_text(self, path: tuple[str, ...]) -> str:
        """All that stands in the innermost section of a path, in small letters."""
        lines = self.document.lines
        for section in self.document.all_sections():
            if section.path == path:
                last = max((block.end_line for block in section.blocks), default=section.line)
                return "\n".join(lines[section.line - 1 : last]).lower()
        return ""

    def blocks_of(self, path: tuple[str, ...]) -> list[Block]:
        """The blocks directly in the section of a path."""
        return [block for section in self.document.all_sections() if section.path == path for block in section.blocks]

    def place(self, line: int, piece: str = "") -> Place:
        """The place of a piece of text in a line, or the line's own text."""
        text = self.document.lines[line - 1] if 0 < line <= len(self.document.lines) else ""
        at = text.find(piece) if piece else -1
        if at >= 0:
            return Place(line, at + 1, at + 1 + len(piece))
        return Place(line, len(text) - len(text.lstrip()) + 1)
