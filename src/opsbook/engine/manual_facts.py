"""What a rendered manual says of procedures: as they were compiled, when they last ran and were rehearsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from opsbook.book.system import System
from opsbook.book.units import show_duration
from opsbook.engine.compile import load_procedures
from opsbook.engine.fences import component_of
from opsbook.engine.procedure import OnFailure, Parameter, Procedure, Step, StepKind
from opsbook.engine.setting import book_revision
from opsbook.engine.states import RunState
from opsbook.manual.render.facts import Facts, LastRun, ParameterFact, ProcedureFact, StepFact
from opsbook.store import rehearsals

USUAL_SECONDS = 300.0
"""What a step may take unless it says otherwise: not worth a word."""
HEARD = {OnFailure.CONTINUE: "goes on if it fails", OnFailure.UNDO: "undoes everything if it fails"}


def manual_facts(system: System, store: Engine | None) -> Facts:
    """The facts of a manual. Without a store nothing ever ran. Raises InvalidProcedure."""
    found = load_procedures(system, system.book.catalogue)
    zone = ZoneInfo(system.model.timezone)
    last = _last_runs(store, zone) if store is not None else {}
    tried = rehearsals.last_results(store) if store is not None else {}
    told = []
    for name, one in found.items():
        row = tried.get(name)
        rehearsal = None
        if row is not None:
            at = datetime.fromtimestamp(row.at, UTC).astimezone(zone)
            # A step has an id; what failed at none of them is said in words.
            where = f"at {row.step}" if row.step and " " not in row.step else row.step
            outcome = f"{row.verdict} {where}".strip() if row.verdict == "fails" else row.verdict
            rehearsal = LastRun(at, outcome, row.verdict == "works", row.environment, row.message)
        as_is = row is None or row.revision == one.revision
        told.append(_procedure(one, last.get(name), rehearsal, as_is))
    return Facts(tuple(told), revision=book_revision(system))


def _last_runs(store: Engine, zone: ZoneInfo) -> Mapping[str, LastRun]:
    return {
        name: LastRun(datetime.fromtimestamp(at, UTC).astimezone(zone), state, state == RunState.DONE, where, message)
        for name, at, state, where, message in rehearsals.last_real_runs(store)
    }


def _procedure(one: Procedure, run: LastRun | None, rehearsal: LastRun | None, as_is: bool) -> ProcedureFact:
    return ProcedureFact(
        name=one.name,
        title=one.title,
        risk=one.risk,
        text=Path(one.file).read_text(encoding="utf-8"),
        steps=tuple(_step(number, step) for number, step in enumerate(one.steps, 1)),
        parameters=tuple(_parameter(given) for given in one.parameters),
        owner=one.owner,
        objective=one.objective,
        lock=one.lock,
        last_run=run,
        last_rehearsal=rehearsal,
        rehearsed_as_is=as_is,
    )


def _parameter(one: Parameter) -> ParameterFact:
    default, example = (None if value is None else _shown(value) for value in (one.default, one.example))
    return ParameterFact(one.name, one.type, one.required, default, example, one.choices, one.doc)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _step(number: int, step: Step) -> StepFact:
    return StepFact(number, step.line, step.kind.value, step.risk, step.title, tuple(_remarks(step)))


def _remarks(step: Step) -> Iterator[str]:
    """What the attributes of its fence say, in words."""
    if step.kind is not StepKind.OP and (component := component_of(step)):
        yield f"on {component}"
    if step.env:
        yield f"with the variables {', '.join(step.env)}"
    if step.when:
        yield f"only when {step.when}"
    if step.timeout not in (0.0, USUAL_SECONDS):
        yield f"at most {show_duration(step.timeout)}"
    if step.retry:
        yield f"tried again {step.retry} times" if step.retry > 1 else "tried again once"
    if step.expect:
        yield f"expects {step.expect}"
    if step.on_failure in HEARD:
        yield HEARD[step.on_failure]
    if step.undo:
        yield "has an undo of its own"
