"""What people do to runs: approve, cancel, resolve, tick, run again. Each is one transaction with its audit record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import IntegrityError

from opsbook.book.system import System
from opsbook.engine import digest
from opsbook.engine.access import Actor, asker_of
from opsbook.engine.parameters import names_of_parameters
from opsbook.engine.policy import glass_stays, rule_of
from opsbook.engine.record import planned_from_json
from opsbook.engine.results import saved
from opsbook.engine.setting import Setting
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.engine.views import View
from opsbook.engine.waiting import items_with
from opsbook.errors import Refused, UsageError
from opsbook.store import audit, runs
from opsbook.store.database import StoreFailed, writing
from opsbook.store.tables import acts, approvals, changes


def what_waits(view: View) -> tuple[str, str]:
    """The step (empty: the whole plan) and the digest that wait for a yes."""
    for row in view.steps.values():
        if row.state == StepState.WAITING and row.planned and view.state is RunState.APPROVAL:
            return row.step, digest.step_digest(planned_from_json(json.loads(row.planned)))
    return "", view.run.digest


def approve(setting: Setting, system: System, view: View, actor: Actor, seen: str) -> None:
    """Say yes to what was seen: the digest `seen`. Raises Refused for who may not, or where it is another plan now."""
    step, wanted = what_waits(view)
    if view.state.ended:
        raise UsageError(f"run {view.run.id} has ended: {view.state}", "there is nothing to approve")
    if not wanted.startswith(seen) or len(seen) < 8:
        raise Refused(
            f"the plan of run {view.run.id} is not the one that was shown (now {wanted[:12]})",
            f"look at it again: `opsbook approve {view.run.id}`",
        )
    risk = next((one.risk for one in view.procedure.steps if one.id == step), view.procedure.risk)
    rule = rule_of(system.policy, risk, view.run.procedure)
    own = actor.name == view.run.requester
    if own and rule.approvals:
        raise Refused(
            f"{actor.name} asked for run {view.run.id} and cannot approve it", "another person must: `opsbook approve`"
        )
    if not own and not asker_of(system.model.access, actor).one_of(rule.approvers):
        raise Refused(f"{actor.name} may not approve {risk} plans", f"it needs the role {' or '.join(rule.approvers)}")
    row = {
        "run": view.run.id, "step": step, "digest": wanted, "approver": actor.name, "origin": actor.origin,
        "at": setting.now(), "void": "",
    }  # fmt: skip

    def write(connection: Connection) -> None:
        connection.execute(insert(approvals).values(row))
        if own and not step:
            runs.change_run(connection, view.run.id, confirmed=wanted)

    try:
        _act(setting, view, actor, "approved", write, {"step": step, "digest": wanted})
    except StoreFailed as error:
        if isinstance(error.__cause__, IntegrityError):
            raise UsageError(f"{actor.name} has approved this plan already", "others must say yes too") from error
        raise


def break_glass(setting: Setting, system: System, view: View, actor: Actor, reason: str) -> None:
    """Let a run that waits pass approvals and windows, for a reason that is recorded."""
    if refusal := glass_stays(system.policy, asker_of(system.model.access, actor)):
        raise Refused(refusal, "another person can approve it: `opsbook approve`")

    def write(connection: Connection) -> None:
        runs.change_run(connection, view.run.id, break_glass=reason)

    _act(setting, view, actor, "glass broken", write, {"reason": reason})


def cancel(setting: Setting, view: View, actor: Actor, reason: str, *, undo: bool) -> None:
    """Ask a run to stop: what it is in the middle of is ended, and undone where that was asked for."""
    if view.state.ended:
        raise UsageError(f"run {view.run.id} has ended: {view.state}", "there is nothing to cancel")
    if view.state is RunState.AMBIGUOUS:
        raise Refused(
            f"run {view.run.id} is ambiguous: {view.run.message}",
            f"say what became of it first: `opsbook runs resolve {view.run.id} --as done|not-done`",
        )
    asked = json.dumps({"actor": actor.name, "reason": reason, "undo": undo})

    def write(connection: Connection) -> None:
        runs.change_run(connection, view.run.id, cancel=asked)

    _act(setting, view, actor, "cancel asked", write, {"reason": reason, "undo": undo})


def resolve(
    setting: Setting, view: View, actor: Actor, decided: Literal["done", "not-done"], note: str, give_up: str = ""
) -> str:
    """Say what became of the change that is ambiguous. Returns its key.

    With `give_up`, a reason, the run is cancelled and undone in the same act: nothing is tried again in between.
    """
    ambiguous = [row for row in view.changes if row.state == ChangeState.AMBIGUOUS]
    if not ambiguous:
        raise UsageError(f"run {view.run.id} has no change that is ambiguous", "`opsbook runs show` tells more")
    row = ambiguous[0]
    state = ChangeState.DONE if decided == "done" else ChangeState.NOT_DONE
    message = f"{actor.name} says: {decided}" + (f" ({note})" if note else "")

    def write(connection: Connection) -> None:
        known = (changes.c.key == row.key) & (changes.c.state == ChangeState.AMBIGUOUS.value)
        statement = update(changes).where(known).values(state=state.value, message=message, ended_at=setting.now())
        if not connection.execute(statement).rowcount:
            raise Refused(f"somebody else has resolved {row.key} already", f"`opsbook runs show {view.run.id}`")
        if give_up:
            asked = json.dumps({"actor": actor.name, "reason": give_up, "undo": True})
            runs.change_run(connection, view.run.id, cancel=asked)

    _act(setting, view, actor, "resolved", write, {"change": row.key, "as": decided, "note": note})
    return row.key


def tick(setting: Setting, view: View, actor: Actor, item: int | None, note: str) -> str:
    """Say that an act of the step that waits is done; without a number, its next one. Returns the act."""
    waiting = [step for step in view.procedure.steps if step.id in view.steps]
    step = waiting[-1] if waiting else None
    if view.state is not RunState.PERSON or step is None:
        raise UsageError(f"run {view.run.id} waits for no person: {view.state}", "`opsbook runs` shows what waits")
    found = saved(view.procedure, view.steps)
    names = {**names_of_parameters(view.procedure, json.loads(view.run.parameters)), **found, "saved": found}
    items = items_with(step, names)
    ticked = {act.item for act in view.acts if act.step == step.id}
    number = next(n for n in range(len(items)) if n not in ticked) if item is None else item
    if not 0 <= number < len(items) or number in ticked:
        raise UsageError(f"step {step.id} has no open act {number + 1}", f"it has {len(items)}")
    row = {
        "run": view.run.id, "step": step.id, "item": number, "actor": actor.name, "origin": actor.origin,
        "note": note, "at": setting.now(),
    }  # fmt: skip

    def write(connection: Connection) -> None:
        connection.execute(insert(acts).values(row))

    _act(setting, view, actor, "act done", write, {"step": step.id, "item": items[number], "note": note})
    return items[number]


def _act(
    setting: Setting,
    view: View,
    actor: Actor,
    event: str,
    write: Callable[[Connection], None],
    detail: dict[str, object],
) -> None:
    run = view.run
    setting.check_audit()
    act = audit.Act(
        setting.now(), actor.name, actor.origin, event, run.id, None, None, run.procedure, run.digest, "", detail
    )
    with writing(setting.store) as connection:
        write(connection)
        runs.wake(connection, run.id)
        audit.append(connection, [act])
    setting.write_head()
