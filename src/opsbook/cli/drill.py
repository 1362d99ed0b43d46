"""`opsbook drill`: prove that what was backed up restores, and measure it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import planning
from opsbook.cli.packaged_run import How, run_options, run_packaged

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.engine.service import Service


@click.command("drill")
@click.argument("name", metavar="OBJECTIVE|ID")
@click.option("--stamp", default="", help="Which backup: its stamp or the beginning of it (default: the newest).")
@click.option(
    "--at", default="", help="From the archived log: as it was at this time, or a time ago (default: its end)."
)
@click.option("--lsn", default="", help="The same, up to a place in the log.")
@click.option("--point", default="", help="The same, up to a named restore point.")
@click.option("--xid", default="", help="The same, up to a transaction.")
@click.option("--fault", is_flag=True, help="Of a failover: kill the primary for real. Disposable environments only.")
@run_options
def command(
    name: str, stamp: str, at: str, lsn: str, point: str, xid: str, fault: bool, book: str | None, env: str | None,
    **how: Any,
) -> int:  # fmt: skip
    """Restore the newest backup where nothing can be lost, verify it, and hold what was measured against the promise.

    A drill of a backup by pgBackRest recovers from the archived log, up to its end or a point. A drill of the system
    makes a fresh one beside it, restores into that, and removes it. A drill of a failover fails the database over in an
    environment that may be broken. NAME is an objective, a drill or
    a backup of the book. Exit codes: 0 restored, verified and every promise kept, 1 it failed or a promise was missed,
    2 wrong usage, 3 could not run, 4 waits or was refused, 5 ambiguous.
    """
    from opsbook.recovery import continuous
    from opsbook.recovery import drills as drilling
    from opsbook.store import drills

    wish = How(**how)
    with planning(book, env) as service:
        system = service.system
        procedure, values = _meant(system, name)
        values |= {"stamp": stamp} if stamp else {}
        if wanted := {key: text for key, text in {"at": at, "lsn": lsn, "point": point, "xid": xid}.items() if text}:
            procedure, values = _at(system, name, procedure, values)
            values |= continuous.instant(system, service.setting.clock.now(), **wanted)
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
                "--fault is of drills of a failover, --stamp of a restore, --at of the log that pgBackRest archives",
            )


def _at(system: System, name: str, procedure: str, values: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The drill of a point in time, where the name is that of a component or of another backup of it."""
    from opsbook.recovery.continuous import continuous, drilled_at

    for backup in continuous(system):
        if procedure == f"drill-{backup.of}" != drilled_at(system, backup.of):
            return drilled_at(system, backup.of), {key: text for key, text in values.items() if key != "backup"}
    return procedure, values


def _meant(system: System, name: str) -> tuple[str, dict[str, str]]:
    """The procedure of a drill and its parameters. Raises UsageError with the nearest name."""
    from opsbook.book.names import WHOLE
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError
    from opsbook.recovery.continuous import continuous, drilled_at
    from opsbook.recovery.drills import drilled_by
    from opsbook.recovery.restores import backups, others

    known = drilled_by(system)
    if f"drill-{name}" in known:
        return f"drill-{name}", {}
    for procedure, (drill, objectives) in known.items():
        if drill == name or (drill and name in objectives and name in WHOLE):
            return procedure, {}
    for backup in (*backups(system), *others(system)):
        if backup.id == name:
            return f"drill-{backup.of}", {"backup": name}
    for backup in continuous(system):
        if backup.id == name:
            return drilled_at(system, backup.of), {"backup": name}
    if name in system.model.objectives:
        raise UsageError(
            f"the objective {name} cannot be drilled here: there is no backup of it that can be restored",
            f"drill a part of it: {', '.join(one.removeprefix('drill-') for one in known) or 'the book has none'}",
        )
    stored = (*backups(system), *others(system), *continuous(system))
    names = [*(one.removeprefix("drill-") for one in known), *(one.id for one in stored)]
    raise UsageError(f"there is no objective, drill or backup {name!r}", nearest(name, names))
