"""Making plans: what a procedure would do now, step by step. Changes nothing.

A step whose templates need a result that is not there yet is deferred: it is planned, and gated again, when it is
reached. One that touches a component which an earlier step changes is planned now and again then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from opsbook.book.system import System
from opsbook.clock import Clock
from opsbook.connectors.contract import Connections
from opsbook.engine.digest import canonical, sealed
from opsbook.engine.expressions import ExpressionError, holds, saved_of
from opsbook.engine.fact_names import facts_of, nested
from opsbook.engine.facts import RecordedFacts
from opsbook.engine.fences import changes_of, component_of, undoing
from opsbook.engine.parameters import names_of_parameters
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step, StepKind
from opsbook.engine.record import as_json
from opsbook.engine.values import fill
from opsbook.errors import OpsbookError


class Planner:
    """Plans the steps of one procedure in one system, through one set of connections."""

    def __init__(self, system: System, clock: Clock, connections: Connections) -> None:
        self.system, self.clock, self.connections = system, clock, connections

    async def plan(
        self,
        procedure: Procedure,
        parameters: Mapping[str, Any],
        book_revision: str,
        skip: frozenset[str] = frozenset(),
    ) -> Plan:
        """The whole plan with its digest. Steps in `skip` are left out: an earlier run did them.

        Raises Refused, Unreachable, ReadFailed or UsageError with the step that they are about.
        """
        planned: list[PlannedStep] = []
        touched: dict[str, str] = {}
        for step in procedure.steps:
            if step.id in skip:
                planned.append(PlannedStep(step.id, step.risk, skipped="an earlier run did it"))
                continue
            try:
                one = await self.step(procedure, step, parameters, {}, touched)
            except OpsbookError as error:
                if not error.message.startswith("step "):
                    error.message = f"step {step.id!r} (line {step.line}): {error.message}"
                raise
            planned.append(one)
            if one.changes:
                touched.setdefault(component_of(step), step.id)
        return sealed(Plan(procedure, dict(parameters), self.system.name, book_revision, tuple(planned), digest=""))

    async def step(
        self,
        procedure: Procedure,
        step: Step,
        parameters: Mapping[str, Any],
        saved: Mapping[str, Any],
        touched: Mapping[str, str],
    ) -> PlannedStep:
        """One step as it would be now. `saved` are results of steps that ran, `touched` components they changed."""
        lacking = [name for name in step.needs if name not in saved]
        if lacking:
            # A condition that reads what is not there yet, if only to ask whether it is, cannot be judged yet.
            if step.when and not saved_of(step.when, lacking) and self._is_left_out(procedure, step, parameters, saved):
                return PlannedStep(step.id, step.risk, skipped=f"`{step.when}` does not hold")
            return PlannedStep(step.id, step.risk, deferred=f"it reads {' and '.join(lacking)}, which is not there yet")
        facts = RecordedFacts(self.system, self.clock, self.connections)
        names = await self.names(procedure, step, parameters, saved, facts)
        if not holds(step.when, names):
            return PlannedStep(step.id, step.risk, skipped=f"`{step.when}` does not hold", facts=facts.recorded)
        filled = fill(step, names, self.system)
        back = await undoing(step, names, facts)
        changes = [change async for change in changes_of(step, filled, facts)]
        told = [as_json(change if back is None else replace(change, inverse=back)) for change in changes]
        follows = touched.get(component_of(step, filled), "") if step.kind is StepKind.OP else ""
        return PlannedStep(step.id, step.risk, tuple(told), facts=facts.recorded, follows=follows)

    async def names(
        self,
        procedure: Procedure,
        step: Step,
        parameters: Mapping[str, Any],
        saved: Mapping[str, Any],
        facts: RecordedFacts,
    ) -> dict[str, Any]:
        """What the templates and conditions of a step can read."""
        found = {}
        for fact in facts_of(step, self.system, self.system.book.catalogue):
            found[fact] = (await facts.observe(fact.observation, fact.component)).value
        return {**self._given(procedure, parameters, saved), "facts": nested(found)}

    def _given(self, procedure: Procedure, parameters: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
        """What is known without a look at the system."""
        return {
            "environment": self.system.name,
            "system": self.system.model.system,
            **names_of_parameters(procedure, parameters),
            **saved,
            "saved": dict(saved),
        }

    def _is_left_out(
        self, procedure: Procedure, step: Step, parameters: Mapping[str, Any], saved: Mapping[str, Any]
    ) -> bool:
        """Whether its condition says no already, whatever the results that are not there yet will be."""
        try:
            return not holds(step.when, self._given(procedure, parameters, saved))
        except ExpressionError:
            return False


def reads_facts(step: Step) -> bool:
    """Whether what a step does can change with the facts, without a result that it needs."""
    return step.kind is StepKind.OP or "facts." in canonical(as_json(step))
