"""The states of a run, of a step and of a change, as the store holds them."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands. The first rows are on the way, the last ones are how it ended."""

    SUBMITTED = "submitted"
    APPROVAL = "waits for approval"
    QUEUED = "waits for a lock"
    RUNNING = "running"
    PERSON = "waits for a person"
    AMBIGUOUS = "ambiguous"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    @property
    def ended(self) -> bool:
        return self in ENDED

    @property
    def parked(self) -> bool:
        """Whether nothing happens until somebody does something."""
        return self in PARKED


ENDED = frozenset({RunState.DONE, RunState.FAILED, RunState.UNDONE, RunState.CANCELLED, RunState.REFUSED})
PARKED = frozenset({RunState.APPROVAL, RunState.PERSON, RunState.AMBIGUOUS})

EXIT_CODE = {
    RunState.DONE: 0,
    RunState.FAILED: 1,
    RunState.UNDONE: 1,
    RunState.CANCELLED: 1,
    RunState.REFUSED: 4,
    RunState.APPROVAL: 4,
    RunState.PERSON: 4,
    RunState.QUEUED: 4,
    RunState.AMBIGUOUS: 5,
}
"""What a command that followed a run to this state ends with."""


class StepState(StrEnum):
    """Where a step stands. A step without a row has not begun."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    AMBIGUOUS = "ambiguous"
    UNDONE = "undone"


class ChangeState(StrEnum):
    """What is known of one change. An intent without an outcome was cut off."""

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    """It is certain that nothing of it happened."""
    REFUSED = "refused"
    """Its guard did not hold: nothing of it happened."""
    NOT_DONE = "not done"
    """It was cut off, and did not happen."""
    AMBIGUOUS = "ambiguous"
    UNSURE = "unsure"
    """It was cut off and given up. Whether it happened is not known, and does not matter: it can be made again."""
    IMPOSSIBLE = "impossible"
    """An undo that there is none of."""
