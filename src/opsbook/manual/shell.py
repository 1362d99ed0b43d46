"""The commands of a shell block: words, pipelines, enclosing constructs, programs within programs.

Parsed by tree-sitter's bash grammar, which goes on after a syntax error as a reader does. Places are lines and columns
of the file, 1-based, in characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from opsbook.manual.console import blank_console
from opsbook.manual.shell_model import Assignment, Command, Embedded, Enclosure, Heredoc, Redirect, Word
from opsbook.manual.shell_programs import read_program
from opsbook.manual.shell_tree import parse

__all__ = [
    "Assignment",
    "Command",
    "Embedded",
    "Enclosure",
    "Heredoc",
    "Redirect",
    "Word",
    "commands",
    "syntax_error",
    "variables_of",
    "walk_commands",
]


def commands(
    text: str,
    first_line: int = 1,
    first_column: int | Sequence[int] = 1,
    *,
    variables: Mapping[str, str] | None = None,
    console: bool | None = None,
) -> list[Command]:
    """The simple commands of a block in the order in which they stand.

    `first_column` is the column of the first character of each line, or a list with one for every line (Fence.columns).
    `variables` are values known from earlier blocks of the procedure. `console` tells whether lines are prompts and
    output; left out, it is seen from the text.
    """
    source = parse(blank_console(text, console), text, first_line, first_column)
    return read_program(source, variables or {})


def walk_commands(found: Iterable[Command]) -> Iterator[Command]:
    """Every command, the ones inside others too."""
    for command in found:
        yield from command.walk()


def variables_of(found: Iterable[Command], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """The static variables that a block leaves behind for the next one of its procedure."""
    values = dict(known or {})
    for command in found:
        if not command.argv or command.program in ("export", "declare", "readonly", "typeset"):
            for assignment in command.assignments:
                if assignment.value.value is not None and assignment.operator == "=":
                    values[assignment.name] = assignment.value.value
                else:
                    values.pop(assignment.name, None)
    return values


def syntax_error(text: str) -> tuple[int, int] | None:
    """Row and column (0-based) of the first thing the grammar could not read, or None.

    A hint, not bash's own verdict.
    """
    error = parse(blank_console(text, None), text, 1, 1).first_error()
    return None if error is None else (error.start_point[0], error.start_point[1])
