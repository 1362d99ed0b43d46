"""The blocks of a Markdown manual, with their exact places in the file.

Lines and columns are 1-based and count characters of the file as it is (a byte-order mark is not counted). `text` is
what a reader sees (no emphasis marks, no link targets, no backticks); `source` is what the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CodeSpan:
    """Inline code: `text` without its backticks, at the column of its first character."""

    text: str
    line: int
    column: int


@dataclass(frozen=True)
class Link:
    """`[text](target)`, `<target>` or a bare URL; `target` as written."""

    text: str
    target: str
    line: int
    column: int


@dataclass(frozen=True)
class TextLine:
    """One line of running text."""

    text: str
    source: str
    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Block:
    """Anything that stands in a manual. `end_line` is its last line."""

    line: int
    column: int
    end_line: int
    section_path: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prose(Block):
    """A block with running text. `strong` is the bold run that opens it (`**Time**: 3 AM` has `Time`), else empty."""

    text: str
    source: str
    lines: tuple[TextLine, ...] = ()
    code: tuple[CodeSpan, ...] = ()
    links: tuple[Link, ...] = ()
    strong: str = ""


@dataclass(frozen=True, kw_only=True)
class Heading(Prose):
    """`anchor` is the fragment that GitHub gives it. The section path ends with its own text."""

    level: int
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Paragraph(Prose):
    """Running text."""


@dataclass(frozen=True, kw_only=True)
class ListItem(Prose):
    """An item of a list: its first paragraph as text, and everything below it as children.

    `number` is the number of an ordered item, `checked` the box of a task item, `depth` 1 for an outermost list, and
    `list_line` the line where its list began: siblings share it.
    """

    ordered: bool
    number: int | None
    depth: int
    checked: bool | None
    list_line: int
    children: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    source: str
    line: int
    column: int
    code: tuple[CodeSpan, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    line: int
    cells: tuple[Cell, ...]

    def text(self, index: int) -> str:
        """The text of a cell, empty where the row is short."""
        return self.cells[index].text if 0 <= index < len(self.cells) else ""


@dataclass(frozen=True, kw_only=True)
class Table(Block):
    """A table with its header row."""

    header: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Fence(Block):
    """A code block. `line` is the line of its first content line, `opening_line` that of its opening marks.

    `tag` is the word after the marks as written, `language` what the content is (see language.py). `columns` holds
    the column of the first character of every content line, `indent` the columns before the opening marks.
    """

    tag: str
    language: str
    text: str
    opening_line: int
    indent: int
    columns: tuple[int, ...] = ()
    closed: bool = True
    in_list: bool = False

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column in the file of a character of `text`."""
        before = self.text.count("\n", 0, offset)
        start = self.text.rfind("\n", 0, offset) + 1
        column = self.columns[before] if before < len(self.columns) else 1
        return self.line + before, column + offset - start


@dataclass(frozen=True, kw_only=True)
class Quote(Block):
    """A block quote."""

    children: tuple[Block, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Html(Block):
    """Raw HTML: a comment, `<details>` …"""

    source: str


@dataclass(frozen=True, kw_only=True)
class Rule(Block):
    """A thematic break."""


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it. The part before the first heading has none."""

    heading: Heading | None
    blocks: tuple[Block, ...] = ()
    children: tuple[Section, ...] = ()

    @property
    def title(self) -> str:
        return self.heading.text if self.heading else ""

    @property
    def level(self) -> int:
        return self.heading.level if self.heading else 0

    @property
    def path(self) -> tuple[str, ...]:
        return self.heading.section_path if self.heading else ()

    @property
    def line(self) -> int:
        return self.heading.line if self.heading else 1

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in document order."""
        stack = [self]
        while stack:
            section = stack.pop()
            yield section
            stack.extend(reversed(section.children))


@dataclass(frozen=True)
class Document:
    """A manual. `lines` are its lines without their ends; `front_matter` is what stood between `---` at the top."""

    name: str
    lines: tuple[str, ...]
    blocks: tuple[Block, ...]
    front_matter: str = ""
    _sections: tuple[Section, ...] = field(default=(), repr=False)

    def sections(self) -> tuple[Section, ...]:
        """The outermost sections; the text before the first heading is a section without one."""
        return self._sections

    def all_sections(self) -> Iterator[Section]:
        """Every section in document order."""
        for section in self._sections:
            yield from section.walk()

    def walk(self) -> Iterator[Block]:
        """Every block, children after their parent, in document order."""
        return walk(self.blocks)

    def headings(self) -> list[Heading]:
        """All headings in order."""
        return [block for block in self.blocks if isinstance(block, Heading)]

    def fences(self) -> list[Fence]:
        """All code blocks, those inside lists and quotes too."""
        return [block for block in self.walk() if isinstance(block, Fence)]

    def tables(self) -> list[Table]:
        """All tables."""
        return [block for block in self.walk() if isinstance(block, Table)]

    def links(self) -> list[Link]:
        """All links of running text and tables, in order."""
        found: list[Link] = []
        for block in self.walk():
            if isinstance(block, Prose):
                found.extend(block.links)
            elif isinstance(block, Table):
                found.extend(link for row in (block.header, *block.rows) for cell in row.cells for link in cell.links)
        return found

    def code_spans(self) -> list[CodeSpan]:
        """All inline code of running text and tables, in order."""
        found: list[CodeSpan] = []
        for block in self.walk():
            if isinstance(block, Prose):
                found.extend(block.code)
            elif isinstance(block, Table):
                found.extend(span for row in (block.header, *block.rows) for cell in row.cells for span in cell.code)
        return found


def walk(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """Every block of a sequence and below it, parents first, in document order."""
    stack = list(reversed(blocks))
    while stack:
        block = stack.pop()
        yield block
        if isinstance(block, (ListItem, Quote)):
            stack.extend(reversed(block.children))
