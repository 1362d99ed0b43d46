"""`opsbook restore`: a backup beside the database that is used, in its place by a switch, or over it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import planning, say
from opsbook.cli.packaged_run import How, run_options, run_packaged

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.engine.views import View


@click.command("restore")
@click.argument("name", metavar="BACKUP")
@click.option("--stamp", default="", help="Which one: its stamp or the beginning of it (default: the newest).")
@click.option(
    "--to",
    metavar="NAME",
    default="",
    help="The new database (default: made of the stamp); a path for files and Redis.",
)
@click.option("--switch", is_flag=True, help="Put it in the place of the database that is used; the old one is kept.")
@click.option("--in-place", is_flag=True, help="Drop the database that is used first: where there is no room for both.")
@click.option("--back", metavar="KEPT", default="", help="Go back to the database that a switch has kept.")
@click.option(
    "--tables",
    metavar="A,B",
    default="",
    help="Only the rows of these tables; with --in-place into the database that is used.",
)
@click.option("--at", metavar="TIME", default="", help="As it was then: a time with its zone, 10m (ago), or latest.")
@click.option("--at-lsn", metavar="LSN", default="", help="As it was at a place in the log.")
@click.option("--at-name", metavar="NAME", default="", help="As it was at a named restore point.")
@click.option("--at-xid", metavar="XID", default="", help="As it was when a transaction had been committed.")
@run_options
def command(
    name: str, stamp: str, to: str, switch: bool, in_place: bool, back: str, tables: str, at: str, at_lsn: str,
    at_name: str, at_xid: str, book: str | None, env: str | None, **how: Any,
) -> int:  # fmt: skip
    """Restore BACKUP into a new database and verify it; with --switch, let it take the place of the one that is used.

    The plan is shown first, and policy applies. Exit codes: 0 done, 1 failed or undone, 2 wrong usage, 3 could not run,
    4 waits or was refused, 5 ambiguous.
    """
    from opsbook.engine.views import view_of
    from opsbook.errors import UsageError
    from opsbook.recovery import restored

    if sum((switch, in_place, bool(back))) > 1 or (tables and (switch or back)):
        raise UsageError(
            "--switch, --in-place and --back exclude each other; --tables goes with --in-place or alone", "choose one"
        )
    point = {"at": at, "lsn": at_lsn, "point": at_name, "xid": at_xid}
    if any(point.values()):
        from opsbook.cli.restore_at import restore_at

        return restore_at(name, point, stamp, to, switch, in_place, tables, book, env, how)
    wish = How(**how)
    with planning(book, env) as service:
        component, database = _component(service.system, name, back=bool(back))
        if not database:
            if switch or in_place or back or tables or not to:
                raise UsageError(f"{name} holds no database", "say where it is restored to: --to PATH")
            procedure, values = f"restore-{component}", {"backup": name, "stamp": stamp, "to": str(Path(to).absolute())}
        elif back:
            procedure, values = f"restore-{component}-back", {"kept": back}
        else:
            stamp, made_up = restored.chosen(service.system, name, stamp)
            kind = "-switch" if switch else "-tables" if in_place and tables else "-in-place" if in_place else ""
            procedure, values = f"restore-{component}{kind}", {"backup": name, "stamp": stamp}
            values |= {} if in_place else {"to": to or made_up}
            values |= {"tables": tables} if tables else {}
        code, run = run_packaged(service, procedure, values, wish)
        view = view_of(service.setting.store, run) if run else None
    if view is not None:
        _tell(view, wish.output, name)
    return code


def _component(system: System, backup: str, *, back: bool) -> tuple[str, bool]:
    """The component of a backup, and whether it is a database. Raises UsageError."""
    from opsbook.connectors.backups.catalogue import backup_named
    from opsbook.errors import UsageError
    from opsbook.recovery.restores import backups, others

    found = backup_named(system, backup)
    if found.method == "pgbackrest":
        if back:
            return found.of, True
        raise UsageError(f"{backup} goes back to a point in time: say to which", '--at "10m", or --at latest')
    database = found.id in {one.id for one in backups(system)}
    if not database and found.id not in {one.id for one in others(system)}:
        raise UsageError(f"{backup} ({found.method}) cannot be restored by this verb", "name another backup")
    return found.of, database


def _tell(view: View, output: str, name: str) -> None:
    from opsbook.recovery import restored

    told = restored.told(view)
    if output == "json":
        click.echo(json.dumps({**told, "run": view.run.id, "state": view.run.state}, indent=2, ensure_ascii=False))
        return
    for line in restored.sentences(told):
        click.echo(line)
    if told.get("kept"):
        say(f"to go back: opsbook restore {name} --back {told['kept']}")
