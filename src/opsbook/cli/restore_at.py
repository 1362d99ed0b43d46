"""`opsbook restore --at`: a database as it was at a point, by the backup that never stops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import planning, say
from opsbook.cli.packaged_run import How, run_packaged
from opsbook.cli.served import watched

if TYPE_CHECKING:
    from opsbook.book.recovery import Backup
    from opsbook.book.system import System


def restore_at(
    name: str, point: dict[str, str], stamp: str, to: str, switch: bool, in_place: bool, tables: str,
    book: str | None, env: str | None, how: dict[str, Any],
) -> int:  # fmt: skip
    """Restore to the point; `name` is a backup of a component, or the component. Exit codes as of `restore`."""
    from opsbook.engine.views import view_of
    from opsbook.errors import UsageError
    from opsbook.recovery import continuous, restored

    if in_place and not tables:
        raise UsageError(
            "a point in time is restored beside the database that is used", "--switch puts it in its place"
        )
    wish = How(**how)
    with planning(book, env) as service:
        system, now = service.system, service.setting.clock.now()
        backup = _backup(system, name)
        values = {"backup": backup.id, "stamp": stamp}
        values |= continuous.instant(system, now, **{key: text for key, text in point.items() if text})
        kind = "-tables" if in_place else "-switch" if switch else ""
        if not in_place:
            values["to"] = to or f"{backup.of}_at_{now:%Y%m%dt%H%M%S}z"
        if tables:
            values["tables"] = tables
        with watched(system, backup.of, (switch or in_place) and not wish.dry_run) as seen:
            code, run = run_packaged(service, f"restore-{backup.of}-at{kind}", values, wish)
        told = restored.told(view_of(service.setting.store, run)) if run else None
    if told is None:
        return code
    if wish.output == "json":
        told |= {"run": run, "services": [one.told() for one in seen]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return code
    for line in (*restored.sentences(told), *continuous.sentences(told), *(one.sentence for one in seen)):
        click.echo(line)
    if told.get("kept"):
        say(f"what was written since is in {told['kept']}; to go back: opsbook restore {name} --back {told['kept']}")
    return code


def _backup(system: System, name: str) -> Backup:
    """The continuous backup that is meant: of this name, or of the same component. Raises UsageError."""
    from opsbook.connectors.backups.catalogue import backup_named
    from opsbook.errors import UsageError
    from opsbook.recovery.continuous import continuous

    component = name if name in system.components else backup_named(system, name).of
    here = [one for one in continuous(system) if one.id == name] or [
        one for one in continuous(system) if one.of == component
    ]
    if not here:
        raise UsageError(
            f"the log of {component} is archived by no backup of the book", "write one of the method `pgbackrest`"
        )
    return here[0]
