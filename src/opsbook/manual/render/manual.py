"""The whole manual of a book, in the order in which somebody on call needs it."""

from __future__ import annotations

from opsbook.book.system import System
from opsbook.manual.render.facts import Facts
from opsbook.manual.render.pieces import Block, Code, Manual, Text, line
from opsbook.manual.render.sections.inventory import environments, inventory
from opsbook.manual.render.sections.people import contacts, escalation, severities
from opsbook.manual.render.sections.planned import checklists, upkeep, windows
from opsbook.manual.render.sections.procedures import procedures
from opsbook.manual.render.sections.promises import backups, promises, retention, unproven
from opsbook.manual.render.sections.thresholds import thresholds


def manual_of(system: System, facts: Facts) -> Manual:
    """The manual of the system as it is in one environment."""
    titles = {one.name: one.title or one.name for one in facts.procedures}
    found = [
        severities(system),
        escalation(system),
        contacts(system),
        thresholds(system, titles),
        procedures(system, facts.procedures),
        checklists(system),
        promises(system, facts),
        backups(system),
        retention(system),
        windows(system),
        upkeep(system),
        inventory(system),
        environments(system),
    ]
    title = system.model.title or system.model.system
    return Manual(f"{title}: operations manual", _lead(system, facts), tuple(one for one in found if one is not None))


def _lead(system: System, facts: Facts) -> tuple[Block, ...]:
    model = system.model
    blocks: list[Block] = [Text((model.description,))] if model.description else []
    counted = [
        (len(system.components), "component"),
        (len(system.checks), "check"),
        (len(facts.procedures), "procedure"),
    ]
    told = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counted)
    open_, promised = unproven(system, facts)
    if promised:
        told += f", {promised} recovery promises of which {open_} {'is' if open_ == 1 else 'are'} unproven"
    blocks.append(Text(line(f"{told}. Times are {model.timezone} unless they say otherwise.")))
    owner = f" Owner: {model.owner}." if model.owner else ""
    revision = f", revision {facts.revision[:12]}" if facts.revision else ""
    source = f" writes it from the book as it is in {system.name}{revision}: change the book, not this text."
    blocks.append(Text(line(Code("opsbook render"), source, owner)))
    return tuple(blocks)
