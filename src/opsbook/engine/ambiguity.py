"""A change was cut off: by a crash, a time-out, a lost connection, a cancellation. What now?

First what still carries its key is ended. Then an idempotent change may simply be made again; of another one its
operation's `verify` says whether it happened; and where nobody can say, a person must.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from opsbook.connectors.change import Change, Executor
from opsbook.engine.fences import operation_of
from opsbook.engine.procedure import Step, StepKind
from opsbook.errors import OpsbookError
from opsbook.operations.contract import Facts

END_SECONDS = 60.0
VERIFY_SECONDS = 60.0

Finding = Literal["again", "done", "not_done", "unknown"]


@dataclass(frozen=True)
class Settled:
    """What was found out, and how."""

    finding: Finding
    message: str


@dataclass(frozen=True)
class CutOff:
    """A change whose outcome is not known."""

    key: str
    step: Step
    change: Change
    undo: bool
    resumable: bool
    """Whether it is a batch that notes where it is: those are idempotent."""


async def settle(cut: CutOff, executor: Executor, facts: Facts) -> Settled:
    """End what still runs, then decide. Never raises for what the target does."""
    if reason := await _end(cut, executor):
        return Settled("unknown", reason)
    if cut.resumable or cut.step.idempotent or _guards_itself(cut):
        return Settled("again", "it can safely be made again")
    if cut.step.kind is not StepKind.OP or cut.undo:
        return Settled("unknown", "nothing can tell whether it happened")
    try:
        async with asyncio.timeout(VERIFY_SECONDS):
            verdict = await operation_of(cut.step.body).verify(cut.key, cut.change, facts)
    except (OpsbookError, OSError, TimeoutError) as error:
        return Settled("unknown", f"whether it happened cannot be verified: {error}")
    told = {"done": "it has happened", "not_done": "it has not happened", "unknown": "the facts do not tell"}
    return Settled(verdict, f"verified: {told[verdict]}")


def _guards_itself(cut: CutOff) -> bool:
    # An undo names the state that the step left: made a second time it would be refused.
    return cut.undo and cut.change.guard is not None


async def _end(cut: CutOff, executor: Executor) -> str | None:
    """Why something of it may still run; None where nothing does."""
    try:
        async with asyncio.timeout(END_SECONDS):
            ended = await executor.end(cut.key, cut.change)
    except (OpsbookError, OSError, TimeoutError) as error:
        return f"what still carries it could not be ended: {error}"
    return None if ended else "something of it still runs and could not be ended"
