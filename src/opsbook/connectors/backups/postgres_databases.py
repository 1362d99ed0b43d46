"""Databases of one server: what is there, made under a working name, renamed when they are whole, swapped, dropped.

A database that is being restored has a working name, so that nobody takes half of one for a whole one. Two databases
change places in one transaction: whoever connects meets the one or the other. Blocking.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsbook.connectors.backups.manifest import DatabaseFacts
from opsbook.connectors.backups.postgres_facts import quoted
from opsbook.connectors.backups.postgres_restore import Target, literal, setting_value
from opsbook.connectors.change import ChangeFailed, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

WORKING = "opsbook_restoring_"
LEFT_SECONDS = 86_400
"""A working database that is older, and that nobody is connected to, is of a run that never ended."""
LOCK_SECONDS = 20
END_SECONDS = 0.05
"""How often sessions are ended while the databases change places."""

EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"
DATABASES = """
SELECT d.datname, pg_catalog.shobj_description(d.oid, 'pg_database'),
       (SELECT count(*) FROM pg_stat_activity AS a WHERE a.datid = d.oid)
FROM pg_database AS d WHERE NOT d.datistemplate
"""
END = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = ANY (%s) AND pid <> pg_backend_pid() AND backend_type <> 'walsender'
"""
LEFT = """
SELECT d.datname::text FROM pg_database AS d
WHERE d.datname LIKE %s AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datid = d.oid)
"""
WRITES = """
SELECT coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_del), 0)::bigint
FROM pg_stat_user_tables
"""
ACCESS = """
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.privilege_type,
       a.is_grantable
FROM pg_database AS d, aclexplode(d.datacl) AS a WHERE d.datname = %s AND d.datacl IS NOT NULL
"""
ROLE_SETTINGS = """
SELECT r.rolname::text, s.setting FROM pg_db_role_setting AS x JOIN pg_database AS d ON d.oid = x.setdatabase
JOIN pg_roles AS r ON r.oid = x.setrole CROSS JOIN unnest(x.setconfig) AS s(setting) WHERE d.datname = %s
"""


def working_name(key: str, at: float) -> str:
    """The name of a database that this change makes; what the clock says tells when it is left over."""
    return f"{WORKING}{int(at):x}_{hashlib.sha256(key.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Database:
    """One database of a server."""

    comment: str
    sessions: int


def databases_on(server: Target) -> dict[str, Database]:
    """Every database that is no template, by name."""
    with server.session() as connection:
        connection.execute("SET default_transaction_read_only = on")
        rows = connection.execute(DATABASES).fetchall()
    return {str(name): Database(str(comment or ""), int(sessions)) for name, comment, sessions in rows}


def exists(server: Target, name: str) -> bool:
    """Whether there is a database of this name."""
    with server.session() as connection:
        (found,) = connection.execute(EXISTS, (name,)).fetchone() or (False,)
        return bool(found)


def comment_of(server: Target, name: str) -> str:
    """What its comment says; empty without one."""
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    with server.session() as connection:
        row = connection.execute(query, (name,)).fetchone()
        return str(row[0] or "") if row else ""


def drop(server: Target, name: str) -> None:
    """Drop it with the sessions that it has; nothing happens where it is not there. Raises ChangeFailed."""
    import psycopg

    with server.session() as connection:
        try:
            connection.execute("SET lock_timeout = '30s'")
            connection.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)".encode())
        except psycopg.Error as error:
            raise ChangeFailed(f"the database {name} cannot be dropped: {_words(error)}", "") from error


def drop_left(server: Target, key: str, now: float) -> list[str]:
    """Drop the working databases of this change's earlier attempts, and those of runs that never ended."""
    own = hashlib.sha256(key.encode()).hexdigest()[:12]
    dropped = []
    with server.session() as connection:
        pattern = WORKING.replace("_", r"\_") + "%"
        mine = connection.execute(
            "SELECT datname::text FROM pg_database WHERE datname LIKE %s", (f"{pattern}\\_{own}",)
        ).fetchall()
        idle = connection.execute(LEFT, (pattern,)).fetchall()
    for (name,) in {*mine, *((name,) for (name,) in idle if _old(str(name), now))}:
        drop(server, str(name))
        dropped.append(str(name))
    return dropped


def _old(name: str, now: float) -> bool:
    try:
        return now - int(name.removeprefix(WORKING).partition("_")[0], 16) > LEFT_SECONDS
    except ValueError:
        return False


@dataclass(frozen=True)
class Swapped:
    """Two databases changed places."""

    seconds: float
    """For which nobody could connect."""
    ended: int
    """Sessions that were ended."""


def rename(server: Target, old: str, new: str, comment: str = "") -> None:
    """One database gets its final name. Raises ChangeFailed."""
    with _named(server, [old]) as (connection, _):
        connection.execute(f"ALTER DATABASE {quoted(old)} RENAME TO {quoted(new)}".encode())
        if comment:
            connection.execute(f"COMMENT ON DATABASE {quoted(new)} IS {literal(comment)}".encode())


