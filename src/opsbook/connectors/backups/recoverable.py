"""What a component could be recovered from now: its standby, its archived log, its stored backups. Blocking; what
cannot be asked or reached holds nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opsbook.book.recovery import Backup
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.backups.archiving import Archived, archived_of
from opsbook.connectors.backups.catalogue import backup_store, listing
from opsbook.connectors.backups.pgbackrest import Call, stanza_of
from opsbook.connectors.backups.pgbackrest_info import Repository
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.backups.subjects import server_at
from opsbook.connectors.forwarded import ForwardedSystem
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_session import plain_url
from opsbook.connectors.registry import open_connections
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    import psycopg

CATCH_UP_SECONDS, LOOK_SECONDS = 0.5, 0.05
"""A standby that streams is behind by what is on its way."""
WHOLE = ("dump", "files", "rdb")
"""Methods whose backups hold all of a component."""
STANDBY = """
SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
       pg_last_xact_replay_timestamp(), clock_timestamp()
"""


@dataclass(frozen=True)
class Source:
    """Something that could be recovered from now."""

    name: str
    """A stored backup as `id/stamp`, or a standby."""
    data_time: datetime
    """What was committed before is in it."""
    whole: bool = True


def recoverable(system: System, component: str, now: datetime) -> Iterator[Source]:
    """All of them, in the order in which they are tried."""
    if (standby := standby_source(system, component, now)) is not None:
        yield standby
    if (log := log_source(system, component, now)) is not None:
        yield log
    for backup in system.model.backups:
        if backup.of == component and backup.method in WHOLE and backup.to and system.holds(backup.environments):
            yield from _stored(system, backup)


def standby_source(system: System, component: str, now: datetime) -> Source | None:
    """The standby as far as it has replayed: of now where it streams and has all, else its last commit."""
    settings = system.components.get(component)
    if not isinstance(settings, PostgresComponent) or settings.replica is None:
        return None
    import psycopg

    try:
        with _target(system, settings.dsn).session() as primary:
            (written,) = primary.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ("0/0",)
    except (psycopg.Error, OpsbookError):
        written = None  # the primary is gone: what the standby has is what there is
    try:
        with _target(system, settings.replica).session() as standby:
            (recovering, streams, last, clock), level = _standing(standby, written)
            deadline = time.monotonic() + CATCH_UP_SECONDS
            while streams and written and not level and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
                (recovering, streams, last, clock), level = _standing(standby, written)
    except (psycopg.Error, OpsbookError):
        return None
    if not recovering:
        return None
    if level and streams:
        return Source(f"standby of {component}", now)
    return Source(f"standby of {component}", min(now, now - (clock - last))) if last is not None else None


def _standing(standby: psycopg.Connection[tuple[Any, ...]], written: str | None) -> tuple[tuple[Any, ...], bool]:
    row = standby.execute(STANDBY).fetchone()
    assert row is not None
    if written is None or not row[0]:
        return row, False
    (level,) = standby.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)).fetchone() or (False,)
    return row, bool(level)


def log_source(system: System, component: str, now: datetime) -> Source | None:
    """What the archived log of a component reaches to; None without one."""
    for backup in system.model.backups:
        settings = system.components.get(backup.of)
        if backup.method != "pgbackrest" or backup.of != component or not backup.to:
            continue
        if not system.holds(backup.environments) or not isinstance(settings, PostgresComponent):
            continue
        try:
            stanza = stanza_of(system, backup)
            if not stanza.configured():
                continue
            return log_reaches(backup.id, Call(stanza).info(), _archived(system, settings, component), now)
        except OpsbookError:
            continue
    return None


def _archived(system: System, settings: PostgresComponent, component: str) -> Archived:
    if settings.through != "runtime" or isinstance(system, ForwardedSystem):
        return archived_of(_target(system, settings.admin or settings.dsn))
    from opsbook.connectors.executors.restore_work import target_of

    async def ask() -> Archived:
        async with open_connections(system) as connections:
            server, _ = await target_of(connections, component, "objectives")
            return await asyncio.to_thread(archived_of, server)

    return asyncio.run(ask())


def log_reaches(name: str, held: Repository, archived: Archived, now: datetime) -> Source | None:
    """The same of what was read. Pure."""
    if not held.whole:
        return None
    last, lag = held.whole[-1].stop, archived.lag
    reaches = last if lag is None else max(last, now - timedelta(seconds=lag))
    return Source(f"{name} (log archived)", min(now, reaches))


def _stored(system: System, backup: Backup) -> Iterator[Source]:
    try:
        store = backup_store(system, backup)
        try:
            found = listing(store, backup.id).backups
        finally:
            store.close()
    except OpsbookError:
        return
    for one in found:
        good = one.whole and one.manifest.environment == system.name and not (one.proofs and not one.proofs[-1].good)
        yield Source(one.folder, one.manifest.data_time, good)


def _target(system: System, reference: Reference) -> Target:
    return Target(server_at(plain_url(system.resolve(reference)), "objectives").parameters, "opsbook:objectives")
