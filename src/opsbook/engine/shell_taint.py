"""Which variables of a script may hold a value that was filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbook.engine.shell_programs import CALCULATED, DECLARES, READS_ASSIGNED
from opsbook.engine.shell_tree import Node, descend

if TYPE_CHECKING:
    from opsbook.engine.shell_values import MarkedScript


@dataclass(frozen=True)
class Word:
    """A word of a command: its node, its text without outer quotes, and whether it carries a value."""

    node: Node
    text: str
    carries: bool

    @property
    def program(self) -> str:
        return self.text.rpartition("/")[2]


class Taint:
    """Values followed through assignments, loops and reads; where a call leads is not followed, so it taints."""

    def __init__(self, marked: MarkedScript, whole_numbers: frozenset[str]) -> None:
        self.marked, self.tree = marked, marked.tree
        self.numbers = {mark.start for mark in marked.marks if mark.template.expression in whole_numbers}
        self.tainted: set[str] = set()
        self.calculated = CALCULATED | self._declared_numbers()
        """Variables that bash calculates with, or follows to another one, when something is assigned to them."""
        self._spread()

    def carries(self, node: Node, within_numbers: bool = False) -> bool:
        """Whether a value is in this node, directly or by a variable; whole numbers count only `within_numbers`."""
        for mark in self.marked.mark_at(node):
            if within_numbers or mark.start not in self.numbers:
                return True
        return any(self.reads_tainted(inner) for inner in descend(node))

    def reads_tainted(self, node: Node) -> bool:
        """Whether this expansion reads a variable that may hold a value."""
        if node.type not in ("simple_expansion", "expansion"):
            return False
        return any(
            self.tree.text(child) in self.tainted
            for child in descend(node)
            if child.type in ("variable_name", "special_variable_name")
        )

    def _spread(self) -> None:
        """Find the variables that may hold a value, to the end of following assignments."""
        if any(node.type == "function_definition" for node in descend(self.tree.root)):
            self.tainted |= {*"123456789@*"}  # which calls hand what to which function is not followed
        while True:
            found = set(self.tainted)
            for node in descend(self.tree.root):
                found |= self.written(node)
            if found == self.tainted:
                return
            self.tainted = found

    def _declared_numbers(self) -> set[str]:
        names: set[str] = set()
        for node in descend(self.tree.root):
            if node.type not in ("declaration_command", "command"):
                continue
            words = [_unquoted(self.tree.text(child)) for child in node.children]
            if not DECLARES & set(words):
                continue
            options = "".join(word for word in words if word.startswith(("-", "+")))
            if READS_ASSIGNED & set(options):
                names |= {re.split(r"\W", word)[0] for word in words if not word.startswith(("-", "+"))}
        return names

    def written(self, node: Node) -> set[str]:
        """The variables to which this node gives a value that was filled in."""
        if node.type == "variable_assignment":
            value, name = node.child_by_field_name("value"), node.child_by_field_name("name")
            if value is not None and name is not None and self.carries(value):
                return {re.split(r"\W", self.tree.text(name))[0]}
        if node.type in ("for_statement", "select_statement"):
            variable = node.child_by_field_name("variable")
            values = node.children_by_field_name("value")
            if variable is not None and any(self.carries(value) for value in values):
                return {self.tree.text(variable)}
        if node.type == "command":
            words = self.words(node)
            if words and words[0].text in ("read", "mapfile", "readarray", "getopts"):
                return {word.text for word in words[1:] if not word.text.startswith("-")} | {"REPLY", "MAPFILE"}
            if words and words[0].text == "set" and any(word.carries for word in words[1:]):
                return {*"123456789@*"}
            if words and words[0].text == "printf" and len(words) > 2 and words[1].text == "-v":
                return {words[2].text} if any(word.carries for word in words[3:]) else set()
        return set()

    def words(self, command: Node) -> list[Word]:
        """The words of a command without its assignments and redirections."""
        words = []
        for child in command.children:
            if child.type in ("variable_assignment", "file_redirect", "heredoc_redirect", "herestring_redirect"):
                continue
            text = self.tree.text(child)
            words.append(Word(child, _unquoted(text), self.carries(child, within_numbers=True)))
        return words


def _unquoted(text: str) -> str:
    return text.replace('"', "").replace("'", "").replace("\\", "")
