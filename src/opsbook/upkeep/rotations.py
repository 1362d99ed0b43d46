"""The rotations of a book as procedures: new made, distributed, workloads rolled, old proven dead."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.upkeep.templates import filled

RESTART = """\
@number@. @component@ reads it only when it starts.

   ```op id=restart-@component@ timeout=15m
   workload.restart: {of: @component@}
   ```
"""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the procedures of each rotation that opsbook does."""
    for one in system.model.rotations:
        if one.to is None or not system.holds(one.environments):
            continue
        roll = [name for name in one.restart if system.components[name].workload]
        names = {"rotation": one.id, "component": one.of}
        forth = [_restart(3 + n, name) for n, name in enumerate(roll)]
        back = [_restart(2 + n, name) for n, name in enumerate(roll)]
        patience = write_duration(max(one.overlap.total_seconds(), 300)).replace(" ", "")
        last = {"last": str(3 + len(roll)), "patience": patience}
        yield f"rotate-{one.id}", filled("rotate", **names, restarts="\n".join(forth), **last)
        yield f"rotate-{one.id}-back", filled("rotate-back", **names, restarts="\n".join(back))


def _restart(number: int, component: str) -> str:
    return RESTART.replace("@number@", str(number)).replace("@component@", component)
