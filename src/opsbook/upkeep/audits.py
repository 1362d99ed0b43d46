"""The security audit of a system as a procedure: what the book says by its checks, and what can be asked without."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.system import System
from opsbook.checks.audited import of_the_book
from opsbook.upkeep.templates import filled


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the audit, where a check of the book belongs to one."""
    mine = of_the_book(system)
    if not mine:
        return
    databases = sorted({one.of for one in mine if system.components[one.of].kind == "postgres"})
    evidence = "\n".join(
        filled("access-evidence", number=str(n), component=name) for n, name in enumerate(databases, start=2)
    )
    first = len(databases) + 2
    yield (
        "security-audit",
        filled(
            "security-audit",
            component=next((name for name, one in system.components.items() if one.kind == "host"), mine[0].of),
            evidence=evidence,
            people=str(first),
            last=str(first + 1),
        ),
    )
