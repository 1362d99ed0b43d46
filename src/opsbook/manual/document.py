"""Reading Markdown into blocks with exact places.

CommonMark and tables by markdown-it-py, of which only the block rules are used: its inline rules keep no positions,
so inline.py finds code and links in the lines themselves.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

from opsbook.manual import inline
from opsbook.manual.language import guess_language
from opsbook.manual.model import (
    Block,
    Cell,
    CodeSpan,
    Document,
    Fence,
    Heading,
    Html,
    Link,
    ListItem,
    Paragraph,
    Prose,
    Quote,
    Row,
    Rule,
    Section,
    Table,
    TextLine,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

__all__ = [
    "Block",
    "Cell",
    "CodeSpan",
    "Document",
    "Fence",
    "Heading",
    "Html",
    "Link",
    "ListItem",
    "Paragraph",
    "Prose",
    "Quote",
    "Row",
    "Rule",
    "Section",
    "Table",
    "TextLine",
    "anchor_of",
    "read_document",
    "walk",
]

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TASK = re.compile(r"\[([ xX✓✔])\](?:\s+|$)")
_MARKS = re.compile(r"[ \t]*(`{3,}|~{3,})")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]+")


def read_document(text: str, name: str = "") -> Document:
    """Read Markdown of any quality. Never fails: what is not understood is a paragraph."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    front = _FRONT_MATTER.match(text)
    body = text
    if front and ":" in front[1]:
        body = "\n" * front[0].count("\n") + text[front.end() :]
    tokens = _markdown().parse(body)
    blocks = _with_sections(_Reader(lines, tokens).read())
    return Document(
        name=name,
        lines=tuple(lines),
        blocks=blocks,
        front_matter=front[1] if front and body is not text else "",
        _sections=_section_tree(blocks),
    )


def anchor_of(text: str, seen: dict[str, int]) -> str:
    """The fragment GitHub gives a heading; `seen` counts the ones already given in this document."""
    anchor = _NOT_IN_ANCHOR.sub("", text.strip().lower()).replace(" ", "-")
    count = seen.get(anchor, 0)
    seen[anchor] = count + 1
    return f"{anchor}-{count}" if count else anchor


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark").enable("table")
    markdown.core.ruler.disable(["inline"])
    return markdown


