"""`opsbook incident`: what is wrong, who has it, what was done; and every act on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opsbook.engine.desk import Desk
    from opsbook.store.incidents import Incident

F = TypeVar("F", bound=Callable[..., Any])
WHICH = click.argument("which", metavar="[INCIDENT]", default="")
INCIDENT = click.argument("which", metavar="INCIDENT")
TEXT = click.argument("words", metavar="TEXT", nargs=-1)


@click.group("incident", cls=Verbs, invoke_without_command=True)
@book_options
@format_option("text", "json")
@click.pass_context
def command(ctx: click.Context, book: str | None, env: str | None, output: str) -> int:
    """List incidents, or work one. INCIDENT is an id, its beginning or end; where only one is open it may be left out.

    Exit codes of `list`: 0 none is open, 1 one is.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    return _list(book, env, output, everything=False, limit=20)


@command.command("list")
@book_options
@format_option("text", "json")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
def list_(book: str | None, env: str | None, output: str, everything: bool, limit: int) -> int:
    """List incidents, those that go on first."""
    return _list(book, env, output, everything=everything, limit=limit)


def _list(book: str | None, env: str | None, output: str, *, everything: bool, limit: int) -> int:
    from opsbook.cli.incident_view import print_list
    from opsbook.store.database import reading
    from opsbook.watch.incident_views import listed, summary

    with opened(book, env) as service:
        now = service.setting.clock.now()
        with reading(service.setting.store) as connection:
            found = listed(connection, service.system, now, open_only=not everything, limit=limit)
        zone = service.system.model.timezone
    if output == "json":
        _print_json([summary(one, clocks) for one, clocks in found])
    else:
        print_list(found, now, zone, everything=everything)
    return 1 if any(not one.over for one, _ in found) else 0


@command.command("show")
@WHICH
@book_options
@format_option("text", "json")
def show(which: str, book: str | None, env: str | None, output: str) -> int:
    """Show one in full: clocks, alerts, timeline, messages, evidence, actions, and what to do next."""
    from opsbook.cli.incident_view import print_incident
    from opsbook.store.database import reading
    from opsbook.watch.incident_acts import find
    from opsbook.watch.incident_views import view_of

    with opened(book, env) as service:
        now = service.setting.clock.now()
        with reading(service.setting.store) as connection:
            view = view_of(connection, service.system, find(connection, service.system, which), now)
        zone = service.system.model.timezone
    if output == "json":
        _print_json(view.as_json())
    else:
        print_incident(view, now, zone)
    return 0


@command.command("open")
@TEXT
@click.option("--severity", metavar="NAME", default="", help="One of the book (default: the most urgent).")
@click.option("--component", metavar="NAME", default="", help="The component that it is about.")
@click.option("--security", is_flag=True, help="A security incident: it gets its own list of steps.")
@book_options
def open_(words: tuple[str, ...], severity: str, component: str, security: bool, **where: Any) -> int:
    """Report an incident that no check has seen. It pages as any other."""
    from opsbook.watch.incident_acts import open_by_hand
    from opsbook.watch.security import open_security

    def do(connection: Connection, service: Desk) -> str:
        make: Any = open_security if security else open_by_hand
        one = make(
            connection, service.system, service.actor, " ".join(words), service.setting.clock.now(),
            severity=severity, component=component,
        )  # fmt: skip
        return f"{one.id} is open"

    return _write(do, **where)


@command.command("ack")
@WHICH
@book_options
def ack(which: str, **where: Any) -> int:
    """Say that you have it: nobody further is paged."""
    return _simple("acknowledge", which, **where)


@command.command("note")
@INCIDENT
@TEXT
@book_options
def note(which: str, words: tuple[str, ...], **where: Any) -> int:
    """Write a line into its timeline."""
    return _simple("note", which, " ".join(words), **where)


@command.command("update")
@INCIDENT
@TEXT
@book_options
def update(which: str, words: tuple[str, ...], **where: Any) -> int:
    """Tell everybody who was told of it how it stands."""
    return _simple("update", which, " ".join(words), **where)


@command.command("assign")
@INCIDENT
@click.argument("who", metavar="CONTACT")
@book_options
def assign(which: str, who: str, **where: Any) -> int:
    """Give it to somebody of the book's contacts, and tell them."""
    return _simple("assign", which, who, **where)


