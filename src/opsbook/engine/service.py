"""What every face calls: plan a procedure, ask for a run, see it through, run again from a step. No face has logic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from opsbook.book.words import nearest
from opsbook.engine import digest, gate, locks, obstacles
from opsbook.engine.access import asker_of
from opsbook.engine.compile import PACKAGED, compile_all, compile_named, load_procedures
from opsbook.engine.desk import Desk
from opsbook.engine.earlier import unseen
from opsbook.engine.executor import executed_by
from opsbook.engine.identity import new_run_id
from opsbook.engine.journal import as_text
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.open_windows import windows_open
from opsbook.engine.parameters import parse_parameters
from opsbook.engine.plan import Planner
from opsbook.engine.policy import Circumstances, Missing, missing, refusal, rule_of
from opsbook.engine.procedure import Plan, Procedure
from opsbook.engine.record import as_json, procedure_from_json
from opsbook.engine.setting import book_revision
from opsbook.engine.states import ENDED, RunState, StepState
from opsbook.engine.views import View
from opsbook.engine.windows import holding_freezes
from opsbook.errors import Refused, UsageError
from opsbook.store import audit, runs
from opsbook.store.database import reading, writing
from opsbook.store.tables import steps


@dataclass(frozen=True)
class Wish:
    """How a run is asked for."""

    confirmed: bool = False
    """Whether the requester saw the plan and said yes; without, whatever is planned at the start is done."""
    break_glass: str = ""
    new: bool = False
    """Start another run, even where one that asks for the same has not ended."""
    no_wait: bool = False
    """Refuse instead of waiting for a lock."""
    run: str = ""
    """The id that the run gets; one of its own where left out. A schedule names it, so that it begins once."""


class Service(Desk):
    """The engine for one environment of one book, and one person."""

    def procedures(self) -> dict[str, Procedure]:
        """The procedures of the book and those that come with opsbook. Raises InvalidProcedure."""
        return load_procedures(self.system, self.system.book.catalogue, self.setting.packaged(self.system))

    def compiled(self) -> tuple[dict[str, Procedure], dict[str, list[Mistakes]]]:
        """Those that can be compiled, and the mistakes of the others, by name: one is not broken by another."""
        return compile_all(self.system, self.system.book.catalogue, self.setting.packaged(self.system))

    def procedure(self, name: str) -> Procedure:
        """One of them. Raises InvalidProcedure for its own mistakes alone, UsageError with the nearest name."""
        catalogue = self.system.book.catalogue
        return compile_named(name, self.system, catalogue, lambda: self.setting.packaged(self.system))

    def source(self, procedure: Procedure) -> str:
        """The Markdown of a procedure, also of one that comes with opsbook."""
        if procedure.file.startswith(PACKAGED):
            return self.setting.packaged(self.system)[procedure.name]
        return Path(procedure.file).read_text(encoding="utf-8")

    async def plan(
        self, procedure: Procedure, given: Sequence[str] = (), values: Mapping[str, Any] | None = None
    ) -> Plan:
        """What the procedure would do now. Changes nothing."""
        parameters = parse_parameters(procedure, given, self.system, values)
        async with self.setting.connections(self.system) as connections:
            planner = Planner(self.system, self.setting.clock, connections)
            return await planner.plan(procedure, parameters, book_revision(self.system))

    def lacking(self, plan: Plan, wish: Wish | None = None) -> list[Missing]:
        """What the plan needs before it may happen, as a sentence each."""
        now, book = self.setting.clock.now(), self.system.model
        touched = gate.components_of(plan.procedure)
        rule = rule_of(self.system.policy, plan.procedure.risk, plan.procedure.name)
        circumstances = Circumstances(
            environment=self.system.name,
            windows=windows_open(self.setting.store, self.system, touched, now),
            freezes=holding_freezes(book.freezes, self.system.name, str(book.timezone), now),
            backups=self.setting.backups(self.system, rule),
            components=touched,
            unseen=unseen(self.setting.store, self.system, plan),
            earlier=self.system.environment.after or "",
            confirmed=wish is None or wish.confirmed,
            break_glass=wish.break_glass if wish else "",
        )
        who = asker_of(book.access, self.actor)
        return missing(plan.procedure.risk, rule, self.system.policy, who, circumstances)

    def lock_paths(self, procedure: Procedure) -> tuple[str, ...]:
        """The resource paths that a run of it keeps from other runs."""
        return gate.lock_paths(self.system.model.system, self.system.name, procedure)

    def in_the_way(self, procedure: Procedure) -> list[locks.Holder]:
        """The runs that hold what this procedure needs."""
        paths = gate.lock_paths(self.system.model.system, self.system.name, procedure)
        with reading(self.setting.store) as connection:
            return locks.in_the_way(connection, paths)

    def pending(self, plan: Plan) -> runs.RunRow | None:
        """A run that asks for the same and has not ended: one goes on with it instead of starting a second."""
        with reading(self.setting.store) as connection:
            return runs.alike(connection, digest.likeness(plan.procedure, plan.parameters, plan.environment), ENDED)

    def submit(self, plan: Plan, wish: Wish) -> runs.RunRow:
        """Ask for a run of this plan. Raises Refused for what no waiting mends."""
        if why := refusal(self.lacking(plan, wish)):
            raise Refused(*why)
        if wish.no_wait:
            self.must_be_free(plan.procedure)
        return self._add(plan, wish)

    def must_be_free(self, procedure: Procedure, run: str = "") -> None:
        """Raises Refused where a run other than this one holds what the procedure needs: whose, and what to do."""
        if holders := [one for one in self.in_the_way(procedure) if one.run != run]:
            raise self._taken(holders)

    def _taken(self, holders: Sequence[locks.Holder]) -> Refused:
        return Refused(*obstacles.told(holders, executed=bool(executed_by(self.setting))))

    async def rerun(self, view: View, from_step: str, wish: Wish) -> runs.RunRow:
        """A new run of the same procedure, as it was compiled then, that leaves out the steps before `from_step`."""
        procedure = procedure_from_json(json.loads(view.run.compiled))
        if not view.state.ended:
            raise UsageError(f"run {view.run.id} has not ended: {view.state}", "cancel it first, or let it go on")
        order = [step.id for step in procedure.steps]
        first = from_step or next((name for name in order if not _well(view, name)), "")
        if first not in order:
            hint = nearest(first, order) if first else "name a step with --from"
            raise UsageError(f"{view.run.procedure} has no step {first!r}" if first else "no step of it failed", hint)
        skipped = frozenset(order[: order.index(first)])
        if bad := sorted(name for name in skipped if not _well(view, name)):
            raise UsageError(f"step {bad[0]} of run {view.run.id} was not done", f"run again from it: --from {bad[0]}")
        async with self.setting.connections(self.system) as connections:
            planner = Planner(self.system, self.setting.clock, connections)
            parameters = json.loads(view.run.parameters)
            plan = await planner.plan(procedure, parameters, book_revision(self.system), skipped)
        if why := refusal(self.lacking(plan, wish)):
            raise Refused(*why)
        return self._add(plan, wish, of=view, first=first, skipped=skipped)

    def _add(
        self,
        plan: Plan,
        wish: Wish,
        *,
        of: View | None = None,
        first: str = "",
        skipped: frozenset[str] = frozenset(),
    ) -> runs.RunRow:
        self.setting.check_audit()
        procedure, now = plan.procedure, self.setting.clock.now()
        values = {
            "id": wish.run or new_run_id(now),
            "system": self.system.model.system,
            "environment": self.system.name,
            "book": str(self.system.book.path.absolute()),
            "book_revision": plan.book_revision,
            "procedure": procedure.name,
            "title": procedure.title,
            "risk": procedure.risk.value,
            "compiled": as_text(as_json(procedure)),
            "parameters": as_text(plan.parameters),
            "plan": as_text({**as_json(plan), "procedure": None}),
            "digest": plan.digest,
            "likeness": digest.likeness(procedure, plan.parameters, plan.environment),
            "state": RunState.SUBMITTED.value,
            "requester": self.actor.name,
            "origin": self.actor.origin,
            "asked_as": self.actor.asked_as,
            "confirmed": plan.digest if wish.confirmed else "",
            "break_glass": wish.break_glass,
            "rerun_of": of.run.id if of else "",
            "from_step": first,
            "requested_at": now.timestamp(),
        }
        detail = {"parameters": plan.parameters, "environment": self.system.name, "risk": procedure.risk.value}
        detail |= {"break_glass": wish.break_glass} if wish.break_glass else {}
        detail |= {"rerun_of": of.run.id, "from": first} if of else {}
        act = audit.Act(
            now.timestamp(), self.actor.name, self.actor.origin, "requested", str(values["id"]), None, None,
            procedure.name, plan.digest, "", detail,
        )  # fmt: skip
        at_once = wish.no_wait and not self.lacking(plan, wish)
        with writing(self.setting.store) as connection:
            runs.add(connection, **values)
            for number, step in enumerate(procedure.steps):
                if of and step.id in skipped:
                    done = of.steps[step.id]
                    row = {**vars(done), "run": values["id"], "position": number, "state": StepState.SKIPPED.value}
                    connection.execute(steps.insert().values({**row, "message": f"run {of.run.id} did it"}))
            audit.append(connection, [act])
            if at_once:
                self._queue_at_once(connection, procedure, str(values["id"]))
            added = runs.run_of(connection, str(values["id"]))
        assert added is not None
        return added

    def _queue_at_once(self, connection: Connection, procedure: Procedure, run: str) -> None:
        """Its ticket is drawn in the transaction that submits it: of two at once that would not wait, one is refused.

        A run that must be approved first draws none: it would keep others out while it waits.
        """
        paths = gate.lock_paths(self.system.model.system, self.system.name, procedure)
        if not paths:
            return
        ticket = locks.queue(connection, run, paths, self.setting.now())
        if ahead := locks.in_the_way(connection, paths, run, ticket):
            raise self._taken(ahead)


def _well(view: View, step: str) -> bool:
    row = view.steps.get(step)
    return row is not None and row.state in (StepState.DONE, StepState.SKIPPED)
