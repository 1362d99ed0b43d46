"""What holds a secret, as the book names it: `file:PATH`, `env:FILE#NAME`, `secret:NAME/KEY`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.errors import Refused

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
KEY = re.compile(r"[A-Za-z0-9._-]+")
"""Names of objects and keys of Secrets, as Kubernetes takes them."""


@dataclass(frozen=True)
class Written:
    """A place in its parts."""

    scheme: str
    """file, env or secret."""
    where: str
    """Path, or name of the Secret."""
    key: str = ""
    """Of a Secret."""
    variable: str = ""
    """Of lines of KEY=VALUE."""


def parts_of(system: System, written: Reference, key: str = "") -> Written | None:
    """The parts of a place, variables filled in; None for what is none. `key`: of a Secret, where none is written."""
    scheme, separator, rest = written.text.partition(":")
    if not separator:
        return None
    rest = rest.strip()
    if scheme == "file" and rest:
        return Written(scheme, rest)
    if scheme == "env" and "#" in rest:
        path, _, variable = rest.rpartition("#")
        return Written(scheme, path, variable=variable)
    if scheme == "secret" and rest:
        rest, _, variable = system.resolve(Reference(rest)).partition("#")
        name, _, named = rest.partition("/")
        found = Written(scheme, name, named or key, variable)
        return found if NAME.fullmatch(found.where) and KEY.fullmatch(found.key) else None
    return None


def refused(written: Reference) -> Refused:
    """What is said of a place that nothing can be written to."""
    return Refused(
        f"{written} is no place that a credential can be written to",
        "write file:PATH, env:FILE#NAME or secret:NAME/KEY",
    )


def beside(name: str, what: str) -> str:
    """The name of what stands beside a Secret, as object names are written."""
    return f"{name}.{what.replace('_', '-')}"
