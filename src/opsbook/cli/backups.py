"""`opsbook backups`: what the stores hold, verified, kept."""

from __future__ import annotations

import importlib
import importlib.util
import json

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option

FURTHER = {"prune": "opsbook.cli.backups_prune"}
"""Verb → the module that defines `command` for it."""


class _Backups(Verbs):
    """Imports what stands in other files when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *(name for name, module in FURTHER.items() if importlib.util.find_spec(module))])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in FURTHER and importlib.util.find_spec(FURTHER[name]):
            found = importlib.import_module(FURTHER[name]).command
            assert isinstance(found, click.Command)
            return found
        return super().get_command(ctx, name)


@click.group("backups", cls=_Backups, invoke_without_command=True)
@book_options
@format_option("table", "json")
@click.pass_context
def command(ctx: click.Context, book: str | None, env: str | None, output: str) -> int:
    """List the backups that the stores hold: those of the book, each with its size, its age and its proof."""
    if ctx.invoked_subcommand is not None:
        return 0
    return _list((), book, env, output)


@command.command("list")
@click.argument("names", nargs=-1, metavar="[BACKUP]...")
@book_options
@format_option("table", "json")
def list_(names: tuple[str, ...], book: str | None, env: str | None, output: str) -> int:
    """List the backups that the stores hold, of all or of the named ones."""
    return _list(names, book, env, output)


@command.command("show")
@click.argument("backup")
@click.argument("stamp", default="")
@book_options
@format_option("text", "json")
def show(backup: str, stamp: str, book: str | None, env: str | None, output: str) -> int:
    """Show one backup in full: BACKUP and its STAMP, or the beginning of it; the newest where left out."""
    from opsbook.cli.backups_view import print_backup
    from opsbook.connectors.backups.catalogue import backup_named, backup_store, found
    from opsbook.recovery.told import stored_as_json

    with opened(book, env) as service:
        named = backup_named(service.system, backup)
        if named.method == "pgbackrest":
            from opsbook.cli.repositories import show_one

            return show_one(service.system, named, stamp, output, service.setting.clock.now())
        store = backup_store(service.system, named)
        try:
            one = found(store, named.id, stamp, service.setting.head.public)
        finally:
            store.close()
        now = service.setting.clock.now()
    if output == "json":
        click.echo(json.dumps(stored_as_json(one), indent=2, ensure_ascii=False))
    else:
        print_backup(one, store.address, now)
    return 0 if one.whole else 1


@command.command("verify")
@click.argument("backup")
@click.argument("stamp", default="")
@book_options
@format_option("text", "json")
@click.pass_context
def verify(ctx: click.Context, backup: str, stamp: str, book: str | None, env: str | None, output: str) -> int:
    """Read every byte of a backup and hold it against its signed manifest. A drill proves more: that it restores."""
    return _run(ctx, f"backup-{backup}-verify", book, env, output, stamp=stamp)


@command.command("hold")
@click.argument("backup")
@click.argument("stamp", default="")
@click.option("--reason", required=True, help="Why it must stay.")
@click.option("--name", default="manual", show_default=True, help="The hold's own name.")
@book_options
@format_option("text", "json")
@click.pass_context
def hold(
    ctx: click.Context, backup: str, stamp: str, reason: str, name: str, book: str | None, env: str | None, output: str
) -> int:
    """Keep a backup from being pruned, until it is released."""
    return _run(ctx, f"backup-{backup}-hold", book, env, output, stamp=stamp, name=name, reason=reason)


@command.command("release")
@click.argument("backup")
@click.argument("stamp", default="")
@click.option("--name", default="manual", show_default=True, help="The hold's own name.")
@book_options
@format_option("text", "json")
@click.pass_context
def release(
    ctx: click.Context, backup: str, stamp: str, name: str, book: str | None, env: str | None, output: str
) -> int:
    """Let go of a hold, so that the backup is pruned in its time."""
    return _run(ctx, f"backup-{backup}-release", book, env, output, stamp=stamp, name=name)


def _run(ctx: click.Context, procedure: str, book: str | None, env: str | None, output: str, **parameters: str) -> int:
    """Run a packaged procedure: it changes nothing that anybody uses, so that it is not asked about."""
    from opsbook.cli.run import command as run

    words = tuple(f"{name}={value}" for name, value in parameters.items() if value)
    code = ctx.invoke(run, name=procedure, words=words, book=book, env=env, output=output, yes=True)
    return int(code or 0)


def _list(names: tuple[str, ...], book: str | None, env: str | None, output: str) -> int:
    from opsbook.cli.backups_view import print_listing
    from opsbook.cli.repositories import print_repositories
    from opsbook.recovery.stock import stock
    from opsbook.recovery.told import stock_as_json

    with opened(book, env) as service:
        here = stock(service.system, names, service.setting.head.public)
        now = service.setting.clock.now()
    if output == "json":
        click.echo(json.dumps(stock_as_json(here), indent=2, ensure_ascii=False))
    else:
        if here.listings or not here.repositories:
            print_listing(here.listings, now)
        print_repositories(here.repositories, now, spaced=bool(here.listings))
    for one_failed in here.failed:
        say(str(one_failed))
    if here.failed:
        return 3
    found = [listing for _, listing in here.listings]
    return 1 if any(one.unreadable or not all(each.whole for each in one.backups) for one in found) else 0
