"""What a backup of the book reads: the subject of its method, for the component that it is of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from opsbook.book.recovery import Backup
from opsbook.book.references import Reference
from opsbook.connectors.backups.archive import archive
from opsbook.connectors.backups.own_store import store_subject
from opsbook.connectors.backups.postgres_dump import Kind, Server
from opsbook.connectors.backups.postgres_subject import postgres_subject
from opsbook.connectors.backups.rdb import redis_subject
from opsbook.connectors.backups.taking import Subject
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.files import FilesComponent
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_change import application_name
from opsbook.connectors.postgres_session import plain_url
from opsbook.connectors.redis import RedisComponent

Tell = Callable[[str], None]
OF_POSTGRES: dict[str, Kind] = {"dump": "dump", "schema": "schema", "tables": "tables", "globals": "globals"}
"""Methods that read a PostgreSQL server."""


def subject_of(
    connections: Connections, backup: Backup, key: str, tell: Tell, *, replica: bool, checksums: bool
) -> Callable[[], AbstractContextManager[Subject]]:
    """What opens the subject of a backup. Raises NotReached where this version knows no way."""
    if kind := OF_POSTGRES.get(backup.method):
        server = postgres_server(connections, backup.of, key, replica=replica)
        return lambda: postgres_subject(
            server,
            kind,
            tables=backup.tables,
            exclude=backup.exclude,
            passwords=backup.encrypt is not None,
            checksums=checksums,
            tell=tell,
        )
    if backup.method == "files":
        component = connections.system.components[backup.of]
        root = connections.system.path(component.path) if isinstance(component, FilesComponent) else None
        paths = [connections.system.path(one) for one in backup.paths]
        return lambda: archive(paths, root, backup.exclude, tell)
    if backup.method == "rdb":
        return _redis(connections, backup.of)
    if backup.method == "store":
        return _own_store(connections, backup, key, tell, checksums=checksums)
    raise NotReached(f"a backup by {backup.method} cannot be taken by this version", "choose another `method`")


def _redis(connections: Connections, component: str) -> Callable[[], AbstractContextManager[Subject]]:
    found = connections.system.components.get(component)
    if not isinstance(found, RedisComponent):
        raise NotReached(f"{component!r} is no Redis component", "name one as `of` of the backup")
    url = connections.of(component).system.resolve(found.url)
    return lambda: redis_subject(url, component)


def _own_store(
    connections: Connections, backup: Backup, key: str, tell: Tell, *, checksums: bool
) -> Callable[[], AbstractContextManager[Subject]]:
    address, encrypted = connections.store, backup.encrypt is not None
    if address.startswith("sqlite:///"):
        path = Path(address.removeprefix("sqlite:///"))
        return lambda: store_subject(path, key=encrypted)
    if not address:
        raise NotReached("nothing here knows opsbook's own store", "take it by `opsbook backup`")
    server = server_at(plain_url(address), key)
    return lambda: postgres_subject(server, "dump", passwords=encrypted, checksums=checksums, tell=tell)


def server_at(url: str, key: str) -> Server:
    """The server at an address of libpq. Raises NotReached."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise NotReached("it is no address of PostgreSQL", "write postgresql://user:password@host/db") from None
    return Server({name: str(value) for name, value in given.items()}, application_name(key), key)


def postgres_server(connections: Connections, component: str, key: str, *, replica: bool = False) -> Server:
    """The server of a component, for the role that may read all of it. Blocking. Raises NotReached, MissingSecret."""
    found = connections.system.components.get(component)
    if not isinstance(found, PostgresComponent):
        raise NotReached(f"{component!r} is no PostgreSQL component", "name one as `of` of the backup")
    if replica and found.replica is None:
        raise NotReached(f"{component} has no replica in the book", f"set `replica` of {component}")
    reference: Reference = (
        (found.replica_admin or found.replica) if replica and found.replica else found.admin or found.dsn
    )
    # As its connector finds it, which may go through the runtime.
    return server_at(plain_url(connections.of(component).system.resolve(reference)), key)
