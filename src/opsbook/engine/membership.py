"""A process's seat among the workers of a PostgreSQL store: its lease, kept by a thread of its own.

A worker that cannot renew its lease stops before it is over for others: at a half of it everything is cut off, and a
process that has not managed that when the lease ends is ended. So two never make the changes of one run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError
from opsbook.store import workers
from opsbook.store.database import StoreFailed, reading, writing

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
RENEWALS = 6
"""In the time of one lease."""
STOP_SHARE = 0.5
"""Of the lease: not renewed for so long, the worker stops. The rest is for ending what runs."""
LATE_SECONDS = 2.0
"""What a worker gets to stop that finds its lease over: its machine slept, or it was held up."""
LOST_EXIT = 3


class ClaimLost(OpsbookError):
    """Another worker has the run by now: this one must not change anything for it any more."""


class Membership:
    """A worker's lease, and its claims on runs. Use as a context manager, in a running event loop; with `async with`
    a store that does not answer holds nothing else up."""

    def __init__(self, setting: Setting, holder: str, seconds: float = LEASE_SECONDS, only: str = "") -> None:
        self.setting, self.holder, self.seconds, self.only = setting, holder, seconds, only
        self.id = secrets.token_hex(6)
        kind = workers.GUEST if only else workers.WORKER
        self.name = workers.worker_name(kind, setting.system_name, self.id)
        self.lost = asyncio.Event()
        """Set when it must stop: the lease is over, or soon will be."""
        self.stopped = threading.Event()
        """Cleared by whoever executes before something runs, and set when nothing of it runs any more."""
        self.stopped.set()
        self._over = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._fences: dict[str, int] = {}
        self._thread = threading.Thread(target=self._keep, name="opsbook-lease", daemon=True)

    def __enter__(self) -> Self:
        with writing(self.setting.store) as connection:
            workers.join(connection, self.name, self.holder, self.seconds)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._over.set()
        self._thread.join()
        if self.lost.is_set():
            return  # it runs out by itself, and the store may be what was lost
        try:
            with writing(self.setting.store) as connection:
                workers.leave(connection, self.name)
        except StoreFailed as failed:
            log.error("the lease runs out by itself: %s", failed)

    async def __aenter__(self) -> Self:
        joining = asyncio.to_thread(self.__enter__)
        try:
            return await joining
        except asyncio.CancelledError:
            self._over.set()  # a store that does not answer yet: what it takes after all runs out by itself
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def others(self) -> Mapping[str, str]:
        """Runs that a living worker has, this one too."""
        with reading(self.setting.store) as connection:
            return workers.claimed(connection)

    def claim(self, run: str) -> bool:
        """Make a run this worker's, where no living one has it."""
        with writing(self.setting.store) as connection:
            fence = workers.take(connection, run, self.name)
        if fence is not None:
            self._fences[run] = fence
        return fence is not None

    def give_back(self, run: str) -> None:
        """Let go of a run that has ended."""
        if self._fences.pop(run, None) is not None:
            with writing(self.setting.store) as connection:
                workers.give_back(connection, [run], self.name)

    def holding(self, run: str) -> Callable[[Connection], None]:
        """The check of every write of a run: raises ClaimLost where the run is no longer this worker's."""
        fence = self._fences.get(run, 0)

        def hold(connection: Connection) -> None:
            if self.lost.is_set() or not workers.holds(connection, run, self.name, fence):
                raise ClaimLost(f"run {run} is no longer executed by this worker", "`opsbook runs show` tells by whom")

        return hold

    def _keep(self) -> None:
        """Renew the lease until it is given back or lost."""
        from opsbook.store.patience import hurried  # only here: who has a file loads no driver

        begun = _now()
        while not self._over.wait(self.seconds / RENEWALS):
            asked = _now()
            try:
                # A store that is frozen must be noticed while there is time to stop.
                with hurried(self.seconds * STOP_SHARE / 2), writing(self.setting.store) as connection:
                    kept = workers.renew(connection, self.name, self.seconds)
            except StoreFailed as error:
                log.error("the lease of this worker is not renewed: %s", error)
                kept = None
            if kept:
                begun = asked
            if kept is False or _now() - begun > self.seconds * STOP_SHARE:
                self._lose(begun)
                return

    def _lose(self, begun: float) -> None:
        log.error("this worker lost its lease, and stops what it executes")
        self._loop.call_soon_threadsafe(self.lost.set)
        left = max(LATE_SECONDS, begun + self.seconds - _now())
        if not self.stopped.wait(left):
            # Whatever it is in the middle of, another worker goes on with it now. Children die with this process.
            log.critical("this worker could not stop before its lease was over, and ends itself")
            os._exit(LOST_EXIT)


def _now() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
