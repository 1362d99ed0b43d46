"""Applying one change: bounded in time, cancellable, its output streamed. What became of it is certain, or cut off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from opsbook.connectors.change import Change, ChangeFailed, Done, Executor, Json, More
from opsbook.connectors.contract import CredentialRefused, ReadFailed
from opsbook.engine.output import FLUSH_SECONDS, StepOutput
from opsbook.engine.setting import Setting, Write
from opsbook.engine.states import ChangeState
from opsbook.errors import OpsbookError, Refused
from opsbook.store.database import StoreFailed

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 1.0
"""A batched change notes how far it is at most this often."""
LETTING_GO_SECONDS = 10.0
"""What an executor gets to let go of a change that was cancelled or timed out, before its child or session is ended."""


@dataclass(frozen=True)
class Applied:
    """What became of a change. `state` None: it was cut off, and its outcome is not known."""

    state: ChangeState | None
    result: Json = None
    message: str = ""
    locked_out: bool = False
    """Whether the target does not take the credential: only a person can go on."""


class Application:
    """One attempt at one change."""

    def __init__(self, setting: Setting, executor: Executor, key: str, change: Change, out: StepOutput) -> None:
        self.setting, self.executor, self.key, self.change, self.out = setting, executor, key, change, out
        self.checkpoint: Callable[[Json, Json], Write] | None = None
        """Makes the write that notes a cursor and a progress."""
        self._noted: tuple[Json, Json] | None = None

    async def run(self, cursor: Json, seconds: float, cancelled: asyncio.Event) -> Applied:
        """Apply it. Never raises for what the target or its executor does."""
        work = asyncio.ensure_future(self._batches(cursor))
        stop = asyncio.ensure_future(cancelled.wait())
        notes = asyncio.ensure_future(self._keep_notes())
        try:
            await asyncio.wait({work, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return _judged(work, seconds)
            work.cancel()
            await asyncio.wait({work}, timeout=LETTING_GO_SECONDS)
            if work.done() and not work.cancelled() and work.exception() is None:
                return _judged(work, seconds)
            why = "it was cancelled" if cancelled.is_set() else f"it took longer than {seconds:g} s"
            return Applied(None, message=why)
        except asyncio.CancelledError:
            # This process stops executing: nothing of the change may be left running here.
            work.cancel()
            await asyncio.wait({work}, timeout=LETTING_GO_SECONDS)
            raise
        finally:
            for task in (work, stop, notes):
                task.cancel()
            await asyncio.wait({stop, notes})

    async def _batches(self, cursor: Json) -> Done:
        while True:
            said = await self.executor.apply(self.key, self.change, cursor, self.out)
            if isinstance(said, Done):
                return said
            assert isinstance(said, More)
            cursor = said.cursor
            self._noted = (said.cursor, said.progress)
            self.out.wanted.set()

    async def _keep_notes(self) -> None:
        """Bring output and cursor to the store while the change goes on."""
        noted = 0.0
        while True:
            await self.out.wanted.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            writes = self.out.take()
            if self._noted and self.checkpoint and time.monotonic() - noted >= CHECKPOINT_SECONDS:
                noted = time.monotonic()
                writes.append(self.checkpoint(*self._noted))
            if writes:
                with contextlib.suppress(StoreFailed):
                    await self.setting.in_writer(lambda writes=writes: self.setting.write(writes))  # type: ignore[misc]


def _judged(work: asyncio.Future[Done], seconds: float) -> Applied:
    error = None if work.cancelled() else work.exception()
    if work.cancelled():
        return Applied(None, message="its executor gave up")
    if error is None:
        return Applied(ChangeState.DONE, work.result().result)
    if isinstance(error, Refused):
        return Applied(ChangeState.REFUSED, message=_told(error))
    if isinstance(error, CredentialRefused):
        # Whatever comes next, an undo too, would be refused alike: it waits for a credential that is taken.
        return Applied(None, message=_told(error), locked_out=True)
    if isinstance(error, ChangeFailed | ReadFailed):
        return Applied(ChangeState.FAILED, message=_told(error))
    if not isinstance(error, OpsbookError | OSError | TimeoutError):
        log.error("an executor failed in a way that it should not", exc_info=error)
    return Applied(None, message=_words(error, seconds))


def _words(error: BaseException, seconds: float) -> str:
    """What happened, as a sentence: errors of the language say little, or nothing at all."""
    if isinstance(error, OpsbookError):
        return _told(error)
    if isinstance(error, TimeoutError) and not str(error):
        return f"it did not end within {seconds:g} s; it was ended"
    return told_of(error)


def told_of(error: BaseException) -> str:
    """An error that is none of opsbook's own, in words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__}, without a word"


def _told(error: OpsbookError) -> str:
    return f"{error.message} → {error.hint}" if error.hint else error.message
