"""A connection to PostgreSQL that does not wait for ever for a server that has stopped answering.

A server that is frozen (its machine swaps, its disk hangs, it was stopped) still takes what is sent: its kernel does.
No timeout of its own ends a statement then, and no keep-alive notices, so that the client must.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from sqlalchemy import Connection

PATIENCE = 60.0
"""Seconds without a byte of an answer after which a server is taken for gone: no statement of the store lasts nearly
so long, but for migrations."""


class Patient(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, where nothing came for `patience` seconds; None waits for ever."""

    patience: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **keys: Any) -> Any:
        """As psycopg does for each thing that the server is asked."""
        return super().wait(self._limited(gen), *args, **keys)

    def _limited(self, asking: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        limit, heard = self.patience, time.monotonic()
        try:
            wanted = next(asking)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif limit is not None and time.monotonic() - heard > limit:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"it takes what is sent, and has not answered for {limit:g} s")
                wanted = asking.send(ready)
        except StopIteration as done:
            return done.value


def connect(*args: Any, **keys: Any) -> Patient:
    """A connection of the store. Raises psycopg.Error."""
    made = Patient.connect(*args, **keys)
    made.patience = PATIENCE
    return made


def wait_for_ever(connection: Connection) -> None:
    """What is asked in this connection may take as long as it takes."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, Patient)
    driver.patience = None
