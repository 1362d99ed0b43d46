"""The tree of a shell script by tree-sitter, and the few questions that values ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

__all__ = ["Node", "Tree", "ancestors", "descend", "parse_shell"]

ARITHMETIC_TESTS = ("-eq", "-ne", "-lt", "-le", "-gt", "-ge")
CONDITION_ENDS = ("do_group", "compound_statement")


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))


def parse_shell(text: str) -> Tree:
    """The tree of a script. Never fails: what cannot be read is an error node."""
    data = text.encode()
    return Tree(data, _parser().parse(data).root_node)


def ancestors(node: Node) -> Iterator[tuple[Node, Node | None]]:
    """The node and all above it, each with its parent."""
    current: Node | None = node
    while current is not None:
        yield current, current.parent
        current = current.parent


def descend(root: Node) -> Iterator[Node]:
    """All nodes, parents first."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


class Tree:
    """A parsed script."""

    def __init__(self, data: bytes, root: Node) -> None:
        self.data, self.root = data, root

    def text(self, node: Node) -> str:
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def line(self, node: Node) -> int:
        """1-based line in the script."""
        return self.data.count(b"\n", 0, node.start_byte) + 1

    def node(self, start: int, end: int) -> Node:
        """The smallest node that holds these bytes."""
        return self.root.descendant_for_byte_range(start, end) or self.root

    def first_error(self) -> Node | None:
        """The first thing that the grammar could not read."""
        if not self.root.has_error:
            return None
        return next((node for node in descend(self.root) if node.type == "ERROR" or node.is_missing), self.root)

    def quoted_heredoc(self, body: Node) -> bool:
        """Whether nothing is expanded in the heredoc of this body."""
        redirect = body.parent
        starts = [child for child in (redirect.children if redirect else []) if child.type == "heredoc_start"]
        return any(mark in self.text(start) for start in starts for mark in "'\"\\")

    def calculates(self, node: Node, parent: Node | None) -> bool:
        """Whether bash takes this node for an arithmetic expression, in which it runs the commands of subscripts."""
        if node.type in ("arithmetic_expansion", "subscript"):
            return True
        if node.type == "compound_statement":
            return self.text(node).startswith("((")
        if parent is None:
            return False
        if parent.type == "c_style_for_statement":
            return node.type not in CONDITION_ENDS
        if parent.type == "binary_expression" and self._extended_test(parent):
            return any(
                child.type == "test_operator" and self.text(child) in ARITHMETIC_TESTS for child in parent.children
            )
        if parent.type == "unary_expression":
            return any(child.type == "test_operator" and self.text(child) in ("-v", "-R") for child in parent.children)
        return False

    def _extended_test(self, node: Node) -> bool:
        """Whether it stands in `[[ … ]]`; the command `[` does not calculate."""
        for inner, _ in ancestors(node):
            if inner.type == "test_command":
                return self.text(inner).startswith(("[[", "(("))
        return True