class _Reader:
    """Turns markdown-it's flat token stream into blocks."""

    def __init__(self, lines: Sequence[str], tokens: Sequence[Token]) -> None:
        self.lines = lines
        self.tokens = tokens
        self.at = 0
        self.anchors: dict[str, int] = {}

    def read(self) -> list[Block]:
        return self._blocks_until("", 0)

    def _blocks_until(self, closing: str, depth: int) -> list[Block]:
        blocks: list[Block] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.type == closing:
                break
            blocks.extend(self._block(token, depth))
        return blocks

    def _block(self, token: Token, depth: int) -> list[Block]:
        first, last = self._span(token)
        match token.type:
            case "heading_open":
                return [self._heading(token)]
            case "paragraph_open":
                prose = self._prose(self.tokens[self.at])
                self.at += 2
                return [Paragraph(**prose)]
            case "fence" | "code_block":
                return [self._fence(token, depth)]
            case "bullet_list_open" | "ordered_list_open":
                return self._list(token, depth + 1)
            case "blockquote_open":
                children = tuple(self._blocks_until("blockquote_close", depth))
                return [Quote(line=first, column=self._column(first), end_line=last, children=children)]
            case "table_open":
                return [self._table(token)]
            case "html_block":
                return [Html(line=first, column=self._column(first), end_line=last, source=token.content)]
            case "hr":
                return [Rule(line=first, column=self._column(first), end_line=last)]
            case _:
                return []

    def _span(self, token: Token) -> tuple[int, int]:
        if token.map is None:
            return 1, 1
        return token.map[0] + 1, max(token.map[0] + 1, token.map[1])

    def _column(self, line: int) -> int:
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        return len(source) - len(source.lstrip()) + 1

    def _text_lines(self, token: Token) -> list[TextLine]:
        first, _ = self._span(token)
        found = []
        for number, content in enumerate(token.content.split("\n"), first):
            source = self.lines[number - 1] if number <= len(self.lines) else ""
            content = content.strip()
            at = source.rfind(content) if len(source) <= inline.LONGEST else source.find(content)
            found.append(TextLine(inline.plain(content), content, number, max(at, 0) + 1))
        return found

    def _prose(self, token: Token, skip: int = 0) -> dict[str, Any]:
        lines = self._text_lines(token)
        if skip and lines:
            first = lines[0]
            rest = first.source[skip:]
            lines[0] = TextLine(inline.plain(rest), rest, first.line, first.column + skip)
        source = "\n".join(line.source for line in lines)
        return {
            "line": lines[0].line,
            "column": lines[0].column,
            "end_line": lines[-1].line,
            # A bold run may span lines, so the whole is made plain again where a line alone has loose marks.
            "text": inline.plain(source) if "**" in "".join(line.text for line in lines) else _joined(lines),
            "source": source,
            "lines": tuple(lines),
            "code": tuple(c for line in lines for c in inline.code_spans(line.source, line.line, line.column)),
            "links": tuple(k for line in lines for k in inline.links(line.source, line.line, line.column)),
            "strong": inline.leading_strong(lines[0].source),
        }

    def _heading(self, token: Token) -> Heading:
        prose = self._prose(self.tokens[self.at])
        self.at += 2
        first, last = self._span(token)
        prose |= {"line": first, "end_line": last}
        text = str(prose["text"])
        return Heading(**prose, level=int(token.tag[1]), anchor=anchor_of(text, self.anchors))

    def _list(self, token: Token, depth: int) -> list[Block]:
        ordered = token.type == "ordered_list_open"
        closing = token.type.replace("_open", "_close")
        list_line, _ = self._span(token)
        items: list[Block] = []
        while self.at < len(self.tokens):
            inner = self.tokens[self.at]
            self.at += 1
            if inner.type == closing:
                break
            if inner.type == "list_item_open":
                items.append(self._item(inner, ordered, depth, list_line))
        return items

    def _item(self, token: Token, ordered: bool, depth: int, list_line: int) -> ListItem:
        first, last = self._span(token)
        number = int(token.info) if ordered and token.info.isdigit() else None
        prose: dict[str, Any] = {"text": "", "source": ""}
        checked: bool | None = None
        if self.at + 1 < len(self.tokens) and self.tokens[self.at].type == "paragraph_open":
            content = self.tokens[self.at + 1]
            task = _TASK.match(content.content)
            checked = None if task is None else task[1] != " "
            prose = self._prose(content, task.end() if task else 0)
            self.at += 3
        children = tuple(self._blocks_until("list_item_close", depth))
        prose |= {"line": first, "column": self._column(first), "end_line": last}
        return ListItem(
            **prose,
            ordered=ordered,
            number=number,
            depth=depth,
            checked=checked,
            list_line=list_line,
            children=children,
        )

    def _fence(self, token: Token, depth: int) -> Fence:
        opening, last = self._span(token)
        tag, text, first = token.info.strip().split(" ")[0], token.content, opening + 1
        closed = token.type == "code_block" or bool(_MARKS.match(self._line(last)) and last > opening)
        if token.type == "code_block":
            first = opening
            marks = _MARKS.match(text)
            if marks:  # a fence indented like code: readers and renderers disagree on it, its content is plain
                head, _, text = text.partition("\n")
                tag, first = head.strip().strip("`~").strip(), opening + 1
                text = re.sub(r"(?m)^[ \t]*" + re.escape(marks[1]) + r"[ \t]*\n?\Z", "", text)
        content = text.removesuffix("\n").split("\n")
        columns = tuple(self._column_of(part, first + index) for index, part in enumerate(content))
        start = self._line(opening)
        return Fence(
            line=first,
            column=columns[0],
            end_line=last,
            tag=tag,
            language=guess_language(tag, text),
            text=text,
            opening_line=opening,
            indent=len(start) - len(start.lstrip()),
            columns=columns,
            closed=closed,
            in_list=depth > 0,
        )

    def _line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def _column_of(self, content: str, number: int) -> int:
        source = self._line(number)
        if source.endswith(content):
            return len(source) - len(content) + 1
        stripped = content.lstrip()
        return max(len(source) - len(stripped) - (len(content) - len(stripped)) + 1, 1)

    def _table(self, token: Token) -> Table:
        first, last = self._span(token)
        rows: list[Row] = []
        while self.at < len(self.tokens):
            inner = self.tokens[self.at]
            self.at += 1
            if inner.type == "table_close":
                break
            if inner.type == "tr_open":
                rows.append(self._row(inner))
        header = rows[0] if rows else Row(first, ())
        return Table(line=first, column=self._column(first), end_line=last, header=header, rows=tuple(rows[1:]))

    def _row(self, token: Token) -> Row:
        line, _ = self._span(token)
        source, at, cells = self._line(line), 0, []
        while self.at < len(self.tokens):
            inner = self.tokens[self.at]
            self.at += 1
            if inner.type == "tr_close":
                break
            if inner.type == "inline":
                content = inner.content.strip()
                found = source.find(content, at) if content else -1
                column = (found if found >= 0 else at) + 1
                at = max(at, found + len(content))
                cells.append(
                    Cell(
                        inline.plain(content),
                        content,
                        line,
                        column,
                        inline.code_spans(content, line, column),
                        inline.links(content, line, column),
                    )
                )
        return Row(line, tuple(cells))


def _joined(lines: Sequence[TextLine]) -> str:
    return "\n".join(line.text for line in lines)


def _with_sections(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Give every block the texts of the headings that it stands under."""
    path: list[tuple[int, str]] = []
    placed: list[Block] = []
    for block in blocks:
        if isinstance(block, Heading):
            path = [entry for entry in path if entry[0] < block.level]
            path.append((block.level, block.text))
        placed.append(_placed(block, tuple(text for _, text in path)))
    return tuple(placed)


def _placed(block: Block, path: tuple[str, ...]) -> Block:
    if isinstance(block, (ListItem, Quote)):
        return replace(block, section_path=path, children=tuple(_placed(child, path) for child in block.children))
    return replace(block, section_path=path)


def _section_tree(blocks: Sequence[Block]) -> tuple[Section, ...]:
    opened: list[tuple[Heading | None, list[Block], list[Section]]] = [(None, [], [])]

    def close() -> None:
        heading, own, children = opened.pop()
        opened[-1][2].append(Section(heading, tuple(own), tuple(children)))

    for block in blocks:
        if isinstance(block, Heading):
            while len(opened) > 1 and (top := opened[-1][0]) is not None and top.level >= block.level:
                close()
            opened.append((block, [], []))
        else:
            opened[-1][1].append(block)
    while len(opened) > 1:
        close()
    _, own, children = opened[0]
    before = (Section(None, tuple(own)),) if own else ()
    return (*before, *children)
