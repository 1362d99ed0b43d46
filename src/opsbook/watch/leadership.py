"""Which of several processes on one PostgreSQL runs the parts of a watch. On a file there is only one anyway.

The leader renews a lease; who finds it run out takes over. A leader that was frozen for longer than its lease (a laptop
asleep, a virtual machine that is moved) does nothing more until it has renewed it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from contextlib import suppress

from sqlalchemy import Connection

from opsbook.errors import OpsbookError
from opsbook.store import leases
from opsbook.store.database import StoreFailed
from opsbook.watch.contract import Watch

log = logging.getLogger(__name__)

LEASE = 15.0
"""Seconds for which leadership holds: how long nobody watches after the leader died."""
RENEW = 4.0
"""Seconds between two renewals: three of them may fail."""


def this_process() -> str:
    """A name that no other process has: in containers that share a host's name each may be its pid 1."""
    return f"{socket.gethostname()}, pid {os.getpid()}, {secrets.token_hex(4)}"


class Leadership:
    """Keeps the lease of a watch while it can."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.name = "watch/{system}/{environment}".format(**watch.where)
        self.holder = this_process()
        self._until = float("-inf")

    def leads(self) -> bool:
        """Whether it is this process, by its own steady clock: a lease that ran out unnoticed is none."""
        return self.watch.setting.clock.monotonic() < self._until

    async def keep(self, stop: asyncio.Event) -> None:
        """Take and renew the lease until `stop`; then give it back."""
        while not stop.is_set():
            led = self.leads()
            try:
                await self.renew()
                self.watch.outage.over()
            except StoreFailed as error:
                self.watch.outage.met(error)
            if self.leads() != led:
                log.info("%s %s", "leads" if self.leads() else "no longer leads", self.name)
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW):
                    await stop.wait()
        with suppress(OpsbookError):
            await self.end()

    async def renew(self) -> bool:
        """Once. Raises StoreFailed."""
        setting = self.watch.setting
        asked = setting.clock.monotonic()
        taken: list[bool] = []

        def take(connection: Connection) -> None:
            taken.append(leases.take(connection, self.name, self.holder, setting.now(), LEASE))

        await setting.in_writer(lambda: setting.write([take]))
        # Counted from before the question, so that it ends here before it ends in the store.
        self._until = asked + LEASE if taken[0] else float("-inf")
        return taken[0]

    async def end(self) -> None:
        """Let another take over at once."""
        if self.leads():
            setting, self._until = self.watch.setting, float("-inf")
            give = [lambda connection: leases.give_back(connection, self.name, self.holder)]
            await setting.in_writer(lambda: setting.write(give))
