"""A manual as one HTML file: navigation, print style, light and dark, nothing loaded from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from opsbook.manual.render.anchors import anchors_of, prose_of, slug
from opsbook.manual.render.page import page
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
from opsbook.manual.render.trend import drawn

SHORT = 16
"""Characters up to which a cell is kept on one line."""
_TASK = re.compile(r"^\[[ xX]\]\s+")


def as_html(manual: Manual) -> str:
    """The whole file, ending in a line break. The same manual is always the same text."""
    writer = _Writer(*anchors_of(manual))
    body = [f"<h1>{escape(manual.title)}</h1>", '<div class="lead">']
    body += [writer.block(block, 1) for block in manual.lead]
    body += ["</div>", *(writer.section(one) for one in manual.sections)]
    return page(
        manual.title,
        "\n".join(body),
        "\n".join(writer.navigation(manual.sections)),
        manual.language,
        flowing=manual.flowing,
    )


class _Writer:
    def __init__(self, sections: Mapping[int, str], keys: Mapping[str, str]) -> None:
        self.sections, self.keys = sections, keys
        self.taken: dict[str, int] = dict.fromkeys(sections.values(), 0)

    def navigation(self, sections: Sequence[Section]) -> Iterator[str]:
        yield "<ol>"
        for section in sections:
            yield f'<li><a href="#{self.sections[id(section)]}">{escape(section.title)}</a>'
            if section.parts:
                yield from self.navigation(section.parts)
            yield "</li>"
        yield "</ol>"

    def section(self, section: Section, level: int = 2) -> str:
        anchor = self.sections[id(section)]
        marks = "".join(" " + self.piece(mark) for mark in section.marks)
        title = f'<h{level} id="{anchor}">{escape(section.title)}{marks}</h{level}>'
        blocks = [self.block(block, level) for block in section.blocks]
        parts = [self.section(part, level + 1) for part in section.parts]
        kind = "procedure" if any(isinstance(block, Prose) for block in section.blocks) else "part"
        return "\n".join([f'<section class="{kind}" aria-labelledby="{anchor}">', title, *blocks, *parts, "</section>"])

    def block(self, block: Block, level: int) -> str:
        if isinstance(block, Text):
            return f"<p>{self.line(block.line)}</p>"
        if isinstance(block, Table):
            return self.table(block)
        if isinstance(block, Trend):
            return drawn(block)
        if isinstance(block, Items):
            box = '<span class="box" aria-hidden="true"></span>' if block.open else ""
            items = [f"<li>{box}{self.line(one)}</li>" for one in block.lines]
            return "\n".join([f'<ul class="{"tasks" if block.open else "plain"}">', *items, "</ul>"])
        return self.prose(block, level)

    def table(self, block: Table) -> str:
        # Roles are said in the open: on a narrow screen the rows become cards, and would lose them.
        named = any(block.head)
        rows = [
            f'<table role="table" class="{"rows" if named else "facts"}">',
            f"<caption>{escape(block.caption)}</caption>",
        ]
        if named:
            head = "".join(f'<th role="columnheader" scope="col">{escape(word)}</th>' for word in block.head)
            rows.append(f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>')
        rows.append('<tbody role="rowgroup">')
        for row in block.rows:
            cells = [self.cell(n, word, cell) for n, (word, cell) in enumerate(zip(block.head, row, strict=True))]
            rows.append(f'<tr role="row">{"".join(cells)}</tr>')
        return "\n".join([*rows, "</tbody>", "</table>"])

    def cell(self, number: int, head: str, cell: Line) -> str:
        label = f' data-label="{escape(head)}"' if head and cell else ""
        # What is named for people and has an id of its own shows the id below its name.
        kind = (
            "named"
            if number == 0 and len(cell) > 1
            else "empty"
            if not cell
            else "short"
            if _width(cell) <= SHORT
            else ""
        )
        empty = f' class="{kind}"' if kind else ""
        tag, role = ('th scope="row"', "rowheader") if number == 0 else ("td", "cell")
        return f'<{tag} role="{role}"{label}{empty}><div>{self.line(cell)}</div></{tag[:2]}>'

    def line(self, line: Line) -> str:
        return "".join(self.piece(piece) for piece in line)

    def piece(self, piece: Piece) -> str:
        if isinstance(piece, str):
            return escape(piece)
        if isinstance(piece, Code):
            return f"<code>{escape(piece.text)}</code>"
        if isinstance(piece, Strong):
            return f"<strong>{escape(piece.text)}</strong>"
        if isinstance(piece, Mark):
            return f'<span class="mark {piece.tone}">{escape(piece.text)}</span>'
        return self.link(piece)

    def link(self, piece: Link) -> str:
        target = f"#{self.keys[piece.target]}" if piece.target in self.keys else piece.target
        if not target.startswith(("#", "https://", "http://", "mailto:")):
            return escape(piece.text)
        return f'<a href="{escape(target)}">{escape(piece.text)}</a>'

    def prose(self, block: Prose, level: int) -> str:
        """Markdown by the same parser that compiles procedures; raw HTML in it is shown as text."""
        from markdown_it import MarkdownIt

        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        tokens = parser.parse(prose_of(block, level, self.keys))
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type == "fence" and token.map:
                token.meta = {"step": block.steps.get(token.map[0] + 1)}
            elif token.type == "heading_open":
                token.attrSet("id", slug(tokens[tokens.index(token) + 1].content, self.taken))
            elif token.type == "inline":
                _tick(token, before)
        rules: dict[str, Any] = parser.renderer.rules  # type: ignore[attr-defined]
        rules["fence"] = lambda found, n, *_: _fence(found[n])
        return f'<div class="prose">{parser.renderer.render(tokens, parser.options, {})}</div>'


def _width(cell: Line) -> int:
    return sum(len(piece if isinstance(piece, str) else piece.text) for piece in cell)


def _tick(token: Any, before: Any) -> None:
    """A task of a list begins with a box instead of brackets."""
    children = token.children or []
    if before is not None and before.type == "paragraph_open" and children and _TASK.match(children[0].content):
        children[0].content = "☐ " + _TASK.sub("", children[0].content)


def _fence(token: Any) -> str:
    code = f'<pre tabindex="0"><code>{escape(token.content)}</code></pre>'
    note: StepNote | None = (token.meta or {}).get("step")
    if note is None:
        return code + "\n"
    remarks = "".join(f"<span>{escape(one)}</span>" for one in note.remarks)
    head = f'<b>Step {note.number}</b> <span class="mark {note.tone}">{escape(note.risk)}</span>'
    kind = f"<span>{escape(note.kind)}</span>"
    return f'<figure class="step {note.tone}"><figcaption>{head}{kind}{remarks}</figcaption>{code}</figure>\n'
