"""What the verbs of the engine share: opening it, finding a run, reading parameters, asking a person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from opsbook.engine.service import Service
    from opsbook.engine.views import View

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def opened(book: str | None, env: str | None) -> Iterator[Service]:
    """The engine of the book and environment that the options mean."""
    from opsbook.cli.options import read_system
    from opsbook.engine.service import Service
    from opsbook.engine.setting import open_setting
    from opsbook.recovery.backups import backup_ages
    from opsbook.recovery.packaged import packaged_procedures

    system = read_system(book, env)
    setting = open_setting(system, packaged_procedures, backup_ages)
    try:
        yield Service(setting, system)
    finally:
        setting.close()


@contextmanager
def opened_for(book: str | None, run: str) -> Iterator[tuple[Service, View]]:
    """The engine in the environment of a run, and that run."""
    from opsbook.book.system import in_environment
    from opsbook.cli.options import read_book
    from opsbook.engine.service import Service
    from opsbook.engine.setting import open_setting
    from opsbook.engine.views import view_of
    from opsbook.recovery.backups import backup_ages
    from opsbook.recovery.packaged import packaged_procedures

    found = read_book(book)
    any_system = in_environment(found, next(iter(found.model.environments)))
    setting = open_setting(any_system, packaged_procedures, backup_ages)
    try:
        view = view_of(setting.store, run)
        yield Service(setting, in_environment(found, view.run.environment)), view
    finally:
        setting.close()


def parameter_options(function: F) -> F:
    """PROCEDURE [key=value …] and --params-file, passed as `name`, `words` and `params_file`."""
    file = click.option(
        "--params-file", type=click.Path(exists=True, dir_okay=False), help="YAML or JSON with parameters."
    )
    words = click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
    name = click.argument("name", metavar="PROCEDURE")
    return name(words(file(function)))


def values_of(params_file: str | None) -> dict[str, Any]:
    """The parameters of a file; none where there is none."""
    from opsbook.engine.parameters_file import read_parameters_file

    return read_parameters_file(Path(params_file)) if params_file else {}


def say(text: str) -> None:
    """A message to the person; results go to stdout."""
    click.echo(f"opsbook: {text}", err=True)


def attended() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()
