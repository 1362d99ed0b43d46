"""`opsbook drill`: prove that what was backed up restores, and measure it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import opened
from opsbook.cli.packaged_run import How, run_options, run_packaged

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.engine.service import Service


@click.command("drill")
@click.argument("name", metavar="OBJECTIVE|ID")
@click.option("--stamp", default="", help="Which backup: its stamp or the beginning of it (default: the newest).")
@click.option("--fault", is_flag=True, help="Of a failover: kill the primary for real. Disposable environments only.")
@run_options
def command(name: str, stamp: str, fault: bool, book: str | None, env: str | None, **how: Any) -> int:
    """Restore the newest backup where nothing can be lost, verify it, and hold what was measured against the promise.

    A drill of a failover fails the database over in an environment that may be broken. NAME is an objective, a drill or
    a backup of the book. Exit codes: 0 restored, verified and every promise kept, 1 it failed or a promise was missed,
    2 wrong usage, 3 could not run, 4 waits or was refused, 5 ambiguous.
    """
    from opsbook.recovery import drills as drilling
    from opsbook.store import drills

    wish = How(**how)
    with opened(book, env) as service:
        system = service.system
        procedure, values = _meant(system, name)
        values |= {"stamp": stamp} if stamp else {}
        values |= {"fault": "true"} if fault else {}
        _must_take(service, procedure, values)
        code, run = run_packaged(service, procedure, values, wish)
        if not run:
            return code
        drilling.collect(service.setting, system)
        rows = drills.of_run(service.setting.store, run)
    if wish.output == "json":
        click.echo(json.dumps([drilling.as_json(row, system) for row in rows], indent=2, ensure_ascii=False))
    else:
        for row in rows:
            click.echo(drilling.sentence(row, system))
    if rows and code in (0, 1):
        return 0 if all(drilling.kept(row, system) for row in rows) else 1
    return code


def _must_take(service: Service, procedure: str, values: dict[str, str]) -> None:
    """Raises UsageError where an option is of another kind of drill."""
    from opsbook.errors import UsageError

    known = {one.name for one in service.procedure(procedure).parameters}
    for name in values:
        if name not in known:
            raise UsageError(
                f"--{name} does not fit: {procedure} has {', '.join(sorted(known)) or 'no parameters'}",
                "--fault is of drills of a failover, --stamp of those of a restore",
            )


def _meant(system: System, name: str) -> tuple[str, dict[str, str]]:
    """The procedure of a drill and its parameters. Raises UsageError with the nearest name."""
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError
    from opsbook.recovery.drills import drilled_by
    from opsbook.recovery.restores import backups, others

    known = drilled_by(system)
    if f"drill-{name}" in known:
        return f"drill-{name}", {}
    for procedure, (drill, _) in known.items():
        if drill == name:
            return procedure, {}
    for backup in (*backups(system), *others(system)):
        if backup.id == name:
            return f"drill-{backup.of}", {"backup": name}
    if name in system.model.objectives:
        raise UsageError(
            f"the objective {name} cannot be drilled here: there is no backup of it that can be restored",
            f"drill a part of it: {', '.join(one.removeprefix('drill-') for one in known) or 'the book has none'}",
        )
    names = [*(one.removeprefix("drill-") for one in known), *(one.id for one in (*backups(system), *others(system)))]
    raise UsageError(f"there is no objective, drill or backup {name!r}", nearest(name, names))
