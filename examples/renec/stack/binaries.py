"""Where the servers' programs are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from stack.errors import StackError

POSTGRES_FOLDERS = ("/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin", "/opt/homebrew/opt/postgresql@15/bin")
ELSEWHERE = "/usr/sbin:/usr/local/sbin:/sbin"


def find(*names: str) -> str | None:
    """The first of several names that is a program on PATH or in a folder of system programs."""
    path = f"{os.environ.get('PATH', '')}:{ELSEWHERE}"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def required(name: str) -> str:
    """A program that the stack cannot do without. Raises StackError with what to install."""
    found = find(name)
    if found is None:
        raise StackError(f"{name} is not installed", "see 'What must be installed' in examples/renec/README.md")
    return found


def postgres(name: str) -> str:
    """A program of PostgreSQL's server package, which is seldom on PATH. Raises StackError."""
    for folder in (os.environ.get("PG_BIN", ""), *POSTGRES_FOLDERS):
        path = Path(folder) / name
        if folder and path.exists():
            return str(path)
    return required(name)