def swap(server: Target, live: str, new: str, kept: str, note: Callable[[], Json]) -> Swapped:
    """`new` becomes `live`, and what was `live` is kept as `kept`, in one transaction. Raises ChangeFailed.

    Locks keep everybody from connecting while sessions are ended, so that no application can come in between. `note`
    is asked what is remembered of the moment, as the comment of what is kept.
    """
    carry_access(server, live, new)
    noted = note()
    with _named(server, [live, new]) as (connection, counted):
        started = time.monotonic()
        connection.execute(f"ALTER DATABASE {quoted(live)} RENAME TO {quoted(kept)}".encode())
        connection.execute(f"ALTER DATABASE {quoted(new)} RENAME TO {quoted(live)}".encode())
        told = json.dumps({"opsbook": "kept", "was": live, "as": kept, **noted}, sort_keys=True)
        connection.execute(f"COMMENT ON DATABASE {quoted(kept)} IS {literal(told)}".encode())
        connection.execute(f"COMMENT ON DATABASE {quoted(live)} IS NULL".encode())
    return Swapped(round(time.monotonic() - started, 3), counted[0])


@contextmanager
def _named(server: Target, names: list[str]) -> Iterator[tuple[Connection, list[int]]]:
    """A transaction in which databases are renamed, while a second session ends whoever is connected to them."""
    import psycopg

    done, counted = threading.Event(), [0]

    def end_sessions() -> None:
        with suppress(ChangeFailed, psycopg.Error), server.session() as other:
            while not done.is_set():
                (ended,) = other.execute(END, (names,)).fetchone() or (0,)
                counted[0] += int(ended)
                done.wait(END_SECONDS)

    ending = threading.Thread(target=end_sessions, daemon=True)
    with server.session() as connection:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
                ending.start()
                yield connection, counted
        except psycopg.Error as error:
            told = f"{' and '.join(names)} cannot be renamed: {_words(error)}"
            raise ChangeFailed(told, "nothing was changed") from error
        finally:
            done.set()
            if ending.is_alive():
                ending.join(10)


def carry_access(server: Target, source: str, target: str) -> None:
    """Who may connect to a database and with which settings, as it is of another: no dump of one database holds it."""
    with server.session() as connection, connection.transaction():
        rows = connection.execute(ACCESS, (source,)).fetchall()
        if rows:
            connection.execute(f"REVOKE ALL ON DATABASE {quoted(target)} FROM PUBLIC".encode())
        for grantee, privilege, grantable in rows:
            option = " WITH GRANT OPTION" if grantable else ""
            connection.execute(f"GRANT {privilege} ON DATABASE {quoted(target)} TO {grantee}{option}".encode())
        for role, setting in connection.execute(ROLE_SETTINGS, (source,)).fetchall():
            name, _, value = str(setting).partition("=")
            of = f"ALTER ROLE {quoted(role)} IN DATABASE {quoted(target)}"
            connection.execute(f"{of} SET {quoted(name)} TO {setting_value(name, value)}".encode())
        query = "SELECT datconnlimit FROM pg_database WHERE datname = %s"
        ((limit,),) = connection.execute(query, (source,)).fetchall()
        connection.execute(f"ALTER DATABASE {quoted(target)} CONNECTION LIMIT {int(limit)}".encode())


def writes_of(database: Target) -> dict[str, int]:
    """Rows that were inserted, updated and deleted in a database since its statistics began."""
    with database.session() as connection:
        ((inserted, updated, deleted),) = connection.execute(WRITES).fetchall()
        return {"inserted": int(inserted), "updated": int(updated), "deleted": int(deleted)}


def _words(error: psycopg.Error) -> str:
    told = error.diag.message_primary or str(error)
    return told + (f" ({error.diag.message_detail})" if error.diag.message_detail else "")


def create_database(server: Target, name: str, facts: DatabaseFacts, *, owner: bool = True) -> list[str]:
    """An empty database as the manifest describes it; remarks on what this server does not have.

    `server` is connected to another database. Raises ChangeFailed.
    """
    import psycopg

    remarks = []
    base = f"CREATE DATABASE {quoted(name)} TEMPLATE template0 ENCODING {literal(facts.encoding)}"
    base += f" OWNER {quoted(facts.owner)}" if owner else ""
    with server.session() as connection:
        try:
            connection.execute(f"{base} LC_COLLATE {literal(facts.collation)} LC_CTYPE {literal(facts.ctype)}".encode())
        except psycopg.errors.WrongObjectType as error:
            # The host does not have this locale: rows are the same, only their order differs.
            connection.execute(f"{base} LC_COLLATE 'C' LC_CTYPE 'C'".encode())
            remarks.append(f"sorted by C in place of {facts.collation}: {_words(error)}")
        except psycopg.Error as error:
            raise ChangeFailed(f"the database {name} cannot be made: {_words(error)}", "") from error
        for setting, value in facts.settings.items():
            try:
                connection.execute(
                    f"ALTER DATABASE {quoted(name)} SET {_setting(setting)} TO {setting_value(setting, value)}".encode()
                )
            except psycopg.Error as error:
                remarks.append(f"the setting {setting} is not taken: {_words(error)}")
    return remarks


def create_roles(server: Target, roles: Sequence[str]) -> None:
    """Roles that the schema names, without login; those that are there stay as they are."""
    with server.session() as connection:
        rows = connection.execute("SELECT rolname::text FROM pg_roles").fetchall()
        for role in sorted(set(roles) - {str(row[0]) for row in rows}):
            connection.execute(f"CREATE ROLE {quoted(role)} NOLOGIN".encode())


def _setting(name: str) -> str:
    return ".".join(quoted(part) for part in name.split("."))
