"""A connection to PostgreSQL that does not wait for ever for a server that has stopped answering.

A server that is frozen (its machine swaps, its disk hangs, it was stopped) still takes what is sent: its kernel does.
No timeout of its own ends a statement then, and no keep-alive notices, so that the client must.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection

PATIENCE = 40.0
"""Seconds without a byte of an answer after which a server is taken for gone: no statement of the store lasts nearly
so long, but for migrations. With an attempt to connect anew it is less than the minute that is promised."""

_hurry = threading.local()


class Patient(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, where nothing came for `patience` seconds; None waits for ever."""

    patience: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **keys: Any) -> Any:
        """As psycopg does for each thing that the server is asked."""
        return super().wait(self._limited(gen), *args, **keys)

    def notifies(self, **keys: Any) -> Generator[psycopg.Notify, None, None]:
        """As psycopg does; whoever listens may hear nothing for long."""
        before, self.patience = self.patience, None
        try:
            yield from super().notifies(**keys)
        finally:
            self.patience = before

    def _limited(self, asking: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        limit, heard = self._limit(), time.monotonic()
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

    def _limit(self) -> float | None:
        less: float | None = getattr(_hurry, "seconds", None)
        return self.patience if less is None or self.patience is None else min(less, self.patience)


@contextmanager
def hurried(seconds: float) -> Iterator[None]:
    """What this thread asks meanwhile is given up after so long: something else depends on when it is known."""
    _hurry.seconds = seconds
    try:
        yield
    finally:
        _hurry.seconds = None


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
