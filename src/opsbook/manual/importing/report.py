"""The report of an import as plain data: what was understood, what became of each command, what a person decides."""

from __future__ import annotations

from collections import Counter
from typing import Any

from opsbook.manual.importing.literals import masked
from opsbook.manual.importing.make import Import
from opsbook.manual.importing.openings import FILE
from opsbook.manual.importing.procedures import Written
from opsbook.manual.importing.readiness import as_imported
from opsbook.manual.lift.model import Form, Step, Why

KINDS = (
    "metrics",
    "objectives",
    "backups",
    "severities",
    "escalation",
    "maintenance_windows",
    "retention",
    "procedures",
    "checklists",
    "contacts",
)
NAMES = {
    Form.OP: "operations",
    Form.CHECK: "checks",
    Form.SQL: "queries",
    Form.HTTP: "requests",
    Form.PROMQL: "PromQL queries",
    Form.SH: "shell steps",
    Form.PERSON: "left to a person",
}


def report(made: Import) -> dict[str, Any]:
    """Everything that the report tells, in the order in which it is told."""
    counted = [(one, step) for one, step in made.steps if step.commands]
    return {
        "system": made.system,
        "manuals": [source.name for source in made.sources],
        "understood": understood(made),
        "counts": counts([step for _, step in counted]),
        "lifted": [_lifted(one.source.place(step.line), one.name, step) for one, step in counted if step.form.lifted],
        "stays": [_stays(one.source.place(step.line), one.name, step) for one, step in counted if not step.form.lifted],
        "missing_operations": dict(
            sorted(Counter(step.needs for _, step in counted if step.needs and not step.form.lifted).items())
        ),
        "mended": [vars(one) for one in made.mended],
        "remaining": [vars(one) for one in made.remaining],
        "contradictions": [vars(one) for one in made.notes.contradictions],
        "decide": [vars(one) for one in made.notes.decide],
        "addresses": {"file": FILE, "open": [vars(one) for one in made.openings]},
        "procedures": [_procedure(one) for one in made.procedures],
    }


def _procedure(one: Written) -> dict[str, Any]:
    state, why = as_imported(one)
    return {
        "name": one.name,
        "title": one.title,
        "place": one.place,
        "steps": len(one.steps),
        "lifted": sum(step.form.lifted for step in one.steps),
        "shell": sum(step.form is Form.SH for step in one.steps),
        "as_imported": state,
        "needs": why,
    }


def understood(made: Import) -> dict[str, list[str]]:
    """Kind → the lines on which its items stand."""
    found: dict[str, list[str]] = {"components": [f"{p.name} ({p.kind})" for p in made.inventory.parts.values()]}
    for kind in KINDS:
        lines = [source.place(item.line) for source in made.sources for item in getattr(source.manual, kind)]
        if lines:
            found[kind.replace("_", " ")] = lines
    return found


def counts(steps: list[Step]) -> dict[str, Any]:
    """How many commands became what, and the share of those that address a component of the book."""
    by_form: Counter[str] = Counter()
    why: Counter[str] = Counter()
    addressed = lifted = 0
    for step in steps:
        by_form[NAMES[step.form]] += step.commands
        if not step.form.lifted:
            why[str(step.why or Why.PROGRAM)] += step.commands
        if step.component:
            addressed += step.commands
            lifted += step.commands * step.form.lifted
    order = [str(each) for each in Why]
    return {
        "commands": sum(by_form.values()),
        "became": {name: by_form[name] for name in NAMES.values() if by_form[name]},
        "stay_because": {text: why[text] for text in order if why[text]},
        "address_a_component": addressed,
        "of_these_lifted": lifted,
        "share_lifted": round(lifted / addressed, 3) if addressed else None,
    }


def _lifted(place: str, procedure: str, step: Step) -> dict[str, Any]:
    name = (
        next(iter(step.body))
        if step.form is Form.OP
        else ", ".join(step.body)
        if step.form is Form.CHECK
        else step.form.value
    )
    return {
        "place": place,
        "procedure": procedure,
        "command": short(step.source),
        "form": step.form.value,
        "became": name,
        "component": step.component,
        "commands": step.commands,
    }


def _stays(place: str, procedure: str, step: Step) -> dict[str, Any]:
    return {
        "place": place,
        "procedure": procedure,
        "command": short(step.source),
        "form": step.form.value,
        "why": str(step.why or ""),
        "note": step.note,
        "operation": step.needs,
        "component": step.component,
        "commands": step.commands,
        "risk": step.risk or ("destructive" if step.form is Form.SH else ""),
    }


def short(text: str, most: int = 110) -> str:
    """A command on one line, without the secrets that a manual spells out."""
    line = masked(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
