"""Parsing shell text with tree-sitter, and the way from its bytes back to the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser, Point

__all__ = ["LONGEST", "PLACEHOLDER", "Node", "Source", "parse", "point_of"]

# A block is a few kilobytes; beyond this it is no program that a person wrote into a manual.
LONGEST = 200_000

# <pod-name>, <your bucket>: to bash a redirection, to a reader a gap to fill in.
PLACEHOLDER = re.compile(
    r"(?<![<\w$&)>])<(?![<=(])([A-Za-z\u0080-\uffff][\w.:/|@-]*(?: [A-Za-z][\w-]*){0,5})>(?!>)(?![&(])|"
    r"(?<=[\w/=@:.\"'-])<([A-Za-z][\w.:-]*(?: [A-Za-z][\w-]*){0,5})>"
)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))


def point_of(point: Point) -> tuple[int, int]:
    """Row and byte column of a tree-sitter point, 0-based."""
    return point[0], point[1]


@dataclass
class Source:
    """A parsed block: its tree, its bytes, and where its lines begin in the file."""

    text: str
    data: bytes
    root: Node
    first_line: int
    columns: Sequence[int]
    rows: list[bytes] = field(default_factory=list)
    origin: Callable[[int], tuple[int, int]] | None = None

    def raw(self, node: Node) -> str:
        """What the file holds for a node."""
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def slice(self, start: int, end: int) -> str:
        return self.data[start:end].decode("utf-8", "replace")

    def place(self, point: tuple[int, int]) -> tuple[int, int]:
        """Line and column in the file of a tree-sitter point."""
        row, byte = point
        before = self.rows[row][:byte] if row < len(self.rows) else b""
        column = len(before.decode("utf-8", "replace"))
        if self.origin is not None:
            lines = self.text.split("\n")[:row]
            return self.origin(sum(map(len, lines)) + len(lines) + column)
        start = self.columns[row] if row < len(self.columns) else (self.columns[-1] if self.columns else 1)
        return self.first_line + row, start + column

    def line_starts(self, text: str, row: int) -> list[tuple[int, tuple[int, int]]]:
        """Offset and place of every line after the first of a text that begins in a row: blocks in lists are
        indented."""
        found, at = [], text.find("\n")
        while at >= 0:
            row += 1
            found.append((at + 1, self.place((row, 0))))
            at = text.find("\n", at + 1)
        return found

    def first_error(self) -> Node | None:
        """The first node the grammar could not read."""
        for node in descend(self.root):
            if node.type == "ERROR" or node.is_missing:
                return node
        return None


def descend(root: Node) -> Iterator[Node]:
    """All nodes, parents first, without recursion; only branches that hold an error."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        if node.has_error:
            stack.extend(reversed(node.children))


def parse(
    script: str,
    original: str,
    first_line: int,
    first_column: int | Sequence[int],
    origin: Callable[[int], tuple[int, int]] | None = None,
) -> Source:
    """Parse a script; `original` is the text of the same length whose characters the words show.

    `origin`, where given, leads from a character of the text to its line and column, instead of the two numbers.
    """
    script, original = script[:LONGEST], original[:LONGEST]
    masked = PLACEHOLDER.sub(_mask, script).replace("\0", " ")
    columns: Sequence[int] = [first_column] if isinstance(first_column, int) else first_column
    data = original.encode("utf-8", "replace")
    tree = _parser().parse(masked.encode("utf-8", "replace"))
    if len(masked) != len(original):  # cannot happen while blanking keeps lengths; the script is right then
        data = masked.encode("utf-8", "replace")
    return Source(original, data, tree.root_node, first_line, columns or [1], data.split(b"\n"), origin)


def _mask(match: re.Match[str]) -> str:
    """A plain word of the same number of bytes."""
    return "".join(
        "x" * len(char.encode("utf-8", "replace")) if char.isascii() else char for char in match[0].replace(" ", "_")
    )
