"""Checks and their thresholds, by component."""

from __future__ import annotations

from collections.abc import Mapping

from opsbook.book.checks import Check
from opsbook.book.references import hide_password
from opsbook.book.system import System
from opsbook.manual.render.pieces import Code, Line, Link, Row, Section, Text, line, table
from opsbook.manual.render.sections.inventory import component_key, procedure_key
from opsbook.manual.render.words import duration

LONGEST = 80
"""Characters of a check's own parameters; a longer query stays in the book."""
HEAD = "check | observation | warning | critical | for | then"


def thresholds(system: System, procedures: Mapping[str, str]) -> Section | None:
    """A table for each component. `procedures` are the titles of those that this manual has."""
    if not system.checks:
        return None
    parts = []
    for component in dict.fromkeys(check.of for check in system.checks):
        own = [check for check in system.checks if check.of == component]
        rows: list[Row] = [_row(check, system, procedures) for check in own]
        parts.append(Section(component, (table(f"Checks of {component}", HEAD, rows),), key=component_key(component)))
    told = line(f"{len(system.checks)} checks. ", Code("opsbook check"), " runs them all; a missing value is never ok.")
    return Section("Checks and thresholds", (Text(told),), tuple(parts), key="checks")


def _row(check: Check, system: System, procedures: Mapping[str, str]) -> tuple[Line, ...]:
    spec = system.book.catalogue.observations[check.observe]
    own = check.warning or check.critical
    warning, critical = (check.warning, check.critical) if own else (spec.warning, spec.critical)
    told = ", ".join(f"{key} {value}" for key, value in check.with_.items())
    given = Code(hide_password(told)) if told and len(told) <= LONGEST else ""
    then: Line = ()
    if check.procedure:
        then = (
            (Link(procedures[check.procedure], procedure_key(check.procedure)),)
            if check.procedure in procedures
            else line(check.procedure)
        )
    return (
        line(check.title or spec.doc.partition(". ")[0].rstrip("."), " ", Code(check.id)),
        line(Code(check.observe), " " if given else "", given),
        line(str(warning) if warning else ""),
        line(str(critical) if critical else ("it does not answer" if spec.vital and not warning else "")),
        line(duration(check.for_) if check.for_ else ""),
        then,
    )
