"""What is shown of runs: one look at the store, without secrets, the same for every face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine

from opsbook.connectors.change import Json
from opsbook.engine import locks
from opsbook.engine.locks import Held
from opsbook.engine.procedure import Plan, Procedure, Step
from opsbook.engine.record import plan_from_json, procedure_from_json
from opsbook.engine.states import RunState
from opsbook.errors import UsageError
from opsbook.store import runs
from opsbook.store.database import reading


@dataclass(frozen=True)
class View:
    """A run as it stands now."""

    run: runs.RunRow
    steps: dict[str, runs.StepRow] = field(default_factory=dict)
    changes: tuple[runs.ChangeRow, ...] = ()
    approvals: tuple[runs.ApprovalRow, ...] = ()
    acts: tuple[runs.ActRow, ...] = ()
    locks: tuple[Held, ...] = ()
    """What it keeps from other runs."""

    @property
    def state(self) -> RunState:
        return RunState(self.run.state)

    @property
    def waits(self) -> bool:
        """Whether nothing happens until somebody does something, and its executor has seen all that was done."""
        return self.state.parked and self.run.heard >= self.run.woken

    @property
    def procedure(self) -> Procedure:
        return _compiled(self.run.compiled)

    @property
    def plan(self) -> Plan:
        return plan_of(self.run)

    @property
    def last_step(self) -> str:
        """The step that was begun last."""
        begun = [step.id for step in self.procedure.steps if step.id in self.steps]
        return begun[-1] if begun else self.procedure.steps[0].id

    def as_json(self) -> Json:
        """For `--format json` and the API."""
        run = self.run
        return {
            "id": run.id,
            "procedure": run.procedure,
            "title": run.title,
            "environment": run.environment,
            "risk": run.risk,
            "state": run.state,
            "message": run.message,
            "parameters": json.loads(run.parameters),
            "digest": run.digest,
            "book_revision": run.book_revision,
            "requester": run.requester,
            "origin": run.origin,
            "break_glass": run.break_glass or None,
            "rerun_of": run.rerun_of or None,
            "requested_at": run.requested_at,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "crashes": run.crashes,
            "steps": [self._step(step) for step in self.procedure.steps],
            "approvals": [_plain(one, "run") for one in self.approvals],
            "acts": [_plain(one, "run") for one in self.acts],
            "locks": [vars(one) for one in self.locks],
        }

    def _step(self, step: Step) -> Json:
        row = self.steps.get(step.id)
        own = [one for one in self.changes if one.step == step.id]
        return {
            "id": step.id,
            "title": step.title,
            "kind": step.kind.value,
            "risk": step.risk.value,
            "state": row.state if row else "not begun",
            "message": row.message if row else "",
            "started_at": row.started_at if row else None,
            "ended_at": row.ended_at if row else None,
            "changes": [_change(one) for one in own],
        }


@lru_cache(maxsize=16)
def _compiled(text: str) -> Procedure:
    # Who follows a run looks at it ten times a second, and it never changes.
    return procedure_from_json(json.loads(text))


def view_of(store: Engine, run: str) -> View:
    """A run with all that belongs to it. Raises UsageError where the store knows none, or several, of that name."""
    row = find(store, run)
    with reading(store) as connection:
        row = runs.run_of(connection, row.id) or row
        return View(
            row,
            {one.step: one for one in runs.steps_of(connection, row.id)},
            tuple(runs.changes_of(connection, row.id)),
            tuple(runs.approvals_of(connection, row.id)),
            tuple(runs.acts_of(connection, row.id)),
            tuple(locks.held(connection).get(row.id, ())),
        )


def find(store: Engine, text: str) -> runs.RunRow:
    """The run that a person means. Raises UsageError."""
    found = runs.runs_named(store, text) if text else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no run {text!r}", "`opsbook runs` lists them")
    raise UsageError(f"{text!r} is the beginning or end of {len(found)} runs", "write more of it")


def plan_of(run: runs.RunRow) -> Plan:
    """The plan of a run, as it is recorded."""
    return plan_from_json({**json.loads(run.plan), "procedure": json.loads(run.compiled)})


def summary(run: runs.RunRow, held: Sequence[Held] = ()) -> Json:
    """A line of a list of runs."""
    names = (
        "id",
        "procedure",
        "environment",
        "state",
        "message",
        "requester",
        "requested_at",
        "started_at",
        "ended_at",
    )
    told = {name: getattr(run, name) for name in names}
    kept = [vars(one) for one in held]
    return {**told, "state": state_told(run), "rehearsal": run.rehearsal, "locks": kept}


def locks_held(store: Engine) -> dict[str, list[Held]]:
    """What each run that has not ended keeps from others."""
    with reading(store) as connection:
        return locks.held(connection)


REHEARSED = "rehearsed"
"""How a run of a rehearsal is called that came to its end: it is always cancelled there, to be taken back."""


def state_told(run: runs.RunRow) -> str:
    """The state of a run, as lists tell it."""
    return REHEARSED if run.rehearsal and run.state == RunState.CANCELLED else run.state


def _change(row: runs.ChangeRow) -> Json:
    change = json.loads(row.change)
    return {
        "key": row.key,
        "undo": row.undo,
        "attempt": row.attempt,
        "state": row.state,
        "message": row.message,
        "kind": change["kind"],
        "effect": change["effect"],
        "result": json.loads(row.result) if row.result else None,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def _plain(row: Any, *without: str) -> Json:
    return {key: value for key, value in vars(row).items() if key not in without}
