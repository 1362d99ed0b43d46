"""What a plan is made of. A `Change` can be shown before it happens; the executor of its kind applies exactly it.

Operations (a room above) yield changes from facts; executors (in this room) apply them. There is no other way in which
opsbook changes a managed system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from opsbook.errors import OpsbookError

Json = Any
"""Plain data: None, bool, int, float, str, list, dict with text keys."""


@dataclass(frozen=True)
class Change:
    """One concrete effect in a plan. It can be shown before it happens."""

    kind: str
    """sql argv http file patch wait batch stream: one executor per kind."""
    effect: Json
    """What is done: targets or predicate, and its ceiling. In the digest."""
    evidence: Json = None
    """Counts, sizes, pids seen while planning: shown, never in the digest."""
    guard: Json = None
    """The precondition, checked again atomically when applied (pid + backend_start, resourceVersion …)."""
    inverse: Change | str = "it cannot be undone"
    """The undo, or why there is none."""


@dataclass(frozen=True)
class Done:
    """A change was applied. `result` is what it said, without secrets."""

    result: Json = None


@dataclass(frozen=True)
class More:
    """A batch was applied and more remain; `cursor` is where to go on."""

    cursor: Json
    progress: Json = None


class Sink(Protocol):
    """Takes the output of a change while it runs; bounded and masked by who gives it."""

    async def write(self, text: str) -> None: ...


class Executor(Protocol):
    """Applies changes of one kind. An operation has no apply of its own."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Make the change. `key` marks everything that carries it (child processes, server sessions).

        Checks the guard atomically with the change and raises Refused where it no longer holds; raises ReadFailed or
        ChangeFailed where the target said no (nothing happened); any other error, a time-out or a cancellation leaves
        the outcome unknown. `cursor` is None at first and what the last `More` said afterwards.
        """
        ...

    async def end(self, key: str, change: Change) -> bool:
        """End what may still carry the key after a time-out or a crash: the child's tree, the server's session.

        True when nothing of it runs any more.
        """
        ...


class ChangeFailed(OpsbookError):
    """The target refused the change: it is certain that nothing of it happened."""

    exit_code = 1
