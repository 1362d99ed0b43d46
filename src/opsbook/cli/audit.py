"""`opsbook audit`: the record of every act, and whether it is still what was written."""

from __future__ import annotations

import json

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option


@click.group("audit", cls=Verbs)
def command() -> None:
    """Read, verify and export the record of every act."""


@command.command("log")
@book_options
@format_option("text", "json")
@click.option("--run", metavar="RUN", default="", help="Only of this run.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest.")
def log(book: str | None, env: str | None, output: str, run: str, limit: int) -> int:
    """Show who did what, when, from where, with which outcome."""
    from opsbook.cli.run_view import moment
    from opsbook.cli.terminal import console
    from opsbook.engine.views import find
    from opsbook.printable import one_line
    from opsbook.store.audit import as_json, newest

    with opened(book, env) as service:
        store = service.setting.store
        found = newest(store, limit, run=find(store, run).id if run else "")
    if output == "json":
        click.echo(json.dumps([as_json(record) for record in found], indent=2, ensure_ascii=False))
        return 0
    screen = console()
    for record in found:
        act = record.act
        place = " ".join(part for part in (act.run, act.step, act.procedure) if part)
        told = json.dumps(act.detail, ensure_ascii=False) if act.detail else ""
        line = f"{record.seq:>6} {moment(act.at)} {act.actor} {act.event} {place} {act.outcome} {told}"
        screen.print(one_line(line.rstrip()), markup=False, soft_wrap=True)
    return 0


@command.command("verify")
@book_options
@format_option("text", "json")
def verify(book: str | None, env: str | None, output: str) -> int:
    """Tell whether the record is what was written, and name the first that is not. Exit code 1 where it is broken."""
    from opsbook.store.audit_head import verify_store

    with opened(book, env) as service:
        found = verify_store(service.setting.store, service.setting.head)
        head = service.setting.head.file
    if output == "json":
        broken = vars(found.broken) if found.broken else None
        click.echo(json.dumps({**vars(found), "broken": broken}, indent=2))
    elif found.broken is None:
        click.echo(f"{found.records} records, from {found.first} to {found.last}: all are what was written")
        if found.records and not head.exists():
            say(f"there is no signed head at {head}: a tail that was cut off would not be found")
    else:
        click.echo(f"record {found.broken.seq}: {found.broken.reason}")
        say("the records before it are what was written; compare with an export or a backup of the store")
    return 1 if found.broken else 0


@command.command("export")
@book_options
@click.option("--after", type=int, default=0, metavar="NUMBER", help="Only records after this one.")
def export(book: str | None, env: str | None, after: int) -> int:
    """Print the records as lines of JSON, with what is needed to verify them elsewhere."""
    from opsbook.store.audit import as_line, records

    with opened(book, env) as service:
        for record in records(service.setting.store, after=after):
            click.echo(as_line(record))
    return 0


@command.command("cut")
@book_options
def cut(book: str | None, env: str | None) -> int:
    """Remove the records that are older than `audit.keep` of the book; the rest stays verifiable."""
    from opsbook.store import audit
    from opsbook.store.database import writing

    with opened(book, env) as service:
        setting, actor = service.setting, service.actor
        oldest = setting.now() - service.system.model.audit.keep.total_seconds()
        setting.write_head()
        with writing(setting.store) as connection:
            removed = audit.cut_before(
                connection, oldest, lambda one: setting.head.retention(one, setting.now(), actor.name, actor.origin)
            )
        setting.write_head()
    say(f"{removed} records were removed")
    return 0
