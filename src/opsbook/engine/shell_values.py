"""Values in shell scripts: each stands in an environment variable, and the script holds a quoted reference to it.

`rm -- {{ file }}` becomes `rm -- "${OPSBOOK_1}"`, by the quoting in which it stands. The text of a value is never part
of the script, so bash cannot read it as anything but one word. Where something would read that word *again* as code
(eval, `sh -c`, arithmetic, another interpreter) the script is refused: see `shell_rereading.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from opsbook.engine.mistakes import TextMistake
from opsbook.engine.shell_tree import Node, Tree, ancestors, parse_shell
from opsbook.engine.templates import Template, templates

VARIABLE = "OPSBOOK_{}"
LARGEST_VALUE = 100_000
"""Bytes. Linux takes 128 KiB for one variable with its name (MAX_ARG_STRLEN)."""

_MARK = "OpsbookValue{}Here"
_MARKED = re.compile(r"OpsbookValue(\d+)Here")
_RESERVED = re.compile(r"\bOPSBOOK_\w+|OpsbookValue\d+Here")


@dataclass(frozen=True)
class Script:
    """A script whose values are variables of its environment."""

    program: str
    values: dict[str, str]
    """Variable → expression."""
    words: tuple[str, ...] = ()
    """Variables that begin a word which a command could take for an option: their values may not begin with `-`."""
    numbers: tuple[str, ...] = ()
    """Variables that stand where bash calculates: their values must be whole numbers."""


@dataclass(frozen=True)
class Mark:
    """One place of a value: the template, and its bytes in the marked script."""

    template: Template
    start: int
    end: int


@dataclass
class MarkedScript:
    """A script in which every template is a plain word that the grammar can read."""

    text: str
    marks: list[Mark]
    tree: Tree

    def mark_at(self, node: Node) -> list[Mark]:
        """The marks inside a node."""
        return [mark for mark in self.marks if node.start_byte <= mark.start and mark.end <= node.end_byte]


def compile_script(text: str, whole_numbers: frozenset[str] = frozenset()) -> tuple[Script | None, list[TextMistake]]:
    """The script with references for its templates, and everything that forbids that.

    `whole_numbers` are expressions that are known to yield whole numbers; those may stand where bash calculates.
    Raises UnclosedTemplate.
    """
    from opsbook.engine.shell_rereading import forbidden_places, option_words

    pieces = templates(text)
    found = [piece for piece in pieces if isinstance(piece, Template)]
    if not found:
        return Script("".join(piece for piece in pieces if isinstance(piece, str)), {}), []
    if taken := _RESERVED.search(text):
        name = taken[0]
        return None, [TextMistake(taken.start(), len(name), f"{name} is a name of opsbook's own", "use another name")]
    marked = _marked(pieces)
    if reason := _unreadable(marked):
        return None, [reason]
    mistakes: list[TextMistake] = []
    references: list[str] = []
    names: dict[str, str] = {}
    numbers: set[str] = set()
    for mark in marked.marks:
        expression = mark.template.expression
        name = names.setdefault(expression, VARIABLE.format(len(names) + 1))
        reference, reason, calculated = _reference(marked, mark, name, expression in whole_numbers)
        references.append(reference)
        if calculated:
            numbers.add(name)
        if reason is not None:
            mistakes.append(reason)
    mistakes += forbidden_places(marked, whole_numbers)
    if mistakes:
        return None, _first_of_each(mistakes)
    program = _MARKED.sub(lambda match: references[int(match[1])], marked.text)
    words = {names[mark.template.expression] for mark in option_words(marked)}
    values = {name: expression for expression, name in names.items()}
    return Script(program, values, tuple(sorted(words)), tuple(sorted(numbers))), []


def _first_of_each(mistakes: list[TextMistake]) -> list[TextMistake]:
    found: dict[int, TextMistake] = {}
    for mistake in mistakes:
        found.setdefault(mistake.offset, mistake)
    return list(found.values())


def _marked(pieces: tuple[str | Template, ...]) -> MarkedScript:
    text, size = "", 0
    marks: list[Mark] = []
    for piece in pieces:
        word = _MARK.format(len(marks)) if isinstance(piece, Template) else piece
        length = len(word.encode())
        if isinstance(piece, Template):
            marks.append(Mark(piece, size, size + length))
        text, size = text + word, size + length
    return MarkedScript(text, marks, parse_shell(text))


def _unreadable(marked: MarkedScript) -> TextMistake | None:
    error = marked.tree.first_error()
    if error is None:
        return None
    before = [mark for mark in marked.marks if mark.start <= error.start_byte]
    mark = (before or marked.marks)[-1]
    line = marked.tree.line(error)
    return TextMistake(
        mark.template.start,
        mark.template.end - mark.template.start,
        f"the script cannot be read as bash at its line {line}, so it is not certain how this value would be quoted",
        "mend or simplify that line; `bash -n` says whether bash can read it",
    )


def _reference(marked: MarkedScript, mark: Mark, name: str, whole_number: bool) -> tuple[str, TextMistake | None, bool]:
    """What stands in the script for a value, why it cannot, and whether bash calculates with it."""
    plain, quoted = f"${{{name}}}", f'"${{{name}}}"'

    def refused(where: str, hint: str) -> tuple[str, TextMistake, bool]:
        template = mark.template
        message = f"a value cannot stand {where}"
        return plain, TextMistake(template.start, template.end - template.start, message, hint), False

    node = marked.tree.node(mark.start, mark.end)
    for inner, outer in ancestors(node):
        kind = inner.type
        if kind == "comment":
            return plain, None, False
        if kind == "raw_string":
            return f"'{quoted}'", _refused_in_context(marked, inner, mark), False
        if kind == "ansi_c_string":
            return refused("inside $'…', where backslashes would be read", "close the $'…' before it")
        if kind in ("string", "translated_string"):
            return plain, _refused_in_context(marked, inner, mark), False
        if kind == "heredoc_body":
            if marked.tree.quoted_heredoc(inner):
                return refused(
                    "in a heredoc whose end word is quoted, where nothing is filled in",
                    "take the quotes off the end word (and write \\$ for each $ that is meant), or use `env`",
                )
            return plain, _refused_in_context(marked, inner, mark), False
        if kind in ("heredoc_start", "heredoc_end"):
            return refused("in the end word of a heredoc", "write a fixed word")
        if marked.tree.calculates(inner, outer):
            if whole_number:
                return plain, None, True
            return refused(
                "where bash calculates, because it would run a command in it",
                "calculate in the expression ({{ n + 1 }}), make it a whole number ({{ n | int }}), or use `[ … ]`",
            )
        if kind in ("expansion", "brace_expression"):
            return refused(
                "inside ${…} or {…}, where bash reads it again", "assign it first: NAME={{ … }}, then use ${NAME}"
            )
        if kind == "variable_name" and _within_arithmetic(marked, inner):
            continue
        if kind in ("variable_name", "function_definition"):
            if kind == "function_definition" and outer is not None and inner.child_by_field_name("body") is not None:
                body = inner.child_by_field_name("body")
                if body is not None and body.start_byte <= mark.start:
                    break
            return refused("where bash expects a name", "write a fixed name")
        if kind in ("command", "command_substitution", "redirected_statement", "test_command", "program", "list"):
            break
    return quoted, _refused_in_context(marked, node, mark), False


def _within_arithmetic(marked: MarkedScript, node: Node) -> bool:
    """Whether a bare name is an operand: the grammar calls it a variable there."""
    for inner, outer in ancestors(node):
        if marked.tree.calculates(inner, outer):
            return True
        if inner.type in ("variable_assignment", "declaration_command", "command", "for_statement"):
            return False
    return False


def _refused_in_context(marked: MarkedScript, node: Node, mark: Mark) -> TextMistake | None:
    """Contexts that reach through quotes: backquotes, `${…}` around a string, arithmetic around a string."""
    template = mark.template
    here, length = template.start, template.end - template.start
    for inner, outer in ancestors(node):
        if inner.type == "command_substitution":
            if marked.tree.text(inner).startswith("`"):
                return TextMistake(
                    here, length, "a value cannot stand inside backquotes, where quotes are read twice", "write $(…)"
                )
            return None
        if marked.tree.calculates(inner, outer):
            return TextMistake(
                here, length, "a value cannot stand where bash calculates, because it would run a command in it",
                "make it a whole number without quotes: {{ n | int }}, or use `[ … ]` instead of `[[ … ]]`",
            )  # fmt: skip
        if inner.type == "expansion":
            return TextMistake(
                here, length, "a value cannot stand inside ${…}, where bash reads it again",
                "assign it first: NAME={{ … }}, then use ${NAME}",
            )  # fmt: skip
    return None
