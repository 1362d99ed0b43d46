"""`opsbook backup`: take a backup of the book now."""

from __future__ import annotations

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.options import book_options, format_option


@click.command("backup")
@click.argument("names", nargs=-1, metavar="[BACKUP]...")
@book_options
@format_option("text", "json")
@click.option("--all", "every", is_flag=True, help="Every backup of the book that opsbook takes itself.")
@click.option("--no-checksums", is_flag=True, help="Do not sum up the rows of each table; faster, and proves less.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask; only where policy lets it.")
@click.option("--dry-run", is_flag=True, help="Plan and tell what is needed, and stop there.")
@click.option("--wait", is_flag=True, help="Stay while the run waits for approval.")
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    book: str | None,
    env: str | None,
    output: str,
    every: bool,
    no_checksums: bool,
    yes: bool,
    dry_run: bool,
    wait: bool,
) -> int:
    """Take BACKUP, as the run of the procedure backup-BACKUP. It is listed when it is whole, and not before.

    Exit codes: 0 taken, 1 failed or cancelled, 2 wrong usage, 3 could not run, 4 waits or was refused, 5 ambiguous.
    """
    from opsbook.cli.run import command as run
    from opsbook.connectors.backups.catalogue import backup_named
    from opsbook.errors import UsageError
    from opsbook.recovery.backups import taken
    from opsbook.recovery.continuous import continuous

    with opened(book, env) as service:
        driven = {one.id for one in continuous(service.system)}
        here = [*(one.id for one in taken(service.system)), *sorted(driven)]
        for name in names:
            if backup_named(service.system, name).id not in here:
                raise UsageError(f"{name} is not taken by opsbook itself", "see `method` and `to` of it in the book")
    wanted = here if every else list(names)
    if not wanted:
        raise UsageError("name a backup, or --all", f"the book has {', '.join(here) or 'none that opsbook takes'}")
    worst = 0
    for name in wanted:
        if len(wanted) > 1:
            say(f"backup {name}")
        if every and name in driven and (why := _not_configured(name, book, env)):
            say(f"  skipped: {why}")
            continue
        words = ("checksums=false",) if no_checksums and name not in driven else ()
        code = ctx.invoke(
            run, name=f"backup-{name}", words=words, book=book, env=env, output=output, yes=yes, dry_run=dry_run,
            wait=wait,
        )  # fmt: skip
        worst = max(worst, code or 0)
        if not code and not dry_run and output == "text":
            _tell(name, book, env)
    return worst


def _not_configured(name: str, book: str | None, env: str | None) -> str:
    """Why a backup that never stops cannot be taken yet; empty where it can."""
    from opsbook.connectors.backups.catalogue import backup_named
    from opsbook.connectors.executors.pgbackrest import NotConfigured
    from opsbook.errors import OpsbookError
    from opsbook.recovery.continuous import held_by

    with opened(book, env) as service:
        try:
            held_by(service.system, backup_named(service.system, name))
        except NotConfigured as error:
            return f"{error.message}; {error.hint}"
        except OpsbookError:
            return ""  # its run says it
    return ""


def _tell(name: str, book: str | None, env: str | None) -> None:
    """The backup that is there now, in a line."""
    from opsbook.book.units import Dimension, show
    from opsbook.cli.repositories import tell_newest
    from opsbook.connectors.backups.catalogue import backup_named, backup_store, found

    with opened(book, env) as service:
        if backup_named(service.system, name).method == "pgbackrest":
            tell_newest(service.system, backup_named(service.system, name))
            return
        store = backup_store(service.system, backup_named(service.system, name))
        try:
            one = found(store, name).manifest
        finally:
            store.close()
    rows = f", {sum(table.rows for table in one.database.tables):,} rows" if one.database else ""
    files = f", {len(one.files):,} files" if one.files else ""
    size = f"{show(one.stored, Dimension.SIZE)} of {show(one.plain, Dimension.SIZE)}"
    click.echo(f"  {store.address}/{one.folder}: {size}{rows}{files}; read back")
