"""The work of an open window: the checklist before it, its procedures in order, then the checks that must be well, then
users let in again.

A window with procedures or a checklist is over when they are done; else at its end. What failed is told and not gone
over: the procedures after it wait, and the system stays in maintenance until a person decides. Who submitted what is
read from the runs themselves, so that a watch that died in between submits nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.sweep import sweep
from opsbook.engine.service import Wish
from opsbook.engine.states import RunState
from opsbook.errors import OpsbookError, Refused, UsageError
from opsbook.store import checklists, run_lists, runs
from opsbook.store.checklists import Opened
from opsbook.store.database import reading
from opsbook.store.runs import RunRow
from opsbook.store.windows import Came
from opsbook.upkeep.maintenance import LEAVE
from opsbook.watch.contract import Watch
from opsbook.watch.silences import goes_back, here, in_maintenance
from opsbook.watch.window_acts import written


@dataclass(frozen=True)
class Progress:
    """How far a window's work is."""

    done: bool = False
    """Nothing of it is left: the window may close."""
    runs: str = ""
    """The newest run that belongs to it."""
    waits: str = ""
    """What it waits for, in words; empty where nothing keeps it."""
    trouble: str = ""
    """What went wrong and does not mend by itself; `key` names it, so that it is told once."""
    key: str = ""
    given_up: bool = False
    """Nothing of the work goes on, and nothing will by itself."""


async def advance(watch: Watch, row: Came, now: datetime) -> Progress:
    """Submit what comes next, and say how far it is."""
    window = written(watch.system, row.window)
    names = window.procedures if window else ()
    last, over = "", now.timestamp() >= row.until
    lists = await asyncio.to_thread(_lists, watch, row)
    before = [one for one in lists if window and one.name == window.before]
    if names and not over and (lacking := _unticked(before)):
        return Progress(waits=f"{names[0]} waits: {lacking}")
    for number, name in enumerate(names, start=1):
        # What has begun is gone on with; beyond its end nothing of a window begins any more.
        found = await step(watch, row, name, f"{number}/{len(names)}", too_late=over and number == 1)
        if isinstance(found, Progress):
            return found
        last = found.id
    worked = names or [one for one in lists if not window or one.name != window.before or one.name == window.checklist]
    if lacking := _unticked(lists):
        if not over:
            return Progress(runs=last, waits=lacking)
    elif not worked and not over:
        return Progress(waits="")
    return await _let_in(watch, row, last, now)


async def step(watch: Watch, row: Came, name: str, place: str, *, too_late: bool = False) -> RunRow | Progress:
    """One procedure of a window: its run where that is done, else what is so. Submitted where it was not and it is not
    too late for that."""
    start = datetime.fromtimestamp(row.start, UTC)
    reason = f"window {row.window} {start:%Y-%m-%dT%H:%MZ} {place}"
    mine = await asyncio.to_thread(_asked_by, watch, name, reason)
    if not mine and too_late:
        why = f" ({row.note})" if row.note else ""
        return Progress(trouble=f"{name} did not begin before its window was over{why}", key="late", given_up=True)
    if not mine:
        return await _submit(watch, name, reason)
    return _of_run(name, mine[-1])


def _asked_by(watch: Watch, name: str, reason: str) -> list[RunRow]:
    with reading(watch.setting.store) as connection:
        where = here(watch.system)
        return run_lists.asked_by(connection, where["system"], where["environment"], name, f", {reason},")


def _of_run(name: str, run: RunRow) -> RunRow | Progress:
    state = RunState(run.state)
    if state is RunState.DONE:
        return run
    if state.ended:
        why = f"{name} {state} ({run.message})" if run.message else f"{name} {state}"
        return Progress(
            runs=run.id, trouble=f"{why}: opsbook runs show {run.id}", key=f"run/{run.id}/{state}", given_up=True
        )
    if state.parked:
        told = f"{name} {state}: opsbook runs show {run.id}"
        return Progress(runs=run.id, trouble=told, key=f"run/{run.id}/{state}")
    return Progress(runs=run.id, waits=f"{name} {state}")


async def _submit(watch: Watch, name: str, reason: str) -> Progress:
    service = watch.service(reason)
    try:
        plan = await service.plan(await asyncio.to_thread(service.procedure, name))
        # Not in the thread that writes: policy may look for backups in a bucket, and others write meanwhile.
        run = await asyncio.to_thread(service.submit, plan, Wish())
    except (Refused, UsageError) as error:
        return Progress(trouble=f"{name} may not run: {error.message}", key=f"refused/{name}", given_up=True)
    except OpsbookError as error:
        # It may be reachable again in a minute: it is tried until the window is over, and told once.
        return Progress(trouble=f"{name} could not be planned: {error.message}", key=f"planned/{name}")
    return Progress(runs=run.id, waits=f"{name} {run.state}")


def _lists(watch: Watch, row: Came) -> list[Opened]:
    """The checklists that were opened with it."""
    with reading(watch.setting.store) as connection:
        found = [checklists.by_id(connection, one) for one in row.checklist.split()]
    return [one for one in found if one]


def _unticked(found: Sequence[Opened]) -> str:
    lacks = [one for one in found if one.done_at is None and one.missing]
    if not lacks:
        return ""
    missing = len(lacks[0].missing)
    many = "1 line that is" if missing == 1 else f"{missing} lines that are"
    return f"the checklist {lacks[0].name} has {many} not ticked"


async def _let_in(watch: Watch, row: Came, last: str, now: datetime) -> Progress:
    """Verify, and leave maintenance where this window's time has entered it."""
    if not await watch.setting.in_writer(lambda: entered(watch, row, now)):
        return Progress(done=True, runs=last)
    if bad := await _not_well(watch):
        return Progress(runs=last, waits=f"not well yet: {', '.join(bad)}; the system stays in maintenance")
    left = await step(watch, row, LEAVE, "end")
    return left if isinstance(left, Progress) else Progress(done=True, runs=left.id)


def entered(watch: Watch, row: Came, now: datetime) -> bool:
    """Whether the runs since a window was opened have left the system in maintenance."""
    where, inside = here(watch.system), False
    with reading(watch.setting.store) as connection:
        begin = (row.opened_at or row.start) - 1
        found = run_lists.between(connection, where["system"], where["environment"], begin, now.timestamp() + 1)
        for run in sorted(found, key=lambda one: one.ended_at or now.timestamp()):
            verdict = in_maintenance(run.compiled, runs.steps_of(connection, run.id), back=goes_back(run))
            inside = inside if verdict is None else verdict
    return inside


def asked(system: System, names: Sequence[str]) -> list[Check]:
    """The checks that ids and groups mean."""
    wanted = set(names)
    return [check for check in system.checks if check.id in wanted or wanted & set(check.groups)]


async def _not_well(watch: Watch) -> list[str]:
    checks = asked(watch.system, watch.system.model.maintenance.checks)
    if not checks:
        return []
    watch.connections.forget()
    found = await sweep(watch.system, checks, watch.connections, watch.setting.clock)
    return [f"{one.check.id} {one.state}" for one in found.results if one.state.bad]
