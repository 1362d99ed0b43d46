"""The rotations of a book as procedures: new made, distributed, workloads rolled, old proven dead."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.upkeep.templates import filled, restarted


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the procedures of each rotation that opsbook does."""
    for one in system.model.rotations:
        if one.to is None or not system.holds(one.environments):
            continue
        roll = [name for name in one.restart if system.components[name].workload]
        names = {"rotation": one.id, "component": one.of}
        patience = write_duration(max(one.overlap.total_seconds(), 300)).replace(" ", "")
        restarts, last = restarted(roll, first=3), 3 + len(roll)
        if one.previous is not None:
            allowed = write_duration(one.overlap.total_seconds() + 300).replace(" ", "")
            restarts += "\n" + filled("rotate-expire", **names, number=str(last), allowed=allowed)
            restarts += restarted(roll, first=last + 1, again="-again")
            last += 1 + len(roll)
        more = {"last": str(last), "patience": patience}
        yield f"rotate-{one.id}", filled("rotate", **names, restarts=restarts, **more)
        yield f"rotate-{one.id}-back", filled("rotate-back", **names, restarts=restarted(roll, first=2))
