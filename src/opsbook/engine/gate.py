"""Before a run begins: approvals, locks, and the plan made again and held against the one that was approved.

No locks are held while a run waits for approval. Under its locks it plans again: where the plan differs from what was
approved or confirmed, the yes is void, the difference is said, and a new yes is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from sqlalchemy import update

from opsbook.book.catalogue import Risk
from opsbook.engine import digest, locks
from opsbook.engine.access import requester_of
from opsbook.engine.earlier import unseen
from opsbook.engine.execution import Execution
from opsbook.engine.fences import component_of
from opsbook.engine.journal import as_text
from opsbook.engine.obstacles import waited_for
from opsbook.engine.open_windows import windows_open
from opsbook.engine.policy import Circumstances, Missing, missing, refusal
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step
from opsbook.engine.record import as_json
from opsbook.engine.setting import Write, book_revision
from opsbook.engine.states import RunState
from opsbook.engine.windows import holding_freezes
from opsbook.errors import OpsbookError, Refused
from opsbook.store import runs
from opsbook.store.database import reading, writing
from opsbook.store.tables import approvals

LOCK_SECONDS = 0.25
"""How often a run that waits for its locks looks again."""

Passed = Literal["passed", "waits", "ended"]


async def prepare(execution: Execution) -> tuple[Passed, RunState, str]:
    """Bring a run to its first step, to waiting for somebody, or to its end with a reason."""
    ages = await _backups(execution)
    if blocked := _blocked(lacking(execution, ages)):
        return blocked
    if not await _take_locks(execution):
        return "ended", RunState.CANCELLED, "it was cancelled before it began"
    skip = frozenset(name for name, row in execution.steps.items() if row.state == "skipped")
    try:
        planner = await execution.planner()
        plan = await planner.plan(execution.procedure, execution.parameters, book_revision(execution.system), skip)
    except OpsbookError as error:
        state = RunState.REFUSED if isinstance(error, Refused) else RunState.FAILED
        return "ended", state, f"it could not be planned: {error.message}" + (f" → {error.hint}" if error.hint else "")
    moved = digest.differences(execution.plan, plan) if plan.digest != execution.run.digest else []
    remember(execution, plan)
    if moved and (blocked := _blocked(lacking(execution, ages))):
        _void(execution, "", moved)
        _release(execution)
        return blocked[0], blocked[1], "the plan changed: " + "; ".join(moved)
    execution.just_planned = True
    return "passed", RunState.RUNNING, ""


async def _backups(execution: Execution) -> Mapping[str, timedelta] | None:
    # In a thread: it looks at where backups are stored.
    return await asyncio.to_thread(execution.setting.backups, execution.system, execution.rule())


def lacking(execution: Execution, backups: Mapping[str, timedelta] | None = None) -> list[Missing]:
    """What the run needs and does not have now."""
    run, system = execution.run, execution.system
    now = execution.setting.clock.now()
    book = system.model
    touched = components_of(execution.procedure)
    circumstances = Circumstances(
        environment=system.name,
        approvers=approvers(execution, "", run.digest),
        windows=windows_open(execution.setting.store, system, touched, now),
        freezes=holding_freezes(getattr(book, "freezes", ()), system.name, str(book.timezone), now),
        backups=backups,
        components=touched,
        unseen=unseen(execution.setting.store, system, execution.plan),
        earlier=system.environment.after or "",
        confirmed=bool(run.confirmed),
        break_glass=run.break_glass,
    )
    who = requester_of(book.access, run.requester, run.asked_as)
    found = missing(execution.procedure.risk, execution.rule(), system.policy, who, circumstances)
    if run.confirmed not in ("", run.digest) and not run.break_glass and not circumstances.approvers:
        told = f"the plan is not the one that {run.requester} confirmed: it needs a new yes"
        found.append(Missing("approval", told, 0))
    return found


def approvers(execution: Execution, step: str, wanted: str) -> frozenset[str]:
    """Who said yes to this digest, and whose yes still counts."""
    lasts: timedelta = execution.system.policy.approval_lasts
    oldest = execution.setting.now() - lasts.total_seconds()
    with reading(execution.setting.store) as connection:
        given = runs.approvals_of(connection, execution.run.id)
    return frozenset(
        one.approver for one in given if one.step == step and one.digest == wanted and not one.void and one.at >= oldest
    )


def components_of(procedure: Procedure) -> tuple[str, ...]:
    """The components that a procedure changes."""
    changing = (step for step in procedure.steps if step.risk is not Risk.READ)
    return tuple(sorted({name for step in changing if (name := component_of(step))}))


def lock_paths(system: str, environment: str, procedure: Procedure) -> tuple[str, ...]:
    """The resource paths of a run: of the whole system in its environment where the procedure names none."""
    if procedure.risk is Risk.READ:
        return ()
    root = f"{system}/{environment}"
    return locks.in_order(f"{root}/{path}" for path in procedure.lock) or (root,)


def remember(execution: Execution, plan: Plan) -> None:
    """The plan that was made is the run's plan from now on."""
    if plan.digest != execution.run.digest:
        told = {"before": execution.run.digest, "after": plan.digest}
        recorded = as_text({**as_json(plan), "procedure": None})
        execution.set_run(plan=recorded, digest=plan.digest, book_revision=plan.book_revision)
        execution.journal.tell("planned anew", detail=told)
    execution.plan = plan


