"""Writes what is made of the code: the reference pages of docs/, and the index of what the rooms offer: `make docs`.

A test fails where one is behind.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from opsbook.api.app import description
from opsbook.api.reference import reference as api_reference
from opsbook.book.observed import observation_reference
from opsbook.book.reference import book_reference
from opsbook.book.schema import book_schema
from opsbook.catalogue import catalogue
from opsbook.cli.main import VERBS
from opsbook.connectors.by_hand.script import RENDERERS
from opsbook.connectors.offered import INDEX, index_of
from opsbook.connectors.registry import registered
from opsbook.manual.lint.reference import reference as rule_reference
from opsbook.observations.registry import OBSERVATIONS
from opsbook.operations.described import operation_reference
from opsbook.operations.registry import OPERATIONS, operations

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
CLI_HEAD = """\
# The command line

Made of the code by `make docs`. `opsbook VERB --help` tells the same.

Results go to standard output, messages to standard error. `NO_COLOR` and pipes are respected; a pipe gets whole lines.

| exit code | means |
|---|---|
| 0 | fine |
| 1 | it ran and the result is bad: a critical or unknown check, a failed run, findings |
| 2 | wrong usage, or an invalid book |
| 3 | it could not run: something is unreachable, a tool is missing |
| 4 | it waits for an approval, or was refused |
| 5 | ambiguous: nobody can tell whether a change was done; a person decides |

| variable | means |
|---|---|
| `OPSBOOK_ENV` | the environment where `--env` is not given |
| `OPSBOOK_STORE` | the store: a path or `postgresql://…`; else `.opsbook/store.db` beside the book |
| `OPSBOOK_LINK_KEY` | the key that signs links and ping addresses; else `links.key` beside the store |
| `OPSBOOK_LINK_KEY_FILE` | the path of a file with that key |
| `NO_COLOR` | no colours |
"""


def command_line() -> str:
    """The page of all verbs."""
    parts = [CLI_HEAD]
    for name in sorted(VERBS):
        command = importlib.import_module(VERBS[name][0]).command
        parts += _verb(command, f"opsbook {name}")
    return "\n".join(parts)


def _verb(command: click.Command, words: str) -> Iterator[str]:
    context = click.Context(command, info_name=words, parent=None, **command.context_settings)
    arguments = " ".join(command.collect_usage_pieces(context))
    yield f"## {words}\n\n```\n{words} {arguments}\n```\n\n{_text(command.help or '')}\n"
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and "--help" not in one.opts]
    rows = [row for one in options if (row := one.get_help_record(context))]
    if rows:
        lines = [f"| `{names.replace('|', chr(92) + '|')}` | {_cell(text)} |" for names, text in rows]
        yield "\n".join(["| option | means |", "|---|---|", *lines, ""])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if inner := command.get_command(context, name):
                yield from _verb(inner, f"{words} {name}")


def _text(help_text: str) -> str:
    """The help as Markdown: paragraphs as they are, indentation off."""
    lines = [line.strip() for line in help_text.replace("\b", "").strip().splitlines()]
    return "\n".join(lines).replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES: dict[str, Callable[[], str]] = {
    "api.md": lambda: api_reference(description()),
    "book.md": lambda: book_reference(book_schema(catalogue())),
    "cli.md": command_line,
    "observations.md": lambda: observation_reference(list(catalogue().observations.values())),
    "operations.md": lambda: operation_reference(list(operations().values())),
    "rules.md": rule_reference,
}
"""Page of docs/reference → what it must hold."""


def offered() -> str:
    """Which module registers which name: see `opsbook.connectors.offered`."""
    found = registered()
    return index_of(
        [found.connectors, found.components, found.runtimes, found.executors, OBSERVATIONS, OPERATIONS, RENDERERS]
    )


def main() -> None:
    INDEX.write_text(offered(), encoding="utf-8")
    for name, made in PAGES.items():
        path, text = FOLDER / name, made()
        state = "unchanged" if path.exists() and path.read_text(encoding="utf-8") == text else "written"
        path.write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}: {state}")


if __name__ == "__main__":
    main()
