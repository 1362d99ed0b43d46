"""What opsbook needs in a namespace to have pgBackRest run in pods, and beside them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from opsbook.book.system import System

ARCHIVING = frozenset({"pgbackrest.configure", "backup.take", "backup.verify"})
RECOVERING = frozenset({"postgres.restore_at", "postgres.restore_tables_at", "drill.restore_at"})
"""They recover in a job beside the server, and copy from there."""
BOTH = ("get", "create")
"""A WebSocket begins with a GET, which servers before 1.35 authorize as `get`; later ones as `create`."""


def recovery_rights(system: System, operations: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Group, resource and verb."""
    inside = any(
        one.pgbackrest is not None and one.pgbackrest.inside is not None and system.holds(one.environments)
        for one in system.model.backups
    )
    if not inside:
        return
    if (ARCHIVING | RECOVERING) & set(operations):
        yield from (("", "pods/exec", verb) for verb in BOTH)
    if RECOVERING & set(operations):
        yield from (("", "pods/portforward", verb) for verb in BOTH)
        yield from (("batch", "jobs", verb) for verb in ("create", "delete"))