@command.command("role")
@INCIDENT
@click.argument("role", metavar="ROLE")
@click.argument("who", metavar="[CONTACT]", default="")
@book_options
def role(which: str, role: str, who: str, **where: Any) -> int:
    """Say who takes a role in it; without CONTACT nobody does any more."""
    return _simple("take_role", which, role, who, **where)


@command.command("severity")
@INCIDENT
@click.argument("severity", metavar="SEVERITY")
@book_options
def severity(which: str, severity: str, **where: Any) -> int:
    """Assess it anew. A more urgent one that nobody has acknowledged pages again."""
    return _simple("set_severity", which, severity, **where)


@command.command("mitigate")
@WHICH
@TEXT
@book_options
def mitigate(which: str, words: tuple[str, ...], **where: Any) -> int:
    """Say that the harm has stopped, though the cause is not mended."""
    return _simple("mitigate", which, " ".join(words), **where)


@command.command("resolve")
@WHICH
@TEXT
@book_options
def resolve(which: str, words: tuple[str, ...], **where: Any) -> int:
    """Say that it is over; with a reason where an alert of it still fires."""
    return _simple("resolve", which, " ".join(words), **where)


@command.command("reopen")
@INCIDENT
@TEXT
@book_options
def reopen(which: str, words: tuple[str, ...], **where: Any) -> int:
    """Say that it was not over. Its pages begin again."""
    return _simple("reopen", which, " ".join(words), **where)


@command.command("merge")
@INCIDENT
@click.argument("into", metavar="INTO")
@book_options
def merge(which: str, into: str, **where: Any) -> int:
    """Make INCIDENT a part of INTO: its alerts go there, and it ends."""
    from opsbook.watch import incident_acts as acts

    def do(connection: Connection, service: Desk) -> str:
        one, other = (acts.find(connection, service.system, name) for name in (which, into))
        return acts.merge(connection, service.system, one, service.actor, other, service.setting.clock.now())

    return _write(do, **where)


@command.command("evidence")
@WHICH
@click.option("--name", metavar="NAME", default="", help="Only this one.")
@click.option("--to", metavar="FOLDER", help="Write all of it as one archive with a list of SHA-256 sums.")
@click.option("--file", "files", metavar="PATH", multiple=True, help="A file that goes into the archive, too.")
@click.option("--verify", metavar="ARCHIVE", help="Hold an archive against its list of sums and the audit chain.")
@book_options
@format_option("text", "json")
def evidence(
    which: str, name: str, to: str | None, files: tuple[str, ...], verify: str | None, book: str | None,
    env: str | None, output: str,
) -> int:  # fmt: skip
    """Show what was gathered when it opened; or preserve it with timeline, alerts and audit records.

    Exit codes: 0 it is there, 1 nothing was gathered, or an archive is not what was preserved.
    """
    from opsbook.store.database import reading
    from opsbook.store.evidence import of_incident as evidence_of
    from opsbook.watch.evidence import preserve
    from opsbook.watch.incident_acts import find

    if verify is not None:
        return _verified(which, Path(verify), book, env, output)
    if to is not None:
        with opened(book, env) as service:
            kept = preserve(service.setting, service.system, service.actor, which, Path(to), [*map(Path, files)])
        if output == "json":
            _print_json({"archive": str(kept.archive), "sha256": kept.sha256, "files": kept.files})
        else:
            click.echo(f"{kept.archive}: {kept.files} files, sha256 {kept.sha256}")
        return 0
    with opened(book, env) as service, reading(service.setting.store) as connection:
        found = evidence_of(connection, find(connection, service.system, which).id)
    chosen = [one for one in found if not name or one.name == name]
    if output == "json":
        _print_json([vars(one) for one in chosen])
        return 0 if chosen else 1
    from opsbook.printable import printable

    for one in chosen:
        click.echo(f"== {one.name}{' — ' + one.error if one.error else ''}")
        if one.text:
            click.echo(printable(one.text.rstrip("\n")))
        click.echo()
    if not chosen:
        say("nothing was gathered" + (f" by the name {name!r}" if name else "; the watch does it (opsbook serve)"))
    return 0 if chosen else 1


def _verified(which: str, archive: Path, book: str | None, env: str | None, output: str) -> int:
    from opsbook.store.database import reading
    from opsbook.watch.evidence import verify
    from opsbook.watch.incident_acts import find

    with opened(book, env) as service:
        with reading(service.setting.store) as connection:
            incident = find(connection, service.system, which).id
        found = verify(service.setting, archive, incident)
    if output == "json":
        _print_json({**vars(found), "archive": str(found.archive), "well": not found.wrong})
    else:
        for one in found.wrong:
            click.echo(f"{archive}: {one}")
        if not found.wrong:
            click.echo(f"{archive}: {found.files} files as they were preserved, sha256 {found.sha256}")
    return int(bool(found.wrong))


