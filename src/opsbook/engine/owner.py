"""The process that executes: it takes up interrupted runs, and starts submitted ones.

Of an embedded store it holds the owner lock and executes everything. Of a shared one it is one of several workers, and
executes the runs that it has claimed. Other processes submit a run as a row of the store and follow it there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Row

from opsbook.catalogue import import_rooms
from opsbook.engine import execution as executions
from opsbook.engine.apply import told_of
from opsbook.engine.durable import Durable, Told, sqlite_address
from opsbook.engine.execution import Execution, Gone
from opsbook.engine.executor import itself
from opsbook.engine.interpreter import Interpreter
from opsbook.engine.membership import ClaimLost, Membership
from opsbook.engine.setting import Setting
from opsbook.engine.states import ENDED, RunState
from opsbook.errors import OpsbookError
from opsbook.store import runs
from opsbook.store.audit_head import HeadFailed
from opsbook.store.database import StoreFailed

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""How often the owner looks for submissions, wake-ups and cancellations."""
MOST_AT_ONCE = 10
"""Runs that one of several workers has in the middle of something; those that wait do not count."""
CLAIMS_A_LOOK = 2
"""Of one worker: what comes at once is shared with the others."""
PAUSE_AFTER_FAULT = 2.0
"""Seconds after which a store that could not be written is tried again."""


