"""What drills measured, taken from their runs into the store, and held against what the book promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from opsbook.book.names import WHOLE
from opsbook.book.system import System
from opsbook.connectors.backups.judging import judged_by
from opsbook.connectors.backups.recoverable import Source, recoverable
from opsbook.connectors.change import Json
from opsbook.engine.expressions import evaluate
from opsbook.engine.setting import Setting
from opsbook.engine.states import ENDED, RunState
from opsbook.engine.views import View, view_of
from opsbook.recovery import continuous, failover, rebuilds, restores
from opsbook.recovery.objectives import Judged, Measured, clock, duration, judged
from opsbook.store import drills
from opsbook.store.drills import DrillRow

KINDS = {"drill-restore": "restore", "drill-at": "restore", "drill-rebuild": "rebuild", "drill-failover": "failover"}
"""Kind of the change that a drill is → what is drilled."""

DID = {
    "failover": "failed over, and serves again after",
    "rebuild": "made anew, restored and serving in",
}

# Assertions are judged as every expression of a book is; the rooms below only have their answers.
judged_by(lambda expression, names: bool(evaluate(expression, names)))


def drilled_by(system: System) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Procedure → the book's id of the drill (empty for that of an objective) and the objectives that it measures."""
    return {
        **restores.drilled_by(system), **continuous.drilled_by(system), **failover.drilled_by(system),
        **rebuilds.drilled_by(system),
    }  # fmt: skip


def collect(setting: Setting, system: System) -> None:
    """Note what ended runs of drills measured. Doing it twice does it once. Raises StoreFailed."""
    procedures = drilled_by(system)
    ended = [state for state in ENDED if state not in (RunState.REFUSED, RunState.CANCELLED)]
    for run in drills.unnoted(setting.store, sorted(procedures), ended):
        if run.environment == system.name:
            view = view_of(setting.store, run.id)
            drill, objectives = procedures[run.procedure]
            drills.note(setting.store, [_row(view, drill, objective) for objective in objectives])


def _row(view: View, drill: str, objective: str) -> DrillRow:
    told = result_of(view)
    problems = list(told.get("problems") or ())
    if not told:
        problems = [view.run.message or f"the run ended {view.state}"]
    return DrillRow(
        run=view.run.id, objective=objective, at=float(told.get("at") or view.run.ended_at or view.run.requested_at),
        environment=view.run.environment, drill=drill, kind=kind_of(view), backup=str(told.get("backup", "")),
        stamp=str(told.get("stamp", "")), phases=json.dumps(told.get("phases") or {}), problems=json.dumps(problems),
        restored_seconds=told.get("restored_seconds"), verified_seconds=told.get("verified_seconds"),
        rto_seconds=told.get("rto_seconds"), rpo_seconds=told.get("rpo_seconds"), lost_rows=told.get("lost_rows"),
        bytes=told.get("bytes"), good=bool(told.get("good")),
    )  # fmt: skip


def result_of(view: View) -> dict[str, Any]:
    """What the drill of a run said; empty where it never came to its end."""
    for row in view.changes:
        if json.loads(row.change).get("kind") in KINDS and row.result and not row.undo:
            told = json.loads(row.result)
            if isinstance(told, dict) and "good" in told:
                return told
    return {}


def kind_of(view: View) -> str:
    """What the run drilled."""
    kinds = [KINDS.get(json.loads(row.change).get("kind", ""), "") for row in view.changes]
    return next((kind for kind in kinds if kind), "restore")


def standings(setting: Setting, system: System, now: datetime) -> list[Judged]:
    """Every promise of the book, as it stands now. Blocking: it looks into the stores of backups."""
    collect(setting, system)
    rows = drills.measured(setting.store, system.name)
    found = []
    for name, objective in system.model.objectives.items():
        measured = [_measured(row) for row in rows if row.objective == name]
        found.append(judged(name, objective, measured, list(sources(system, name, now)), now))
    return found


def _measured(row: DrillRow) -> Measured:
    return Measured(
        datetime.fromtimestamp(row.at, UTC), row.good, row.rto_seconds, row.rpo_seconds, row.lost_rows,
        tuple(json.loads(row.problems)), row.run, row.backup or ("standby" if row.kind == "failover" else ""),
    )  # fmt: skip


def sources(system: System, component: str, now: datetime) -> Iterator[Source]:
    """What a component could be recovered from now. `application` and `system` are recovered as their database is."""
    if component in WHOLE:
        component = next(iter(restores.restorable(system)), component)
    yield from recoverable(system, component, now)


def sentence(row: DrillRow, system: System) -> str:
    """A drill in one line: what was measured beside what is promised."""
    if not row.good:
        problems = json.loads(row.problems)
        return f"the drill of {row.objective} failed: {problems[0] if problems else 'nobody knows why'}"
    objective = system.model.objectives.get(row.objective)
    did = DID.get(row.kind, "restored and verified in")
    parts = [f"{did} {clock(row.rto_seconds or 0)}"]
    if objective and objective.rto:
        parts.append(f"promise {clock(objective.rto.total_seconds())}")
    if row.kind == "failover":
        lost = row.lost_rows or 0
        parts.append(f"{lost or 'no'} acknowledged transaction{'' if lost == 1 else 's'} lost")
    else:
        parts.append(f"you would lose {duration(row.rpo_seconds or 0)}" + _rows(row.lost_rows))
    if objective and objective.rpo:
        parts.append(f"promise {_plainly(objective.rpo.total_seconds())}")
    return "; ".join(parts)


def _rows(lost: int | None) -> str:
    return f" ({lost:,} rows)" if lost else ""


def _plainly(seconds: float) -> str:
    """A promise as people say it: 1 h, 5 min."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return duration(seconds)


def kept(row: DrillRow, system: System) -> bool:
    """Whether the drill was good and kept every promise."""
    objective = system.model.objectives.get(row.objective)
    if not row.good:
        return False
    pairs = ((row.rto_seconds, objective.rto), (row.rpo_seconds, objective.rpo)) if objective else ()
    return all(target is None or (value is not None and value <= target.total_seconds()) for value, target in pairs)


def as_json(row: DrillRow, system: System) -> Json:
    """For `--format json`."""
    told = {**vars(row), "phases": json.loads(row.phases), "problems": json.loads(row.problems)}
    objective = system.model.objectives.get(row.objective)
    promise = {
        "rto_seconds": objective.rto.total_seconds() if objective and objective.rto else None,
        "rpo_seconds": objective.rpo.total_seconds() if objective and objective.rpo else None,
    }
    return {**told, "promise": promise, "kept": kept(row, system)}
