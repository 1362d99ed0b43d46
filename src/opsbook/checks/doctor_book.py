"""What the doctor sees without asking any component: credentials, files, tools, clock, keys without behaviour."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from opsbook.book.inactive import inactive_keys
from opsbook.book.load import InvalidBook, shown
from opsbook.book.positions import dotted
from opsbook.book.references import VARIABLE, MissingSecret, Reference, references
from opsbook.book.rotations import as_aware, gaps_told, zone_of
from opsbook.book.semantics import dependencies
from opsbook.book.system import System
from opsbook.checks.diagnosis import Diagnosis, Health

TOOLS = {
    "dump": ("pg_dump", "pg_restore"),
    "schema": ("pg_dump", "psql"),
    "tables": ("pg_dump", "pg_restore"),
    "globals": ("pg_dumpall", "psql"),
    "basebackup": ("pg_basebackup",),
    "wal": ("pg_receivewal",),
    "pgbackrest": ("pgbackrest",),
    "rdb": ("redis-cli",),
    "etcd": ("etcdctl",),
    "alembic": ("alembic",),
    "flyway": ("flyway",),
}
"""Method of a backup, or tool of migrations → programs that it calls."""

MOST_GAPS = 5
MAIL = ("mailto", "mailtos", "smtp", "smtps")
MAIL_NAMES = ("mail", "email", "smtp")

SKEW_SECONDS = 300
"""A book from the future by more than this was not written on this clock."""


def examine_book(system: System, now: datetime) -> list[Diagnosis]:
    """Everything that can be told from the book and this machine."""
    env_file = list(_env_file(system))
    readable = not any(one.health is Health.WRONG for one in env_file)
    return [
        *env_file,
        *(_credentials(system) if readable else ()),
        *_literal_secrets(system),
        *_secret_files(system),
        *_tools(system),
        _clock(system, now),
        *_procedures(system),
        *_unwatched(system),
        *_nobody_on_call(system, now),
        *_unreached(system, now),
        *(_links(system) if readable else ()),
        *_inactive(system),
    ]


def _env_file(system: System) -> Iterator[Diagnosis]:
    named = system.environment.env_file
    if not named:
        return
    try:
        count = len(system.variables)
    except InvalidBook as error:
        problem = error.problems[0]
        yield Diagnosis("credential", named, Health.WRONG, problem.message, problem.hint)
        return
    path = system.folder / Path(named).expanduser()
    yield _open_to_others(named, path) or Diagnosis(
        "credential", named, Health.FINE, f"read; {count} variables with those of the process"
    )


def _open_to_others(name: str, path: Path) -> Diagnosis | None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    if not mode & 0o077:
        return None
    who = "everybody" if mode & 0o007 else "its group"
    message = f"{who} on this machine can read or write it ({mode:04o})"
    return Diagnosis("credential", name, Health.NOTE, message, f"chmod 600 {shown(path.resolve())}")


def _credentials(system: System) -> Iterator[Diagnosis]:
    """References that yield a value, and those that do not yet; what a component misses is told with it."""
    good: set[str] = set()
    bad: set[str] = set()
    for section, items in (("components", dict(system.components)), ("channels", system.model.channels)):
        for path, reference in references(items, (section,)):
            if not reference.refers or reference.text in good | bad:
                continue
            try:
                system.resolve(reference)
                good.add(reference.text)
            except MissingSecret as error:
                bad.add(reference.text)
                if section != "components":
                    message = f"{error.message}; {dotted(path)} needs it"
                    yield Diagnosis("credential", str(reference), Health.NOTE, message, error.hint)
    if good:
        plural = "s" if len(good) > 1 else ""
        yield Diagnosis("credential", f"{len(good)} reference{plural}", Health.FINE, "a value could be had")


def _literal_secrets(system: System) -> Iterator[Diagnosis]:
    for path, reference in references(system.model):
        if reference.literal_secret:
            where = system.problem(path, "").place
            variable = _suggested(path)
            yield Diagnosis(
                "credential",
                dotted(path),
                Health.NOTE,
                f"a secret stands in the book itself, in line {where.line}: {reference}",
                f"write ${{{variable}}} there, set {variable} where opsbook runs, and renew the secret",
            )


def _suggested(path: tuple[str | int, ...]) -> str:
    words = [str(part) for part in path if part not in ("components", "environments")]
    return "_".join(words).upper().replace("-", "_").replace(".", "_")


def _secret_files(system: System) -> Iterator[Diagnosis]:
    seen: set[str] = set()
    for _, reference in references(system.model):
        if reference.text.startswith("file:") and reference.text not in seen:
            seen.add(reference.text)
            if (path := _file_of(system, reference)) and (open_ := _open_to_others(reference.text, path)):
                yield open_


def _file_of(system: System, reference: Reference) -> Path | None:
    if VARIABLE.search(reference.text):
        return None
    return system.folder / Path(reference.text.removeprefix("file:").strip()).expanduser()


def _tools(system: System) -> Iterator[Diagnosis]:
    needed: dict[str, str] = {}
    for backup in system.model.backups:
        inside = backup.pgbackrest is not None and backup.pgbackrest.inside is not None
        # pgBackRest of the image is in the image; what it recovers is copied from here.
        method = "dump" if inside else backup.method
        for program in TOOLS.get(method, ()) if system.holds(backup.environments) else ():
            needed.setdefault(program, f"the backup {backup.id}")
    if migrations := system.model.deploys.migrations:
        for program in TOOLS.get(migrations.tool, ()) if not migrations.command else ():
            needed.setdefault(program, "migrations")
    for program, by in sorted(needed.items()):
        if path := shutil.which(program):
            yield Diagnosis("tool", program, Health.FINE, f"{path}, for {by}")
        else:
            message = f"not found on PATH; {by} needs it"
            yield Diagnosis("tool", program, Health.NOTE, message, f"install {program}, or extend PATH")


def _clock(system: System, now: datetime) -> Diagnosis:
    written = system.book.path.stat().st_mtime
    if written > now.timestamp() + SKEW_SECONDS:
        message = f"it is {now:%Y-%m-%d %H:%M} UTC here, yet the book was written later than that"
        return Diagnosis("clock", "this machine", Health.WRONG, message, "set the clock; let chrony or ntpd keep it")
    zone = system.model.timezone
    there = now.astimezone(ZoneInfo(zone))
    return Diagnosis(
        "clock", "this machine", Health.FINE, f"{now:%Y-%m-%d %H:%M} UTC, {there:%H:%M} in {zone} (the book's zone)"
    )


def _procedures(system: System) -> Iterator[Diagnosis]:
    missing: dict[str, str] = {}
    for check in system.checks:
        if check.procedure and not system.has_procedure(check.procedure):
            missing.setdefault(check.procedure, check.id)
    for name, check_id in missing.items():
        message = f"the check {check_id} names this procedure, and there is no {system.model.procedures}/{name}.md"
        yield Diagnosis("book", name, Health.NOTE, message, "write it, or correct the name")


def _unwatched(system: System) -> Iterator[Diagnosis]:
    watched = {check.of for check in system.checks}
    for check in system.checks:
        watched.update(check.depends_on)
    bare = [name for name in system.components if name not in watched]
    if bare:
        needed = {other for component in system.components.values() for other in dependencies(component)}
        hint = "add checks; `opsbook observations --kind KIND` lists what can be observed"
        names = ", ".join(f"{name} (others need it)" if name in needed else name for name in bare)
        yield Diagnosis("book", "unwatched components", Health.NOTE, f"no check looks at {names}", hint)


def _nobody_on_call(system: System, now: datetime) -> Iterator[Diagnosis]:
    """Times in which a rotation has nobody, and nobody stands in."""
    for name in system.model.oncall:
        for gap in gaps_told(system.model, name, now)[:MOST_GAPS]:
            line = system.problem(("oncall", name), "").place.line
            message = f"nobody is on call {gap} (line {line})"
            yield Diagnosis("on call", name, Health.NOTE, message, "add `backup`, or members and hours that cover it")


def _unreached(system: System, now: datetime) -> Iterator[Diagnosis]:
    """Levels of an escalation path that come to nobody, because no address is known of them."""
    book = system.model
    levels = [*book.escalation, *(level for one in book.severities.values() for level in one.escalation)]
    mail = any(one.url.text.partition(":")[0] in MAIL or name in MAIL_NAMES for name, one in book.channels.items())
    for name in dict.fromkeys(level.notify for level in levels):
        for who in _people(system, name, now):
            contact = book.contacts.get(who)
            if contact is None or contact.notify is not None or (contact.email and mail):
                continue
            lack = "the book has no mail channel" if contact.email else "it has no `notify` and no `email`"
            hint = "add a channel such as mail: smtp://…" if contact.email else f"give contacts.{who} an address"
            yield Diagnosis("on call", name, Health.NOTE, f"{who} cannot be paged: {lack}", hint)
    if levels and not book.channels and not any(one.notify for one in book.contacts.values()):
        yield Diagnosis("on call", "escalation", Health.NOTE, "the book has no channel at all", "add `channels`")


def _links(system: System) -> Iterator[Diagnosis]:
    """Links that only the host that made them would know, where several may serve one store."""
    known = system.variables
    several = os.environ.get("OPSBOOK_STORE", "").startswith("postgres")
    given = os.environ.get("OPSBOOK_LINK_KEY") or os.environ.get("OPSBOOK_LINK_KEY_FILE")
    if several and known.get("OPSBOOK_URL") and not given:
        message = "links in pages are signed with a key of this host: another that serves this store refuses them"
        yield Diagnosis("on call", "links", Health.NOTE, message, "give all of them the same OPSBOOK_LINK_KEY")


def _people(system: System, name: str, now: datetime) -> Iterator[str]:
    """Who a level may come to, now or at a later turn, each once; what is no rotation is itself."""
    rotation = system.model.oncall.get(name)
    if rotation is None:
        yield name
        return
    later = [shift.who for shift in rotation.overrides if as_aware(shift.end, zone_of(system.model, rotation)) > now]
    yield from dict.fromkeys(who for who in (*rotation.members, *later, rotation.backup) if who)


def _inactive(system: System) -> Iterator[Diagnosis]:
    for path, reason in inactive_keys(system.book.located.data):
        line = system.book.located.key(path).line
        name = dotted(path)
        yield Diagnosis("book", name, Health.NOTE, f"accepted, without effect: {reason} (line {line})")
