"""What the verbs of the engine share: opening it, finding a run, reading parameters, asking a person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from opsbook.book.system import System
    from opsbook.engine.desk import Desk
    from opsbook.engine.service import Service
    from opsbook.engine.views import View

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def opened(book: str | None, env: str | None) -> Iterator[Desk]:
    """The store of the book and environment that the options mean, for a verb that plans nothing."""
    from opsbook.cli.options import read_system
    from opsbook.engine.desk import Desk
    from opsbook.engine.setting import open_setting

    system = read_system(book, env)
    setting = open_setting(system, _packaged, _backup_ages)
    try:
        yield Desk(setting, system)
    finally:
        setting.close()


@contextmanager
def planning(book: str | None, env: str | None) -> Iterator[Service]:
    """The engine of the book and environment that the options mean."""
    from opsbook.engine.service import Service

    with opened(book, env) as desk:
        yield Service(desk.setting, desk.system, desk.actor)


@contextmanager
def opened_for(book: str | None, run: str) -> Iterator[tuple[Desk, View]]:
    """The store in the environment of a run, and that run."""
    from opsbook.book.system import in_environment
    from opsbook.cli.options import read_book
    from opsbook.engine.desk import Desk
    from opsbook.engine.setting import open_setting
    from opsbook.engine.views import view_of

    found = read_book(book)
    any_system = in_environment(found, next(iter(found.model.environments)))
    setting = open_setting(any_system, _packaged, _backup_ages)
    try:
        view = view_of(setting.store, run)
        yield Desk(setting, in_environment(found, view.run.environment)), view
    finally:
        setting.close()


def _packaged(system: System) -> Mapping[str, str]:
    """The procedures that come with opsbook; most verbs never ask for one, and they know the whole of recovery."""
    from opsbook.recovery.packaged import packaged_procedures

    return packaged_procedures(system)


def _backup_ages(system: System, now: datetime) -> Mapping[str, timedelta]:
    from opsbook.recovery.backups import backup_ages

    return backup_ages(system, now)


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
