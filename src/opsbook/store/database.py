"""Opening the store: where it lies, how SQLite is set, and that its tables are of this version.

`OPSBOOK_STORE` is a file path or a postgresql:// address; without it the store is `.opsbook/store.db` beside the book.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from opsbook.book.references import hide_password
from opsbook.errors import OpsbookError, UsageError
from opsbook.store.shared_files import make_file, make_folder

HEAD = "0008"
"""The newest migration. Compared before Alembic is even imported, which costs more than most commands."""

MIGRATING = 0x6F70736C6D
"""PostgreSQL's advisory lock around migrations; SQLite has one writer anyway."""
BUSY_SECONDS = 10
NOTICED_DEAD = {
    "keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000,
}  # fmt: skip
"""A server whose machine or network is gone closes nothing: without these the kernel waits for it for two hours.
Seconds, but for the milliseconds of `tcp_user_timeout`
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES)."""


class StoreFailed(OpsbookError):
    """The store cannot be read or written."""


def store_address(book_folder: Path) -> str:
    """The SQLAlchemy address of the store that goes with a book. Raises UsageError for one that cannot be a store."""
    named = os.environ.get("OPSBOOK_STORE", "")
    scheme, separator, rest = named.partition("://")
    if scheme in ("postgresql", "postgres") and separator:
        return f"postgresql+psycopg://{rest}"
    if separator and not (scheme == "sqlite" and rest.startswith("/")):
        raise UsageError(
            f"OPSBOOK_STORE cannot be a {scheme}:// address", "name a file, or a server as in postgresql://host/opsbook"
        )
    # As SQLAlchemy has it: three slashes before a relative path, four before an absolute one.
    path = Path(rest[1:] if separator else named) if named else book_folder / ".opsbook" / "store.db"
    return f"sqlite:///{path.absolute()}"


def open_store(address: str) -> Engine:
    """The store, created or brought to this version where needed. Raises StoreFailed with what to do."""
    try:
        if address.startswith("sqlite:///"):
            _prepare(Path(address.removeprefix("sqlite:///")))
        if address.startswith("postgresql"):
            engine = patient_engine(address, "opsbook-store")
        else:
            engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
            event.listen(engine, "connect", _sqlite_settings)
            event.listen(engine, "begin", _begin)
        _migrate(engine)
    except (SQLAlchemyError, OSError) as error:
        raise _failed(address, error) from error
    return engine


def patient_engine(address: str, name: str, **more: Any) -> Engine:
    """Connections to a PostgreSQL that notice a server that is gone or frozen; nothing is connected yet."""
    given = {"connect_timeout": BUSY_SECONDS, "application_name": name, **NOTICED_DEAD}
    # A server that was started again has closed what lies in the pool; to ask first costs a tenth of a millisecond.
    engine = create_engine(address, connect_args=given, pool_pre_ping=True, **more)
    event.listen(engine, "do_connect", _connect)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction. Raises StoreFailed; nothing of it stays then."""
    try:
        with engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection
    except SQLAlchemyError as error:
        raise _failed(str(engine.url), error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent look that keeps no writer waiting. Raises StoreFailed."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _failed(str(engine.url), error) from error


def _failed(address: str, error: Exception) -> StoreFailed:
    reason = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error).strip()
    shown = hide_password(address)
    where = shown.removeprefix("sqlite:///")
    if where != shown:
        return unusable(Path(where), " ".join(reason.split()))
    return StoreFailed(
        f"the store {where}: {' '.join(reason.split())}",
        "check whether its server runs, its address and its password, or name another with OPSBOOK_STORE",
    )


def unusable(path: Path, reason: str) -> StoreFailed:
    """What is said where the file of a store, or one beside it, cannot be used."""
    return StoreFailed(
        f"the store {path}: {reason}",
        "check its disk and permissions (also who only looks writes there), or name another with OPSBOOK_STORE",
    )


def _prepare(path: Path) -> None:
    """The store's file and its folder. SQLite gives the permissions of the file to its log beside it."""
    if make_folder(path.parent) and path.parent.name == ".opsbook":
        (path.parent / ".gitignore").write_text("*\n")
    make_file(path)


def _connect(_dialect: Any, _record: Any, args: Any, keys: Any) -> Any:
    from opsbook.store.patience import connect  # only here: who has a file loads no driver

    return connect(*args, **keys)


def _sqlite_settings(connection: Any, _record: Any) -> None:
    # SQLAlchemy begins transactions itself (see _begin), so that the driver must not.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns into a writer fails at once when another writes; an immediate one waits.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if inspect(connection).has_table("alembic_version"):
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if version == HEAD:
                return
            if version is not None and version > HEAD:
                raise StoreFailed(
                    f"the store is of a newer opsbook (its version is {version}, this one knows {HEAD})",
                    "upgrade opsbook, or name another store with OPSBOOK_STORE",
                )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "opsbook.store:migrations")
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            from opsbook.store.patience import wait_for_ever

            # A large store takes its time, and this connection is not used for anything else.
            wait_for_ever(connection)
            connection.detach()
            # Workers that start together: one makes the tables, and the others find them made.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