class Owner:
    """Executes runs until it is closed. Use as `async with`, by the one that holds the owner lock, or a worker."""

    def __init__(
        self,
        setting: Setting,
        address: str = "",
        membership: Membership | None = None,
        tell: Callable[[str], None] = log.info,
        *,
        brief: bool = False,
    ) -> None:
        """`brief`: it ends with the run that it was made for."""
        self.setting, self.membership, self.tell = setting, membership, tell
        self.recovered: list[str] = []
        """Runs that an earlier process left in the middle."""
        self.closing = False
        self._executor = itself()
        if membership is None:
            address = address or sqlite_address(setting.folder)
            self._durable = Durable(address, self.advance, self._drop, brief=brief)
        else:
            address = setting.store.url.render_as_string(hide_password=False)
            self._durable = Durable(address, self.advance, self._drop, membership.id, brief=brief)
        self._carried: set[str] = set()
        self._executions: dict[str, Execution] = {}
        self._told: dict[str, int] = {}
        self._active: set[str] = set()
        self._moving = 0
        self._housekeeping: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        await self.setting.in_writer(self.setting.check_audit)
        taken = await asyncio.to_thread(self._durable.launch)
        if self.membership is not None:
            self.membership.stopped.clear()
        unfinished = {row.id: row for row in runs.unfinished(self.setting.store, ENDED)}
        self._carried = set(taken) & set(unfinished)
        self.recovered = [run for run, row in unfinished.items() if not RunState(row.state).parked and row.executor]
        self._active = {run for run in self._carried if not RunState(unfinished[run].state).parked}
        self._housekeeping = asyncio.create_task(self._keep_house())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing = True
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._housekeeping
        await self._durable.close(self.membership.stopped.set if self.membership else lambda: None)
        for execution in self._executions.values():
            await execution.let_go()

    @property
    def ended(self) -> asyncio.Event:
        """Set whenever a run that was started here has ended; whoever waits for it clears it."""
        return self._durable.ended

    def _drop(self, run: str) -> None:
        self._carried.discard(run)

    async def drain(self) -> None:
        """Let every run finish the change that it is in, and begin no other."""
        self.closing = True
        while self._moving > sum(map(self._queued, self._active)):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS / 4)

    @property
    def busy(self) -> bool:
        """Whether a run is in the middle of something. One that waits for a lock has not begun."""
        return not all(map(self._queued, self._active))

    def _queued(self, run: str) -> bool:
        execution = self._executions.get(run)
        return execution is not None and execution.run.state == RunState.QUEUED

    async def advance(self, run: str, previous: Told | None) -> Told:
        """One durable step of a run. The engine may call it in a loop of its own; the work is done in this one."""
        if asyncio.get_running_loop() is self._loop:
            return await self._advance(run, previous)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._advance(run, previous), self._loop))

    async def _advance(self, run: str, previous: Told | None) -> Told:
        self._active.add(run)
        said: Told | None = None
        while said is None:
            if self.closing:
                # The process ends: the next owner goes on from here.
                await asyncio.Event().wait()
            self._moving += 1
            try:
                said = await self._try(run, previous)
            finally:
                self._moving -= 1
        if said["next"] == "wait":
            # What it needs then is of this version, also where opsbook is upgraded meanwhile.
            await asyncio.to_thread(import_rooms)
        if said["next"] == "wait" and self.membership is not None:
            # Whoever is there takes it up when somebody has done something for it.
            said = {**said, "next": "end"}
        if said["next"] != "go":
            self._active.discard(run)
            self._executions.pop(run, None)
            await self._sign()
        if said["next"] == "end":
            await self._let_go(run)
        return said

    async def _let_go(self, run: str) -> None:
        if self.membership is not None:
            with suppress(StoreFailed):
                await asyncio.to_thread(self.membership.give_back, run)
        self._carried.discard(run)

    async def _try(self, run: str, previous: Told | None) -> Told | None:
        """Advance a run; None where it has to be tried again."""
        try:
            return await Interpreter(await self._execution(run)).advance(previous)
        except Gone as error:
            log.error("%s", error)
            return {"next": "end", "state": "gone"}
        except ClaimLost as error:
            log.error("%s", error)
            if lost := self._executions.pop(run, None):
                await lost.let_go()
            return {"next": "end", "state": "elsewhere"}
        except OpsbookError as error:
            # A full disk, a book that cannot be read: the run stays as it is until that is mended. What it learnt is
            # kept in memory, and handed in again.
            await self._held_up(run, error)
            return None
        except Exception as error:
            log.exception("a fault of opsbook itself in run %s", run)
            return await self._faulted(run, previous, error)

    async def _faulted(self, run: str, previous: Told | None, error: Exception) -> Told | None:
        """The edge of the engine: the run ends with what is certain of it."""
        broken = self._executions.pop(run, None)
        if broken is not None:
            await broken.let_go()
        try:
            return await Interpreter(await self._execution(run)).give_up(previous, told_of(error))
        except OpsbookError as again:
            await self._held_up(run, again)
            return None

    async def _held_up(self, run: str, error: OpsbookError) -> None:
        """Something outside the run keeps it from going on: say it where the run is shown, and try again soon."""
        log.error("run %s waits: %s", run, error)
        message = f"cannot go on: {error.message}" + (f" → {error.hint}" if error.hint else "")
        with suppress(StoreFailed):
            note = [lambda connection: runs.change_run(connection, run, message=message)]
            await self.setting.in_writer(lambda: self.setting.write(note))
        await asyncio.sleep(PAUSE_AFTER_FAULT)

    async def _execution(self, run: str) -> Execution:
        if run not in self._executions:
            found = await executions.load(self.setting, run, self._executor)
            if found.run.cancel:
                found.cancelled.set()
            if self.membership is not None:
                found.journal.claim = self.membership.holding(run)
            if found.run.executor != self._executor:
                found.set_run(executor=self._executor)
            self._executions[run] = found
        return self._executions[run]

    async def _sign(self) -> None:
        try:
            await self.setting.in_writer(self.setting.write_head)
        except (HeadFailed, StoreFailed) as error:
            log.error("%s", error)

    async def _keep_house(self) -> None:
        """Start what was submitted, wake what waits and was told something, cancel what should be."""
        while True:
            try:
                for row in await self._mine():
                    await self._look_at(row)
            except StoreFailed as error:
                log.error("%s", error)
            await asyncio.sleep(POLL_SECONDS)

    async def _mine(self) -> list[Row[Any]]:
        """The unfinished runs that this process executes: all, or those that it has claimed or claims now."""
        if self.membership is None:
            return runs.unfinished(self.setting.store, ENDED)
        rows = await asyncio.to_thread(runs.unfinished, self.setting.store, ENDED)
        open_ones = [row for row in rows if row.id not in self._carried and self._wants(row)]
        fresh: set[str] = set()
        if open_ones and not self.closing:
            taken = await asyncio.to_thread(self.membership.others)
            for row in [row for row in open_ones if row.id not in taken][:CLAIMS_A_LOOK]:
                if len(self._active) - sum(map(self._queued, self._active)) + len(fresh) >= MOST_AT_ONCE:
                    break
                if await asyncio.to_thread(self.membership.claim, row.id):
                    fresh.add(row.id)
                    if row.executor and not RunState(row.state).parked:
                        self.tell(f"goes on with run {row.id}, which was interrupted")
        return [row for row in rows if row.id in self._carried or row.id in fresh]

    def _wants(self, row: Row[Any]) -> bool:
        """Whether there is something to do for a run of the own system; one that waits for somebody needs nobody."""
        assert self.membership is not None
        mine = row.id == self.membership.only if self.membership.only else row.system == self.setting.system_name
        return mine and (not RunState(row.state).parked or row.heard < row.woken)

    async def _look_at(self, row: Row[Any]) -> None:
        run, execution = row.id, self._executions.get(row.id)
        if run not in self._carried:
            self._carried.add(run)
            self._told[run] = row.woken
            self._active.add(run)
            await self._durable.start(run)
            return
        if row.cancel and execution is not None and not execution.cancelled.is_set():
            execution.run = replace(execution.run, cancel=row.cancel)
            execution.cancelled.set()
        if RunState(row.state).parked and execution is None and row.heard < row.woken != self._told.get(run):
            self._told[run] = row.woken
            self._active.add(run)
            await self._durable.wake(run)
