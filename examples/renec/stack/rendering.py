"""Configuration files from templates. `@name` is a value: `$` and `%` mean something to nginx and supervisor."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from string import Template

from stack.credentials import write_private
from stack.instance import server_account

TEMPLATES = Path(__file__).with_name("templates")


class AtTemplate(Template):
    delimiter = "@"


def render(name: str, **values: object) -> str:
    """The template with its values. Raises KeyError for a value that is missing."""
    return AtTemplate((TEMPLATES / name).read_text()).substitute(values)


def server_owner() -> tuple[int, int] | None:
    """User and group that PostgreSQL's and PgBouncer's files belong to, None where that is ourselves."""
    account = server_account()
    if account is None:
        return None
    entry = pwd.getpwnam(account)
    return entry.pw_uid, entry.pw_gid


def write(path: Path, text: str, for_server: bool = False) -> None:
    """Write a configuration file of mode 0600; `for_server` gives it to PostgreSQL's user."""
    write_private(path, text, server_owner() if for_server else None)


def give_to_server(path: Path) -> None:
    """Make a folder belong to PostgreSQL's user."""
    owner = server_owner()
    if owner:
        os.chown(path, *owner)
