"""Hearing at once what another process has put into the outbox of a PostgreSQL, on a connection of its own.

A webhook may come to a process that does not lead, and a person may open an incident at a terminal: the leader need
not wait for its rhythm then. Where the connection breaks, or goes through a pooler that keeps no session, the rhythm is
what is left, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import psycopg
from psycopg import sql

from opsbook.store.calls import CHANNEL, concerns
from opsbook.store.database import BUSY_SECONDS
from opsbook.watch.contract import Watch
from opsbook.watch.waking import TELLING, wake

log = logging.getLogger(__name__)

AGAIN = 5.0
"""Seconds until a connection that broke is made anew."""
PROVE_EVERY = 30.0
"""Seconds of silence after which it is asked whether it lives."""


class Called:
    """Wakes the parts that tell people when another process calls."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._address = watch.setting.store.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def keep(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; what breaks is begun anew."""
        ended = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                listening = asyncio.create_task(self._listen())
                await asyncio.wait([listening, ended], return_when=asyncio.FIRST_COMPLETED)
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening
                await asyncio.wait([ended], timeout=AGAIN)
        finally:
            ended.cancel()

    async def _listen(self) -> None:
        """Until the connection breaks."""
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                connection = await psycopg.AsyncConnection.connect(
                    self._address, autocommit=True, application_name="opsbook-calls"
                )
            try:
                async with asyncio.timeout(BUSY_SECONDS):
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                wake(*TELLING)  # what was said before it listened
                while True:
                    await self._hear(connection)
                    async with asyncio.timeout(BUSY_SECONDS):
                        await connection.execute("SELECT 1")
            finally:
                connection.pgconn.finish()  # closing would wait for a server that does not answer
        except (psycopg.Error, TimeoutError) as error:
            log.debug("hears no other process until it is connected again: %s", type(error).__name__)

    async def _hear(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        """What comes until there is silence for a while."""
        loop, where = asyncio.get_running_loop(), self.watch.where
        while await _readable(loop, connection.fileno()):
            called = False
            async for told in connection.notifies(timeout=0):
                called |= concerns(told.payload, where["system"], where["environment"])
            if called:
                wake(*TELLING)


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> bool:
    """Wait until there is something to read; False where nothing came. The driver's own wait looks ten times a
    second."""
    came = asyncio.Event()
    loop.add_reader(descriptor, came.set)
    try:
        async with asyncio.timeout(PROVE_EVERY):
            await came.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