@command.command("postmortem")
@WHICH
@click.option("--print", "printed", is_flag=True, help="Print it; write no file.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@book_options
def postmortem(which: str, printed: bool, force: bool, book: str | None, env: str | None) -> int:
    """Write its post-mortem: figures, timeline, graphs of the checks, actions; people fill in the rest."""
    from opsbook.book.load import shown
    from opsbook.watch.postmortem import written

    with opened(book, env) as service:
        path, text = written(service.setting, service.system, service.actor, which, keep=not printed, force=force)
    click.echo(text if printed else shown(path))
    return 0


@command.command("actions")
@click.argument("which", metavar="[INCIDENT]", default="")
@click.option("--add", metavar="TEXT", default="", help="Something that is to be done.")
@click.option("--owner", metavar="NAME", default="", help="Who does it; a contact is reminded when it is late.")
@click.option("--due", type=click.DateTime(["%Y-%m-%d"]), help="Until when.")
@click.option("--done", type=int, metavar="NUMBER", help="Say that an action is done.")
@click.option("--all", "everything", is_flag=True, help="Also those that are done.")
@book_options
@format_option("text", "json")
def actions(
    which: str, add: str, owner: str, due: datetime | None, done: int | None, everything: bool,
    book: str | None, env: str | None, output: str,
) -> int:  # fmt: skip
    """List what post-mortems ask for, add to it, or say that it is done. Exit code 1 where something is open."""
    from zoneinfo import ZoneInfo

    from opsbook.cli.incident_view import print_actions
    from opsbook.store.actions import of_incidents, of_system
    from opsbook.store.database import reading
    from opsbook.watch import incident_acts as acts
    from opsbook.watch.incident_facts import where_of

    if done is not None:
        number = done
        return _write(
            lambda connection, service: acts.end_action(
                connection, service.system, number, service.actor, service.setting.clock.now()
            ),
            book=book, env=env,
        )  # fmt: skip
    if add:

        def do(connection: Connection, service: Desk) -> str:
            by = due.replace(hour=18, tzinfo=ZoneInfo(service.system.model.timezone)) if due else None
            one, now = acts.find(connection, service.system, which), service.setting.clock.now()
            return acts.add_action(connection, service.system, one, service.actor, add, owner, by, now)

        return _write(do, book=book, env=env)
    with opened(book, env) as service, reading(service.setting.store) as connection:
        system, now = service.system, service.setting.clock.now()
        if which:
            found = of_incidents(connection, [acts.find(connection, system, which).id], open_only=not everything)
        else:
            found = of_system(connection, where_of(system), open_only=not everything)
    if output == "json":
        _print_json([vars(one) for one in found])
    elif found:
        print_actions(found, system.model.timezone, now)
    else:
        click.echo("no actions are open")
    return 1 if any(one.done_at is None for one in found) else 0


def _simple(act: str, which: str, *more: str, **where: Any) -> int:
    """An act on one incident."""
    from opsbook.watch import incident_acts as acts

    def do(connection: Connection, service: Desk) -> str:
        one: Incident = acts.find(connection, service.system, which)
        said: str = getattr(acts, act)(
            connection, service.system, one, service.actor, *more, service.setting.clock.now()
        )
        return said

    return _write(do, **where)


def _write(do: Callable[[Connection, Desk], str], book: str | None, env: str | None) -> int:
    """One act in one transaction, recorded in the audit chain; prints its sentence."""
    said: list[str] = []
    with opened(book, env) as service:
        service.setting.check_audit()
        service.setting.write([lambda connection: said.append(do(connection, service))])
        service.setting.write_head()
        if _waits(service):
            say("nobody watches now: its messages wait for `opsbook serve`")
    click.echo(said[0])
    return 0


def _waits(service: Desk) -> bool:
    """Whether there are messages that nobody sends."""
    from opsbook.engine.owner_lock import OwnerLock
    from opsbook.store import messages
    from opsbook.store.database import reading
    from opsbook.watch.incident_facts import where_of

    if not service.setting.embedded or not OwnerLock(service.setting.folder).free():
        return False
    with reading(service.setting.store) as connection:
        return messages.next_due(connection, where_of(service.system)) is not None


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