def step_gate(execution: Execution, step: Step, planned: PlannedStep) -> str | None:
    """Why a step that is planned when it is reached must wait for a yes; None where it may go on."""
    run, before = execution.run, next(one for one in execution.plan.steps if one.step == step.id)
    if planned is before or not planned.changes or run.break_glass:
        return None
    wanted = digest.step_digest(planned)
    if wanted == execution.plan.step_digests[step.id]:
        return None
    rule = execution.rule(step)
    itself = requester_of(execution.system.model.access, run.requester, run.asked_as).itself
    needed = 0 if itself and rule.unattended else rule.approvals
    if before.deferred:
        why = f"step {step.id} could only be planned now"
    else:
        why = "the plan changed: " + "; ".join(digest.step_differences(before, planned))
        needed = max(needed, 1 if run.confirmed else 0)
    given = approvers(execution, step.id, wanted)
    if rule.approvals:
        given -= {run.requester}
    return None if len(given) >= needed else why


def releasing(run: str) -> Write:
    """Gives back what the run holds."""
    return lambda connection: locks.release(connection, run)


def _blocked(lacks: list[Missing]) -> tuple[Passed, RunState, str] | None:
    if not lacks:
        return None
    if why := refusal(lacks):
        return "ended", RunState.REFUSED, " → ".join(why)
    return "waits", RunState.APPROVAL, "; ".join(one.sentence for one in lacks)


async def _take_locks(execution: Execution) -> bool:
    """Wait for all locks of the run; False where it was cancelled meanwhile."""
    paths = lock_paths(execution.run.system, execution.run.environment, execution.procedure)
    if not paths or execution.journal.fence:
        return True
    run, setting = execution.run.id, execution.setting
    told = ""

    def attempt() -> int | list[locks.Holder]:
        with writing(setting.store) as connection:
            locks.queue(connection, run, paths, setting.now())
            return locks.take(connection, run, setting.now())

    while True:
        taken = await setting.in_writer(attempt)
        if isinstance(taken, int):
            execution.journal.fence = taken
            if told:
                execution.set_run(state=RunState.RUNNING.value, message="")
            return True
        sentence = waited_for(taken)
        if sentence != told:
            told = sentence
            execution.set_run(state=RunState.QUEUED.value, message=sentence)
            await execution.commit()
        if execution.cancelled.is_set():
            return False
        try:
            async with asyncio.timeout(LOCK_SECONDS):
                await execution.cancelled.wait()
        except TimeoutError:
            continue


def _void(execution: Execution, step: str, why: list[str]) -> None:
    run, reason = execution.run, "the plan changed: " + "; ".join(why)
    stale = (approvals.c.run == run.id) & (approvals.c.step == step) & (approvals.c.void == "")
    statement = update(approvals).where(stale & (approvals.c.digest != run.digest)).values(void=reason)
    execution.journal.also([lambda connection: connection.execute(statement)])
    execution.journal.tell("approvals void", detail={"because": why})


def _release(execution: Execution) -> None:
    execution.journal.also([releasing(execution.run.id)])
    # Zero is not checked: this very transaction gives the locks back.
    execution.journal.fence = 0
