"""The review of who may do what, as a procedure: made where the book says by its checks what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.book.system import System
from opsbook.upkeep.templates import filled

OBSERVATIONS = (
    "postgres.unexpected_roles",
    "postgres.passwords_without_end",
    "postgres.grants_beyond",
    "cluster.access_beyond",
)
ROLES = ("viewer", "responder", "operator", "admin")


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the review, where checks hold access against what is allowed."""
    checks = [check for check in system.checks if check.observe in OBSERVATIONS]
    if not checks:
        return
    held = {check.of for check in checks}
    databases = [name for name, part in system.components.items() if name in held and part.kind == "postgres"]
    evidence = "\n".join(
        filled("access-evidence", number=str(n), component=name) for n, name in enumerate(databases, start=1)
    )
    first = len(databases) + 1
    yield (
        "access-review",
        filled(
            "access-review",
            evidence=evidence,
            opsbook=str(first),
            listed=str(first + 1),
            component=checks[0].of,
            tokens=str(first + 2),
            last=str(first + 3),
            people=_people(system),
            checks="\n".join(f"   - {check.id}" for check in checks),
        ),
    )


def _people(system: System) -> str:
    """Who has which role in opsbook, as one sentence; names are put so that they are never Markdown or a value."""
    access = system.model.access
    told = [f"{role}: {', '.join(map(_plain, getattr(access, role)))}" for role in ROLES if getattr(access, role)]
    if access.everybody:
        told.append(f"everybody else: {access.everybody}")
    return "; ".join(told) or "nobody is named"


def _plain(name: str) -> str:
    return re.sub(r"[^\w:.@+ -]", "?", name)
