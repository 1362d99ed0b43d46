"""Where a shell word would be read again as code: by eval, another shell, another interpreter, or bash's arithmetic.

It follows values through variables of the script: `x={{ v }}; eval "$x"` is refused like `eval {{ v }}`. Where it
cannot know it takes the worse case, and says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from opsbook.engine.mistakes import TextMistake
from opsbook.engine.shell_arguments import AS_ARGUMENT, Arguments
from opsbook.engine.shell_programs import (
    CLIENTS,
    CODE_OPTION_WITH_VALUE,
    CODE_OPTIONS,
    COUNTS_ITS_WORDS,
    DECIDES_WHAT_RUNS,
    INTERPRETERS,
    PREFIXES,
    READS_ASSIGNED,
    SHELLS,
    TAKES_ANY_WORD,
)
from opsbook.engine.shell_taint import Word
from opsbook.engine.shell_tree import Node, ancestors, descend

if TYPE_CHECKING:
    from opsbook.engine.shell_values import Mark, MarkedScript

_PLAIN_COMMAND = re.compile(r"\[|[\w./:@%+,=-]+")
"""A command that is what is written: no expansion, no pattern, no braces."""


def forbidden_places(marked: MarkedScript, whole_numbers: frozenset[str]) -> list[TextMistake]:
    """Everything in the script that would read a value again."""
    return list(_Reading(marked, whole_numbers).mistakes())


def option_words(marked: MarkedScript) -> list[Mark]:
    """The values that begin a word which its command could take for an option."""
    found = []
    for mark in marked.marks:
        node = marked.tree.node(mark.start, mark.end)
        word, command = _word_and_command(node)
        if command is None or word is None or not _begins(marked, word, mark):
            continue
        words = [child for child in command.children if child.type != "command_name" or child is command.children[0]]
        names = [marked.tree.text(child) for child in command.children if child.type == "command_name"]
        before = [marked.tree.text(child) for child in words if child.end_byte <= word.start_byte]
        if names and names[0] not in TAKES_ANY_WORD and "--" not in before:
            found.append(mark)
    return found


def _word_and_command(node: Node) -> tuple[Node | None, Node | None]:
    for inner, outer in ancestors(node):
        if outer is None or inner.type in ("command_substitution", "process_substitution", "herestring_redirect"):
            return None, None
        if outer.type == "command":
            return (inner, outer) if inner.type not in ("command_name", "variable_assignment") else (None, None)
    return None, None


def _begins(marked: MarkedScript, word: Node, mark: Mark) -> bool:
    before = marked.tree.data[word.start_byte : mark.start].decode("utf-8", "replace")
    return not before.strip("'\"")


class _Reading(Arguments):
    """Walks a script with the set of variables that carry values."""

    def mistakes(self) -> Iterator[TextMistake]:
        for node in descend(self.tree.root):
            if self.calculated & self.written(node):
                yield from self._refuse(
                    node, "a value cannot be assigned to a variable with which bash calculates, or that names another",
                    "assign it to a plain variable",
                )  # fmt: skip
            if node.type == "command":
                yield from self._command(node)
            elif node.type == "declaration_command":
                yield from self._declaration(node)
            elif node.type == "unset_command":
                yield from self._all_words(node, "unset")
            elif node.type == "variable_assignment":
                yield from self._assignment(node)
            elif node.type in ("pipeline", "redirected_statement"):
                yield from self._input(node)
            elif node.type in ("herestring_redirect",):
                yield from self._herestring(node)
            elif node.type in ("simple_expansion", "expansion", "variable_name", "word"):
                yield from self._calculated(node)

    def _command(self, node: Node) -> Iterator[TextMistake]:
        words = self.words(node)
        at = 0
        yield from self._shifted(words)
        while at < len(words):
            word = words[at]
            if self._chooses(word):
                yield from self._refuse(
                    word.node,
                    "a value would choose the command that is run",
                    "write the command, and `when` or a choice",
                )
                return
            if word.program in PREFIXES:
                at = _after_prefix(words, at)
                continue
            if not _PLAIN_COMMAND.fullmatch(word.text):
                yield from self._unknown_command(word, words[at + 1 :])
                return
            yield from self._arguments(word.program, words[at + 1 :])
            break
        yield from self._anywhere(words)

    def _shifted(self, words: Sequence[Word]) -> Iterator[TextMistake]:
        """An unquoted expansion may be no word or several, and so move a value to where it is read as code."""
        if not any(word.program in COUNTS_ITS_WORDS for word in words):
            return
        moving: Word | None = None
        for word in words:
            if word.carries and moving is not None:
                yield from self._refuse(
                    word.node, f"a value cannot stand behind {moving.text[:40]}, which may be no word or several here",
                    f'quote that: "{moving.text[:40]}"',
                )  # fmt: skip
            elif moving is None and self._moves(word.node):
                moving = word

    def _moves(self, node: Node) -> bool:
        """Whether the word may become none or several."""
        if node.type in ("string", "raw_string", "ansi_c_string", "arithmetic_expansion"):
            return False
        if node.type in ("simple_expansion", "expansion", "command_substitution", "brace_expression"):
            return True
        if node.type == "word" and re.search(r"(?<!\\)[{*?]", self.tree.text(node)):
            return True
        return any(self._moves(child) for child in node.children)

    def _unknown_command(self, command: Word, words: Sequence[Word]) -> Iterator[TextMistake]:
        for word in words:
            if word.carries:
                yield from self._refuse(
                    word.node,
                    f"a value cannot be an argument of {command.text[:40]}, of which only bash will know what it is",
                    "write the command itself",
                )

    def _declaration(self, node: Node) -> Iterator[TextMistake]:
        words = [child for child in node.children if child.type != "variable_assignment"]
        options = "".join(self.tree.text(word) for word in words[1:] if self.tree.text(word).startswith("-"))
        for child in node.children[1:]:
            assigned = child.type == "variable_assignment"
            if self.carries(child) and (not assigned or READS_ASSIGNED & set(options)):
                yield from self._refuse(
                    child,
                    "a value cannot be declared with -i, -n or -a, or name a variable",
                    "write NAME={{ value }} alone",
                )

    def _all_words(self, node: Node, program: str) -> Iterator[TextMistake]:
        for child in node.children[1:]:
            if self.carries(child, within_numbers=True):
                yield from self._refuse(child, f"a value cannot name a variable for `{program}`", "write a fixed name")

    def _assignment(self, node: Node) -> Iterator[TextMistake]:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None and value is not None and self.tree.text(name) in DECIDES_WHAT_RUNS and self.carries(value):
            yield from self._refuse(
                value, f"a value cannot be in {self.tree.text(name)}, which decides what is run", "write it out"
            )

    def _input(self, node: Node) -> Iterator[TextMistake]:
        """A pipe or heredoc whose reader takes its input for code."""
        if node.type == "pipeline":
            stages = [child for child in node.children if child.is_named]
            for at, stage in enumerate(stages):
                if program := self._reads_code(stage):
                    for earlier in stages[:at]:
                        if self.carries(earlier):
                            yield from self._refuse(earlier, *_fed(program))
            return
        body = node.child_by_field_name("body")
        for redirect in node.children:
            if redirect.type != "heredoc_redirect":
                continue
            readers = [body] if body is not None else []
            # `cat <<EOF | psql`: the grammar puts what follows the mark into the redirect itself.
            readers += [child for child in redirect.children if child.is_named and not child.type.startswith("heredoc")]
            for part in [child for child in redirect.children if child.type == "heredoc_body"]:
                for reader in readers:
                    if self.carries(part) and (program := self._reads_code(reader)):
                        yield from self._refuse(part, *_fed(program))

    def _herestring(self, node: Node) -> Iterator[TextMistake]:
        command = node.parent
        if command is not None and self.carries(node) and (program := self._reads_code(command)):
            yield from self._refuse(node, *_fed(program))

    def _reads_code(self, stage: Node) -> str:
        """The program in this stage that takes its input for code; empty where there is none."""
        for command in descend(stage):
            if command.type != "command":
                continue
            words = self.words(command)
            for at, word in enumerate(words):
                rest = [other.text for other in words[at + 1 :]]
                operands = [text for text in rest if not text.startswith("-")]
                code_given = any(
                    CODE_OPTIONS.fullmatch(text) or text in ("-m", "-f", "--file") or CODE_OPTION_WITH_VALUE.match(text)
                    for text in rest
                )
                if word.program in SHELLS | INTERPRETERS and not operands and not code_given:
                    return word.program
                if word.program in SHELLS and "-s" in rest:
                    return word.program
                if word.program in CLIENTS and not code_given:
                    return word.program
                if word.program in ("ssh", "autossh", "rsh") and len(operands) < 2:
                    return word.program
                if word.program in ("at", "batch", "crontab", "bc", "dc", "tclsh", "expect", "gdb", "m4", "parallel"):
                    return word.program
                if word.program == "xargs" and any(text.rpartition("/")[2] in SHELLS | INTERPRETERS for text in rest):
                    return word.program
        return ""

    def _calculated(self, node: Node) -> Iterator[TextMistake]:
        """Variables that hold a value where bash calculates, or that it reads twice."""
        name = self.tree.text(node)
        if node.type in ("word", "variable_name"):
            if name not in self.tainted or not self._inside_arithmetic(node):
                return
        elif not self.reads_tainted(node):
            return
        elif node.type == "expansion" and self._read_twice(name):
            yield from self._refuse(node, "a value cannot be expanded twice", "use ${NAME} as it is")
            return
        elif not self._inside_arithmetic(node):
            return
        yield from self._refuse(
            node, "a value cannot stand where bash calculates, because it would run a command in it",
            "use `[ \"$NAME\" -gt 5 ]` instead of `[[ … ]]`, or calculate in an expression: {{ n + 1 }}",
        )  # fmt: skip

    def _read_twice(self, text: str) -> bool:
        """`${!x}` and `${x@P}`."""
        return text.startswith("${!") or bool(re.search(r"@[PA]\}$", text))

    def _inside_arithmetic(self, node: Node) -> bool:
        for inner, outer in ancestors(node):
            if self.tree.calculates(inner, outer):
                return not (inner.type == "subscript" and inner == node.parent and node == inner.children[0])
            if outer is not None and outer.type == "expansion" and inner is not node:
                continue
            if outer is not None and outer.type == "expansion" and self._offset_of(outer, node):
                return True
            if inner.type in ("command", "command_substitution", "program", "heredoc_body"):
                return False
        return False

    def _offset_of(self, expansion: Node, node: Node) -> bool:
        """Whether it is the offset or length of `${x:offset:length}`."""
        colons = [child for child in expansion.children if self.tree.text(child) == ":"]
        return bool(colons) and colons[0].start_byte < node.start_byte


def _after_prefix(words: Sequence[Word], at: int) -> int:
    """The index of the command that a prefix such as sudo or timeout runs."""
    operands, at = PREFIXES[words[at].program], at + 1
    while at < len(words):
        text = words[at].text
        if text.startswith("-") or re.match(r"\w+=", text):
            at += 1
        elif operands:
            operands, at = operands - 1, at + 1
        else:
            return at
    return at


def _fed(program: str) -> tuple[str, str]:
    hint = "use a sql fence, where values are bound" if program in CLIENTS else AS_ARGUMENT
    return f"a value cannot be in the input of `{program}`, which would read it as code", hint
