"""Windows, freezes, checklists, and what is renewed or runs on schedule."""

from __future__ import annotations

from opsbook.book.planned import Checklist, ChecklistItem
from opsbook.book.system import System
from opsbook.manual.render.pieces import Code, Items, Line, Link, Row, Section, Text, joined, line, table
from opsbook.manual.render.sections.inventory import procedure_key
from opsbook.manual.render.words import cron, duration, moment, rule


def windows(system: System) -> Section | None:
    """When planned work happens, and when nothing may be changed."""
    model = system.model
    blocks = []
    if found := [one for one in model.windows if system.holds(one.environments)]:
        rows: list[Row] = [
            (line(one.title or one.id), rule(one.rrule) if one.rrule else line(moment(one.at) if one.at else ""),
             line(duration(one.lasts)), line(f"{duration(one.notice)} before" if one.notice else ""),
             joined(one.components) or line("all"), line(one.checklist or ""))
            for one in found
        ]  # fmt: skip
        head = "window | when | lasts | told | components | checklist"
        blocks.append(table("Maintenance windows", head, rows))
    if frozen := [one for one in model.freezes if system.holds(one.environments)]:
        rows = [
            (
                line(one.id),
                line(moment(one.start)),
                line(moment(one.end)),
                line(f"{one.risk} and above"),
                line(one.reason),
            )
            for one in frozen
        ]
        blocks.append(table("Freezes", "freeze | from | until | refused | why", rows))
    return Section("Windows and freezes", tuple(blocks), key="windows") if blocks else None


def checklists(system: System) -> Section | None:
    """Recurring and situational work, to be ticked."""
    found = system.model.checklists
    parts = tuple(_checklist(name, one) for name, one in found.items())
    return Section("Checklists", (), parts, key="checklists") if parts else None


def _checklist(name: str, one: Checklist) -> Section:
    when: Line = cron(one.every, one.timezone or "")
    told = line("Due ", *when, ".") if when else line(f"Opened by each {one.on}." if one.on else "")
    if one.assign:
        told = line(*told, f" Worked by {one.assign}.")
    items = Items(tuple(_item(item) for item in one.items), open=True)
    title = one.title or name
    return Section(title, (*((Text(told),) if told else ()), items), key=f"checklist-{name}")


def _item(item: ChecklistItem) -> Line:
    by = line(" (", Code(f"opsbook check --only {item.check}"), ")") if item.check else ()
    if item.procedure:
        by = line(" (", Link(item.procedure, procedure_key(item.procedure)), ")")
    return line(item.text, *by, " – optional" if item.optional else "")


def upkeep(system: System) -> Section | None:
    """Credentials, certificates, jobs and reports."""
    model = system.model
    parts = []
    if model.rotations:
        rows: list[Row] = [
            (line(Code(one.id)), line(one.of), line(one.kind, f" of {one.role}" if one.role else ""),
             line(duration(one.every)), line(Code(str(one.to)) if one.to else ""), joined(one.restart))
            for one in model.rotations if system.holds(one.environments)
        ]  # fmt: skip
        head = "rotation | of | what | renewed every | written to | restarted"
        parts.append(Section("Credentials", (table("Credentials", head, rows),), key="credentials"))
    if model.certificates:
        rows = [
            (line(Code(one.id)), joined(one.names), line(one.method), line(duration(one.renew_before)),
             joined(one.reload))
            for one in model.certificates if system.holds(one.environments)
        ]  # fmt: skip
        head = "certificate | names | renewed by | before its end | read again by"
        parts.append(Section("Certificates", (table("Certificates", head, rows),), key="certificates"))
    if model.jobs:
        rows = [
            (line(Code(one.id)), line(one.of or ""), cron(one.schedule, one.timezone or ""), line(duration(one.grace)),
             line(Code(one.task) if one.task else ""))
            for one in model.jobs if system.holds(one.environments)
        ]  # fmt: skip
        head = "job | of | when | may be late by | what it runs"
        parts.append(Section("Recurring jobs", (table("Recurring jobs", head, rows),), key="jobs"))
    if model.reports:
        rows = [(line(Code(one.id)), line(one.kind), cron(one.schedule, one.timezone or ""), joined(one.notify))
                for one in model.reports]  # fmt: skip
        parts.append(Section("Reports", (table("Reports", "report | tells | when | to", rows),), key="reports"))
    return Section("Upkeep", (), tuple(parts), key="upkeep") if parts else None
