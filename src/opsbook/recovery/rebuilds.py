"""Drills that make the whole system anew: of the objectives `application` and `system`, or of others."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.recovery import Backup, Drill
from opsbook.book.system import System
from opsbook.connectors.files import FilesComponent
from opsbook.recovery.restores import backups, others, writers
from opsbook.recovery.templates import filled


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each."""
    for drill, backup in _wanted(system):
        files = _files(system) if "system" in drill.of else []
        yield (
            f"drill-{drill.id}",
            filled(
                "drill-rebuild", name=drill.id, component=backup.of, backup=backup.id,
                environment=str(drill.environment), stop=", ".join(writers(system, backup.of)),
                files=", ".join(files), assertions=", ".join(drill.assertions),
            ),
        )  # fmt: skip


def drilled_by(system: System) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Procedure → the book's id of the drill and the objectives that it measures."""
    return {f"drill-{drill.id}": (drill.id, drill.of) for drill, _ in _wanted(system)}


def _wanted(system: System) -> Iterator[tuple[Drill, Backup]]:
    """Each with the backup that it restores: not in the environment that it makes."""
    known = backups(system)
    for drill in system.model.drills:
        if drill.kind != "rebuild" or drill.procedure or drill.environment == system.name:
            continue
        backup = next((one for one in known if drill.backup in (None, one.id)), None)
        if backup is not None:
            yield drill, backup


def _files(system: System) -> list[str]:
    """Backups of files whose component the fresh system has too."""
    return [
        one.id for one in others(system)
        if one.method == "files" and isinstance(system.components.get(one.of), FilesComponent)
    ]  # fmt: skip
