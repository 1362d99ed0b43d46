"""Staging first: an environment that comes `after` another one takes only versions that were brought up well there.

Whoever asks, and however: by `opsbook deploy`, a procedure of the book, the API or a schedule. What counts is what the
steps would bring.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any

from sqlalchemy import Engine

from opsbook.book.system import System
from opsbook.engine.expressions import ExpressionError
from opsbook.engine.procedure import Plan, Procedure, StepKind
from opsbook.engine.record import procedure_from_json
from opsbook.engine.states import RunState
from opsbook.engine.templates import fill_text
from opsbook.store import runs

BRINGS = frozenset({"workload.deploy", "side.bring_up"})
"""Operations that bring a component to a version."""
LOOKED_AT = 1000
"""Good runs of the earlier environment among which a version is looked for."""


def unseen(store: Engine, system: System, plan: Plan) -> tuple[tuple[str, str], ...]:
    """Component and version of what the plan brings and the earlier environment has not had; none without one."""
    if system.environment.after is None:
        return ()
    left_out = {one.step for one in plan.steps if one.skipped}
    wanted = brought(plan.procedure, plan.parameters, left_out)
    if wanted:
        done = [str(RunState.DONE)]
        for run in runs.newest(store, environment=system.environment.after, states=done, limit=LOOKED_AT):
            if run.system == system.model.system and wanted:
                wanted -= _had(run, wanted)
    return tuple(sorted(wanted))


def _had(run: runs.RunRow, wanted: set[tuple[str, str]]) -> set[tuple[str, str]]:
    if not any(version in run.parameters or version in run.compiled for _, version in wanted):
        return set()  # what is compiled is long, and few runs are deploys
    steps = json.loads(run.plan)["steps"]
    left_out = {one["step"] for one in steps if one["skipped"]}
    return brought(procedure_from_json(json.loads(run.compiled)), json.loads(run.parameters), left_out)


def brought(procedure: Procedure, parameters: Mapping[str, Any], left_out: Container[str]) -> set[tuple[str, str]]:
    """Component and version of each step that brings one. A version that only a step before tells is not known."""
    found = set()
    for step in procedure.steps:
        if step.kind is StepKind.OP and step.body["operation"] in BRINGS and step.id not in left_out:
            given = step.body["parameters"]
            try:
                version = str(fill_text(str(given.get("version", "")), parameters))
            except ExpressionError:
                continue
            if version:
                found.add((str(given.get("of", "")), version))
    return found
