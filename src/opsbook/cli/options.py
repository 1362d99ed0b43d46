"""Options that verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from opsbook.book.load import Book
    from opsbook.book.system import System

F = TypeVar("F", bound=Callable[..., Any])


def book_options(function: F) -> F:
    """`--book` and `--env`, passed as `book` and `env`."""
    env = click.option(
        "--env", metavar="NAME", help="Environment of the book (default: OPSBOOK_ENV or the book's own)."
    )
    book = click.option(
        "--book", metavar="PATH", help="The book.yaml or its folder (default: found upwards from here)."
    )
    return book(env(function))


def format_option(*formats: str) -> Callable[[F], F]:
    """`--format` with these values, the first the default; passed as `output`."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to print the result.",
    )


def read_book(named: str | None) -> Book:
    """The book that the options mean."""
    from opsbook.book.load import find_book, load_book
    from opsbook.catalogue import catalogue

    return load_book(find_book(Path.cwd(), named), catalogue())


def read_system(book: str | None, env: str | None) -> System:
    """The book and environment that the options mean."""
    from opsbook.book.system import in_environment

    return in_environment(read_book(book), env)
