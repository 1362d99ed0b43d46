"""What a plan is made of. A `Change` can be shown before it happens; the executor of its kind applies exactly it.

Operations (a room above) yield changes from facts; executors (in this room) apply them. There is no other way in which
opsbook changes a managed system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

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

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More: ...
