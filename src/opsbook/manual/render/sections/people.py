"""Severities, escalation, contacts: who is told, and how soon somebody must answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from opsbook.book.people import Contact, Level, OnCall
from opsbook.book.system import System
from opsbook.manual.render.pieces import Code, Line, Link, Row, Section, Strong, Table, Text, joined, line, table
from opsbook.manual.render.words import duration, hours, moment


def severities(system: System) -> Section | None:
    """Grades of incidents, the most urgent first."""
    found = system.model.severities
    if not found:
        return None
    head = "severity | means | answered within | over within | told every | clock runs | post-mortem"
    rows: list[Row] = [
        (line(Strong(name)), line(one.means), line(_soon(one.respond)),
         line(duration(one.resolve)), line(duration(one.update_every)), line(hours(one.business_hours)),
         line("needed" if one.postmortem else ""))
        for name, one in found.items()
    ]  # fmt: skip
    own = [
        Section(f"Escalation of {name}", (_path(f"Escalation of {name}", one.escalation, system),))
        for name, one in found.items()
        if one.escalation
    ]
    return Section("Severities", (table("Severities", head, rows),), tuple(own), key="severities")


def _soon(within: timedelta | None) -> str:
    return "at once" if within == timedelta(0) else duration(within)


def escalation(system: System) -> Section | None:
    """Who is told, and when the next one is."""
    levels = system.environment.escalation or system.model.escalation
    if not levels:
        return None
    told = "Each level is told while nobody has acknowledged."
    return Section("Escalation", (Text((told,)), _path("Escalation path", levels, system)), key="escalation")


def _path(caption: str, levels: Sequence[Level], system: System) -> Table:
    rows: list[Row] = []
    for one in levels:
        after = duration(one.within) if one.within else "at once"
        contact = system.model.contacts.get(one.notify)
        whom: Line = (Link(one.notify, "contacts"),) if contact else line(Code(one.notify))
        reach = line(_reach(contact)) if contact else ()
        rows.append((line(Strong(one.level)), line(after), whom, reach, line(duration(one.repeat))))
    return table(caption, "level | after | who | reached by | again every", rows)


def _reach(contact: Contact) -> str:
    return ", ".join(word for word in (contact.phone, contact.email, contact.url) if word)


def contacts(system: System) -> Section | None:
    """People, teams and outside parties."""
    model = system.model
    if not (model.contacts or model.oncall or model.channels):
        return None
    blocks: list[Table] = []
    parts: list[Section] = []
    if model.contacts:
        head = "contact | who | mail | telephone | page | answers | stands for"
        blocks.append(table("Contacts", head, [_contact(name, one) for name, one in model.contacts.items()]))
    if model.oncall:
        rotations: list[Row] = [_rotation(name, one) for name, one in model.oncall.items()]
        head = "rotation | in turn | turn | from | hours | else"
        parts.append(Section("On call", (table("On-call rotations", head, rotations),)))
    if model.channels:
        rows: list[Row] = [
            (line(Code(name)), line(Code(str(one.url))), line(one.from_severity or ""))
            for name, one in model.channels.items()
        ]
        parts.append(Section("Channels", (table("Channels", "channel | address | from severity", rows),)))
    return Section("Contacts", tuple(blocks), tuple(parts), key="contacts")


def _contact(name: str, one: Contact) -> tuple[Line, ...]:
    who = ", ".join(word for word in (one.name, one.role) if word) + (" (outside)" if one.vendor else "")
    answers = one.available or (f"within {duration(one.respond)}" if one.respond else "")
    return (
        line(Strong(name)),
        line(who),
        line(Link(one.email, f"mailto:{one.email}") if one.email else ""),
        line(one.phone),
        line(one.url),
        line(answers),
        joined(one.components),
    )


def _rotation(name: str, one: OnCall) -> tuple[Line, ...]:
    return (
        line(Code(name)),
        joined(one.members),
        line(duration(one.turn)),
        line(moment(one.start)),
        line(hours(one.hours)),
        line(one.backup or ""),
    )
