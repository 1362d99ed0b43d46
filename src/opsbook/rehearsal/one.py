"""The rehearsal of one procedure, from its sample parameters to its verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from opsbook.book.references import MissingSecret, Reference
from opsbook.checks.evaluate import Result
from opsbook.connectors.change import Json
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.engine.facts import RecordedFacts
from opsbook.engine.policy import rule_of
from opsbook.engine.procedure import OnFailure, Plan, Procedure, Step, StepKind
from opsbook.engine.service import Wish
from opsbook.engine.states import RunState, StepState
from opsbook.engine.views import View, view_of
from opsbook.errors import Absent, OpsbookError, Unreachable
from opsbook.rehearsal.comparison import deviations, undo_of
from opsbook.rehearsal.deriving import derived
from opsbook.rehearsal.lacking import absent, needed
from opsbook.rehearsal.model import Outcome, Sample, Undo, Verdict
from opsbook.rehearsal.samples import sample
from opsbook.rehearsal.seeing import MOST_PATIENCE, checks_of, seen, worse
from opsbook.rehearsal.stage import Stopped, Stuck, Unapproved, at_end
from opsbook.rehearsal.staging import END, seconds_at_most, staged, touched
from opsbook.store.rehearsals import Firing

if TYPE_CHECKING:
    from opsbook.rehearsal.conduct import Conductor

_STEP = re.compile(r"step '(?P<step>[^']+)' \(line \d+\): (?P<message>.*)", re.DOTALL)


@dataclass
class One:
    """One procedure in one rehearsal."""

    conductor: Conductor
    procedure: Procedure
    samples: list[Sample] = field(default_factory=list)
    before: Mapping[str, Result] = field(default_factory=dict)
    """The checks before it began."""

    async def rehearse(self) -> Outcome:
        """Its outcome. Never raises for what the procedure or the system does."""
        service = self.conductor.service
        without, goes_on = needed(self.procedure, self._is_set)
        self.samples, missing = sample(self.procedure, service.system, await self._seen())
        if missing:
            without.append(" and ".join(missing) + "; say an example in its front matter")
        if without:
            return self._needs("; ".join(without))
        if goes_on:
            self.conductor.stage.notes.append(f"it goes on without {', '.join(goes_on)}")
        await self.conductor.stage.catch_up()
        if holders := service.in_the_way(self.procedure):
            return self._needs(f"what another run holds: {holders[0]}")
        # What an earlier procedure restarted may still be warming up: this one is not blamed for it.
        conductor = self.conductor
        before = await conductor.settled([check.id for check in service.system.checks], conductor.at_first)
        self.before = before
        for one in worse(conductor.at_first, before):
            conductor.stage.notes.append(f"before it began, {one.check.id} was {one.state}: {one.sentence}")
        try:
            plan = await service.plan(staged(self.procedure), values=self._values())
        except (Unreachable, MissingSecret, Absent, Unsupported) as error:
            return self._needs(_told(error))
        except OpsbookError as error:
            return self._unplanned(error)
        rule = rule_of(service.system.policy, self.procedure.risk, self.procedure.name)
        wish = Wish(confirmed=rule.confirm, new=True, no_wait=True)
        if hard := [one.sentence for one in service.lacking(plan, wish) if one.need != "approval"]:
            return self._needs("; ".join(hard))
        if all(step.kind is StepKind.PERSON for step in self.procedure.steps):
            return replace(self._outcome(Verdict.BY_HAND), message="it can be planned, and all of it is for persons")
        return await self._run(plan, wish, before)

    def _is_set(self, variable: str) -> bool:
        try:
            return bool(self.conductor.service.system.resolve(Reference(f"${{{variable}}}")))
        except MissingSecret:
            return False

    async def _seen(self) -> dict[str, Json]:
        """Values for its parameters that the system itself has."""
        setting, system = self.conductor.service.setting, self.conductor.service.system
        known = {one.name: one.value for one in sample(self.procedure, system)[0]}
        async with setting.connections(system) as connections:
            return await derived(self.procedure, RecordedFacts(system, setting.clock, connections), known)

    async def _run(self, plan: Plan, wish: Wish, before: Mapping[str, Result]) -> Outcome:
        conductor = self.conductor
        checks = [
            one.id
            for one in checks_of(conductor.service.system, touched(self.procedure, self._values()), self.procedure.name)
        ]
        run = conductor.service.submit(plan, wish).id
        conductor.begun(self.procedure, run)
        try:
            view = await conductor.stage.play(run, seconds_at_most(plan))
        except (Unapproved, Stuck, Stopped) as error:
            await self._let_go(run, error.message)
            return replace(self._unended(run, error), run=run)
        self._remember_checks(view)
        if view.state is RunState.AMBIGUOUS:
            return await self._unknown(plan, view)
        if not at_end(view) and view.state is not RunState.DONE:
            return self._failed(plan, view)
        return await self._judge(plan, view, checks, before)

    async def _judge(self, plan: Plan, view: View, checks: list[str], before: Mapping[str, Result]) -> Outcome:
        """Everything was done: hold the checks and the plan against it, and take it back."""
        conductor = self.conductor
        after = await conductor.settled(checks, before, MOST_PATIENCE)
        restored: dict[str, Result] = {}
        if at_end(view):
            try:
                view = await conductor.stage.take_back(view.run.id, "the rehearsal takes back what it did")
            except Stuck as error:
                return replace(self._outcome(Verdict.FAILS, view), step="while it was undone", message=error.message)
            if undo_of(view.changes).undone:
                restored = await conductor.settled(checks, before, MOST_PATIENCE)
        if nothing := self._nothing_done(view):
            return nothing
        undo = undo_of(view.changes)
        differ = tuple(deviations(plan, view.steps, view.changes))
        outcome = replace(
            self._outcome(Verdict.WORKS, view), checks=tuple(seen(before, after, restored)), deviations=differ,
            undo=undo, notes=tuple(self._went_on(view)), went_on=tuple(self._left(view)),
        )  # fmt: skip
        return self._verdict(outcome, view, before, after, restored)

    def _verdict(
        self,
        outcome: Outcome,
        view: View,
        before: Mapping[str, Result],
        after: Mapping[str, Result],
        restored: Mapping[str, Result],
    ) -> Outcome:
        bad, grave = worse(before, after), [one for one in outcome.deviations if one.grave]
        if view.state is RunState.AMBIGUOUS:
            return self._at(outcome, "", f"while it was undone: {view.run.message}")
        if grave:
            return self._at(outcome, grave[0].step, f"it did something else than its plan said: {grave[0].sentence}")
        if bad:
            told = "; ".join(f"{one.check.id} is {one.state}: {one.sentence}" for one in bad)
            return replace(outcome, verdict=Verdict.FAILS, step="after its last step", message=told)
        if outcome.undo.failed:
            step, why = outcome.undo.failed[0]
            return self._at(outcome, step, f"its undo does not work: {why}")
        if bad := worse(before, restored):
            told = "; ".join(f"{one.check.id} is {one.state}: {one.sentence}" for one in bad)
            return replace(outcome, verdict=Verdict.FAILS, step="after its undo", message=told)
        return outcome

    def _failed(self, plan: Plan, view: View) -> Outcome:
        """The run ended, or is ambiguous, before its last step."""
        outcome = replace(
            self._outcome(Verdict.FAILS, view), undo=undo_of(view.changes), notes=tuple(self._went_on(view)),
            deviations=tuple(deviations(plan, view.steps, view.changes)),
        )  # fmt: skip
        if view.state is RunState.REFUSED and not view.steps:
            return replace(outcome, verdict=Verdict.NEEDS, message=view.run.message)
        step = next((name for name in self._order() if self._stopped(view, name)), "")
        row = view.steps.get(step)
        message = view.run.message if view.state is RunState.AMBIGUOUS or row is None else row.message
        return self._because(outcome, step, message or view.run.message or str(view.state))

    def _because(self, outcome: Outcome, step: str, message: str) -> Outcome:
        """The step failed: for what is not there, or for a fault."""
        known = next((one for one in self.procedure.steps if one.id == step), None)
        if known is not None and (lacks := absent(message, known) or self._unwell(known)):
            number = self._order().index(step) + 1
            return replace(outcome, verdict=Verdict.NEEDS, message=f"{lacks} (step {number}, {step})")
        return self._at(outcome, step, message)

    def _unwell(self, step: Step) -> str:
        """A procedure that stops at what was bad before it began has done its part."""
        if step.kind is not StepKind.CHECK:
            return ""
        asked = {str(one) for key in ("checks", "groups") for one in step.body.get(key) or ()}
        bad = [one for one in self.before.values() if one.state.bad and asked & {one.check.id, *one.check.groups}]
        return f"a system that is well: before it began, {bad[0].check.id} was {bad[0].state}" if bad else ""

    def _left(self, view: View) -> list[str]:
        """Steps that failed, and not because a check is bad, which is a finding of the system."""
        kinds = {one.id: one.kind for one in self.procedure.steps if one.on_failure is OnFailure.CONTINUE}
        failed = [name for name, row in view.steps.items() if row.state == StepState.FAILED]
        return [name for name in self._order() if name in failed and kinds.get(name, StepKind.CHECK) != StepKind.CHECK]

    def _nothing_done(self, view: View) -> Outcome | None:
        """Where every step failed and the run went on after each, nothing of it was proven."""
        left = self._left(view)
        real = [one.id for one in self.procedure.steps if one.kind is not StepKind.PERSON]
        if not left or set(left) != set(real):
            return None
        outcome = replace(self._outcome(Verdict.FAILS, view), notes=tuple(self._went_on(view)))
        return self._because(outcome, left[0], view.steps[left[0]].message)

    async def _unknown(self, plan: Plan, view: View) -> Outcome:
        """Nobody knows what became of a change: that is told, and what came before it is taken back."""
        outcome = self._failed(plan, view)
        try:
            after = await self.conductor.stage.let_go(view.run.id, "the rehearsal takes back what it did")
        except OpsbookError as error:
            self.conductor.tell(f"run {view.run.id}: {error.message}")
            return outcome
        return replace(outcome, undo=undo_of(after.changes))

    def _unended(self, run: str, error: OpsbookError) -> Outcome:
        """A run that the rehearsal itself ended."""
        if isinstance(error, Unapproved):
            return self._needs(f"an approval: {_told(error)}")
        if isinstance(error, Stopped):
            return replace(self._outcome(Verdict.LEFT_OUT), message=error.message)
        return self._stuck(view_of(self.conductor.service.setting.store, run), error.message)

    def _stuck(self, view: View, message: str) -> Outcome:
        step = view.last_step if view.steps else ""
        return self._at(self._outcome(Verdict.FAILS, view), "" if step == END else step, message)

    def _stopped(self, view: View, name: str) -> bool:
        row = view.steps.get(name)
        goes_on = next(one.on_failure for one in self.procedure.steps if one.id == name) is OnFailure.CONTINUE
        if row is None or (row.state == StepState.FAILED and goes_on):
            return False
        return row.state in (StepState.FAILED, StepState.AMBIGUOUS, StepState.CANCELLED)

    def _went_on(self, view: View) -> list[str]:
        """Steps that failed and that the procedure goes on after."""
        goes_on = [one.id for one in self.procedure.steps if one.on_failure is OnFailure.CONTINUE]
        rows = [view.steps[name] for name in goes_on if name in view.steps]
        return [f"step {row.step} failed, and the run goes on: {row.message}" for row in rows if row.state == "failed"]

    async def _let_go(self, run: str, why: str) -> None:
        try:
            await self.conductor.stage.take_back(run, why)
        except OpsbookError as error:
            self.conductor.tell(f"run {run}: {error.message}")

    def _remember_checks(self, view: View) -> None:
        """What the procedure's own checks said counts as fired too."""
        for step in self.procedure.steps:
            row = view.steps.get(step.id)
            if step.kind is not StepKind.CHECK or row is None or not row.result:
                continue
            told = json.loads(row.result).get("checks", [])
            at = row.ended_at or 0.0
            fired = [Firing("check", one["check"], one["state"], at) for one in told]
            self.conductor.remember([one for one in fired if one.state in ("warning", "critical")])

    def _unplanned(self, error: OpsbookError) -> Outcome:
        found = _STEP.match(error.message)
        known = next((one for one in self.procedure.steps if found and one.id == found["step"]), None)
        if known is not None and (lacks := absent(error.message, known)):
            return self._needs(f"{lacks} (step {self._order().index(known.id) + 1}, {known.id})")
        message = (found["message"] if found else error.message) + (f" → {error.hint}" if error.hint else "")
        return self._at(
            self._outcome(Verdict.FAILS), found["step"] if found else "", f"it cannot be planned: {message}"
        )

    def _needs(self, what: str) -> Outcome:
        return replace(self._outcome(Verdict.NEEDS), message=what)

    def _at(self, outcome: Outcome, step: str, message: str) -> Outcome:
        number = self._order().index(step) + 1 if step in self._order() else 0
        return replace(outcome, verdict=Verdict.FAILS, number=number, step=step, message=message)

    def _outcome(self, verdict: Verdict, view: View | None = None) -> Outcome:
        one = self.procedure
        return Outcome(
            one.name, one.title, one.risk.value, verdict, steps=len(one.steps), revision=one.revision,
            samples=tuple(self.samples), run=view.run.id if view else "", undo=Undo(),
        )  # fmt: skip

    def _order(self) -> list[str]:
        return [step.id for step in self.procedure.steps]

    def _values(self) -> dict[str, object]:
        return {one.name: one.value for one in self.samples}


def _told(error: OpsbookError) -> str:
    return f"{error.message} → {error.hint}" if error.hint else error.message
