"""Changes of the kind `backup`: one backup of the book, taken into its store.

effect: `backup` (its id in the book), `component`, `method`, `to`, `copy_to`, `replica` (read the replica), `checksums`
(have the server sum up the rows of each table), and what else the book says of it, to be seen in the plan.
`act` is `take`, or `copy`: bring every backup that the second store lacks there.

Nothing is visible before its manifest is, which is published last: an attempt that dies is no backup, and the next one
removes what it left. A failed one is tried again as often as the book says.

result of `take`: `stamp`, `folder`, `store`, `stored` and `plain` (bytes), `parts`, `rows`, `seconds`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opsbook.book.recovery import Backup
from opsbook.book.units import Dimension, show
from opsbook.clock import SystemClock
from opsbook.connectors.backups.catalogue import Damaged, backup_named, backup_store
from opsbook.connectors.backups.encryption import public_recipients
from opsbook.connectors.backups.manifest import Manifest
from opsbook.connectors.backups.pipeline import Codec, Pace
from opsbook.connectors.backups.second_store import copy_missing
from opsbook.connectors.backups.subjects import OF_POSTGRES, postgres_server, subject_of
from opsbook.connectors.backups.taking import Order, Taking, TooSmall
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.objectstore.contract import ObjectFailed, StoreUnavailable
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError

FIRST_PAUSE = 2.0
"""Seconds before it is tried again; doubled each time."""
TELL_SECONDS = 5.0
PASSING = (ObjectFailed, StoreUnavailable, Damaged, ChangeFailed)
"""What may be over when it is tried again."""
LASTING = (TooSmall, NotReached)


@executor("backup")
class BackupExecutor:
    """Takes backups, each on a thread of its own."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where there is certainly no backup of this attempt."""
        backup = backup_named(self.connections.system, change.effect["backup"])
        attempt = _Attempt(self.connections, backup, key, change.effect, _teller(out))
        act = attempt.copy if change.effect["act"] == "copy" else attempt.take
        if backup.of in self.connections.system.components:
            # Opened here, not on the thread: where it is reached through the runtime, this loop carries the forward.
            self.connections.of(backup.of)
        working = asyncio.ensure_future(asyncio.to_thread(act))
        try:
            async with asyncio.timeout(backup.timeout.total_seconds()):
                return Done(await asyncio.shield(working))
        except (TimeoutError, asyncio.CancelledError) as error:
            attempt.cancel()
            await asyncio.shield(asyncio.ensure_future(self._let_go(key, change, working)))
            if working.done() and not working.cancelled() and working.exception() is None:
                return Done(working.result())
            if isinstance(error, TimeoutError):
                seconds = backup.timeout.total_seconds()
                raise ChangeFailed(
                    f"backup {backup.id} took longer than {seconds:,.0f} s", f"raise `timeout` of {backup.id}"
                ) from None
            raise
        except OpsbookError as error:
            if isinstance(error, ChangeFailed):
                raise
            raise ChangeFailed(error.message, error.hint) from error

    async def end(self, key: str, change: Change) -> bool:
        """End the programs and the sessions of an attempt."""
        ended = await end_tree(key)
        if change.effect["act"] == "copy" or change.effect["method"] not in OF_POSTGRES:
            return ended
        try:
            server = await asyncio.to_thread(
                postgres_server, self.connections, change.effect["component"], key, replica=change.effect["replica"]
            )
        except OpsbookError:
            return False
        return await asyncio.to_thread(server.end) and ended

    async def _let_go(self, key: str, change: Change, working: asyncio.Future[Any]) -> None:
        await self.end(key, change)
        await asyncio.wait({working})


@dataclass
class _Attempt:
    """One change under way, on its thread."""

    connections: Connections
    backup: Backup
    key: str
    effect: dict[str, Any]
    tell: Callable[[str], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    _pace: Pace = field(default_factory=Pace)
    _told: float = field(default_factory=time.monotonic)

    def cancel(self) -> None:
        """Let the thread end as soon as it looks."""
        self.cancelled.set()
        self._pace.stop.set()

    def take(self) -> dict[str, Json]:
        """The result of a backup, after as many tries as the book allows."""
        pause = FIRST_PAUSE
        for left in range(self.backup.retry, -1, -1):
            started = time.monotonic()
            try:
                return _result(self._once(), round(time.monotonic() - started, 3))
            except PASSING as error:
                if isinstance(error, LASTING) or not left or self.cancelled.is_set():
                    raise
                self.tell(f"{error.message}; tries again in {pause:g} s\n")
                self.cancelled.wait(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def copy(self) -> dict[str, Json]:
        """Bring what the second store lacks there."""
        assert self.backup.copy_to is not None
        system = self.connections.system
        first, second = backup_store(system, self.backup), backup_store(system, self.backup, self.backup.copy_to)
        try:
            copied = copy_missing(first, second, self.backup.id, self._new_pace(), self.tell)
        finally:
            first.close()
            second.close()
        return {"store": second.address, "copied": copied}

    def _once(self) -> tuple[Manifest, str]:
        """The manifest, and where it lies."""
        backup, system, signer = self.backup, self.connections.system, self.connections.signer
        if signer is None:
            raise NotReached("nothing here can sign a manifest", "take it by `opsbook backup`")
        subject = subject_of(
            self.connections, backup, self.key, self.tell, replica=self.effect["replica"],
            checksums=self.effect["checksums"],
        )  # fmt: skip
        store = backup_store(system, backup)
        try:
            taking = Taking(self._order(), store, signer, SystemClock(), self._new_pace(), self.tell)
            return taking.run(subject), store.address
        finally:
            store.close()

    def _order(self) -> Order:
        backup, system = self.backup, self.connections.system
        return Order(
            system=system.model.system,
            environment=system.name,
            backup=backup.id,
            component=backup.of,
            method=backup.method,
            key=self.key,
            codec=Codec(
                backup.compress,
                recipients=public_recipients(system.resolve(backup.encrypt)) if backup.encrypt else "",
            ),
            jobs=backup.jobs,
            smallest=backup.smallest or 0,
            lasts=backup.timeout,
            book_revision=hashlib.sha256(system.book.path.read_bytes()).hexdigest(),
            copy_to=str(backup.copy_to or ""),
        )

    def _new_pace(self) -> Pace:
        self._pace = Pace(self.backup.rate, self._progress)
        if self.cancelled.is_set():
            self._pace.stop.set()
        return self._pace

    def _progress(self, passed: int) -> None:
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self.tell(f"{show(passed, Dimension.SIZE)} read\n")


def _result(taken: tuple[Manifest, str], seconds: float) -> dict[str, Json]:
    manifest, address = taken
    told = {"stamp": manifest.stamp, "folder": f"{address}/{manifest.folder}", "stored": manifest.stored,
            "plain": manifest.plain, "parts": len(manifest.parts), "seconds": seconds}  # fmt: skip
    if manifest.database is not None:
        told["rows"] = sum(one.rows for one in manifest.database.tables)
    if manifest.files:
        told["files"] = len(manifest.files)
    return told


def _teller(out: Sink) -> Callable[[str], None]:
    """Writes lines to the run from any thread."""
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(out.write(text)))

    return tell
