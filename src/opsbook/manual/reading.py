"""Reading a manual whole: everything that it says, typed, with the lines on which it says it."""

from __future__ import annotations

import dataclasses
from typing import Any

from opsbook.manual.document import Document, read_document
from opsbook.manual.extract.backups import backups
from opsbook.manual.extract.checklists import checklists
from opsbook.manual.extract.contacts import contacts
from opsbook.manual.extract.escalation import escalation
from opsbook.manual.extract.metrics import metrics
from opsbook.manual.extract.objectives import objectives
from opsbook.manual.extract.procedures import procedures
from opsbook.manual.extract.promql import promql
from opsbook.manual.extract.retention import retention
from opsbook.manual.extract.severities import severities
from opsbook.manual.extract.structure import config_blocks, references
from opsbook.manual.extract.system import system
from opsbook.manual.extract.windows import windows
from opsbook.manual.facts import (
    Backup,
    Checklist,
    ConfigBlock,
    Contact,
    Escalation,
    Metric,
    Objective,
    Procedure,
    Query,
    Reference,
    Retention,
    Severity,
    System,
    Window,
)


@dataclasses.dataclass(frozen=True)
class Manual:
    """All that was read out of one manual."""

    name: str
    system: System
    metrics: tuple[Metric, ...]
    objectives: tuple[Objective, ...]
    backups: tuple[Backup, ...]
    severities: tuple[Severity, ...]
    escalation: tuple[Escalation, ...]
    maintenance_windows: tuple[Window, ...]
    retention: tuple[Retention, ...]
    procedures: tuple[Procedure, ...]
    checklists: tuple[Checklist, ...]
    contacts: tuple[Contact, ...]
    promql: tuple[Query, ...]
    config_blocks: tuple[ConfigBlock, ...]
    references: tuple[Reference, ...]


def read_manual(text: str, name: str = "") -> Manual:
    """Read a manual from its Markdown. Never fails: what is not understood is not in it."""
    return extract(read_document(text, name))


def extract(document: Document) -> Manual:
    """Everything that a document says."""
    return Manual(
        name=document.name,
        system=system(document),
        metrics=tuple(metrics(document)),
        objectives=tuple(objectives(document)),
        backups=tuple(backups(document)),
        severities=tuple(severities(document)),
        escalation=tuple(escalation(document)),
        maintenance_windows=tuple(windows(document)),
        retention=tuple(retention(document)),
        procedures=tuple(procedures(document)),
        checklists=tuple(checklists(document)),
        contacts=tuple(contacts(document)),
        promql=tuple(promql(document)),
        config_blocks=tuple(config_blocks(document)),
        references=tuple(references(document)),
    )


def as_json(manual: Manual) -> dict[str, Any]:
    """A manual as plain data, with the keys that `opsbook import --format json` prints. Empty fields are left out."""
    return {each.name: _plain(getattr(manual, each.name)) for each in dataclasses.fields(manual)}


def item_json(item: Any) -> dict[str, Any]:
    """An item as plain data: empty fields left out, tuples as lists."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(item):
        value = _plain(getattr(item, each.name))
        if value not in ("", None, [], {}) or isinstance(value, bool):
            found[each.name.rstrip("_")] = value
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return item_json(value)
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value
