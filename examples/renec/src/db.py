"""The connection pool to the database, normally through PgBouncer."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from src.settings import Settings, settings

CONNECT_TIMEOUT_SECONDS = 3


def open_engine(s: Settings, size: int) -> Engine:
    """A pool of at most `size` connections whose password is read from its file at every connect.

    A rotated password is therefore picked up without a restart. Prepared statements are off because PgBouncer pools by
    transaction and may give the next statement another server connection.
    """
    url = s.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=s.database_pool_timeout,
        pool_pre_ping=True,
        connect_args={"prepare_threshold": None, "connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )

    @event.listens_for(engine, "do_connect")
    def give_password(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters["password"] = s.database_password_file.read_text().strip()

    return engine


@cache
def engine() -> Engine:
    """The pool of this process."""
    s = settings()
    return open_engine(s, s.database_pool_size)


def pool_available(pool_of: Engine) -> int:
    """Connections that a request could still take from the pool."""
    pool = pool_of.pool
    assert isinstance(pool, QueuePool)
    return pool.size() - pool.checkedout()
