"""What to say of the runs that hold what another one needs: whose they are, since when, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from opsbook.engine.locks import Holder
from opsbook.engine.states import RunState

WAITS_FOR_SOMEBODY = {
    RunState.PERSON: "`opsbook runs tick {run}` says that its act is done, `opsbook runs cancel {run}` ends it",
    RunState.AMBIGUOUS: "look at its target, then: opsbook runs resolve {run} --as done|not-done",
}
INTERRUPTED = "`opsbook runs follow {run}` goes on with it, `opsbook runs cancel {run}` ends it"
GOES_ON = "wait for its end (leave --no-wait out), or end it: opsbook runs cancel {run}"


def told(holders: Sequence[Holder], *, executed: bool) -> tuple[str, str]:
    """A sentence about all of them, and the next step about the first. `executed`: whether a process executes runs."""
    sentences = [f"{one}{_interrupted(one)}" if _lies(one, executed) else str(one) for one in holders]
    first = holders[0]
    step = WAITS_FOR_SOMEBODY.get(RunState(first.state), INTERRUPTED if _lies(first, executed) else GOES_ON)
    return "; ".join(sentences), step.format(run=first.run)


def waited_for(holders: Sequence[Holder]) -> str:
    """What a run that is queued says: who is in the way, and what a person can do where one must."""
    sentence = "; ".join(str(one) for one in holders[:3])
    steps = (WAITS_FOR_SOMEBODY[RunState(one.state)].format(run=one.run) for one in holders if for_somebody(one))
    step = next(steps, "")
    return f"{sentence} → {step}" if step else sentence


def for_somebody(holder: Holder) -> bool:
    """Whether it is held until a person does something, which may be never."""
    return not holder.queued and RunState(holder.state) in WAITS_FOR_SOMEBODY


def _lies(holder: Holder, executed: bool) -> bool:
    """Whether it was interrupted and nobody goes on with it."""
    return not executed and not RunState(holder.state).parked


def _interrupted(holder: Holder) -> str:
    was = f" ({holder.executor})" if holder.executor else ""
    return f": it was interrupted, its process{was} is gone, and nobody executes it"
