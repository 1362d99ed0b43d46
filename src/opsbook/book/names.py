"""Names in a book that must exist elsewhere in it. Which key names what is a table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from opsbook.book.environments import BUILT_IN_POLICIES
from opsbook.book.model import BookModel
from opsbook.book.positions import Path

WHOLE = ("system", "application")
"""What an objective may promise for besides components."""

REFER_TO = {
    "default_environment": "environment",
    "environments.*.after": "environment",
    "environments.*.policy": "policy",
    "environments.*.escalation.*.notify": "recipient",
    "components.*.depends_on.*": "component",
    "components.*.owner": "contact",
    "checks.*.of": "component",
    "checks.*.depends_on.*": "component",
    "checks.*.severity": "severity",
    "checks.*.notify.*": "recipient",
    "checks.*.environments.*": "environment",
    "slos.*.check": "check",
    "capacity.*.check": "check",
    "backups.*.of": "component",
    "backups.*.environments.*": "environment",
    "drills.*.of.*": "promise",
    "drills.*.backup": "backup",
    "drills.*.environment": "environment",
    "drills.*.assertions.*": "assertion",
    "assertions.*.of": "component",
    "retention.*.of": "component",
    "exports.*.of": "component",
    "severities.*.escalation.*.notify": "recipient",
    "severities.*.notify.*": "recipient",
    "escalation.*.notify": "recipient",
    "channels.*.from_severity": "severity",
    "incidents.severity.*": "severity",
    "incidents.checklist": "checklist",
    "contacts.*.components.*": "component",
    "oncall.*.members.*": "contact",
    "oncall.*.overrides.*.who": "contact",
    "oncall.*.backup": "recipient",
    "silences.*.checks.*": "check or group",
    "silences.*.components.*": "component",
    "windows.*.components.*": "component",
    "windows.*.before": "checklist",
    "windows.*.checklist": "checklist",
    "windows.*.notify.*": "recipient",
    "windows.*.environments.*": "environment",
    "freezes.*.environments.*": "environment",
    "maintenance.of": "component",
    "maintenance.notify.*": "recipient",
    "maintenance.checks.*": "check or group",
    "checklists.*.assign": "recipient",
    "checklists.*.items.*.check": "check",
    "rotations.*.of": "component",
    "rotations.*.restart.*": "component",
    "rotations.*.environments.*": "environment",
    "certificates.*.of": "component",
    "certificates.*.reload.*": "component",
    "certificates.*.environments.*": "environment",
    "jobs.*.of": "component",
    "jobs.*.environments.*": "environment",
    "reports.*.notify.*": "recipient",
    "deploys.smoke_tests.*": "smoke test",
    "deploys.checks.*": "check or group",
    "deploys.components.*.smoke_tests.*": "smoke test",
    "deploys.components.*.checks.*": "check or group",
    "deploys.components.*.proxy": "component",
    "deploys.migrations.of": "component",
    "deploys.migrations.inside": "component",
    "deploys.checklist": "checklist",
    "smoke_tests.*.of": "component",
}
"""Path of a key (`*` is any name or place) → what its value names."""

KEYED_BY = {
    "environments.*.components": "component",
    "environments.*.checks": "check",
    "environments.*.backups": "backup",
    "objectives": "objective",
    "status_page.components": "component",
    "deploys.components": "component",
    "scaling": "component",
}
"""Path of a mapping → what its keys name."""

ONLY_IF_LISTED = ("contact", "severity")
"""These may be free words in a book that has no list of them."""

SHOWN = {"recipient": "channel, rotation or contact", "objective": "component", "promise": "objective"}
"""What messages call it."""


@dataclass(frozen=True)
class Known:
    """The names of a book by what they name."""

    names: Mapping[str, Collection[str]]

    @classmethod
    def of(cls, book: BookModel, written: Mapping[str, Any] | None = None) -> Known:
        """`written` is the file's own data: what is broken in it exists all the same."""
        data = written or {}
        components = _keys(book.components, data, "components")
        contacts = _keys(book.contacts, data, "contacts")
        recipients = [*_keys(book.channels, data, "channels"), *_keys(book.oncall, data, "oncall"), *contacts]
        checks = _ids(book.checks, data, "checks")
        return cls(
            {
                "component": components,
                "environment": _keys(book.environments, data, "environments"),
                "policy": [*BUILT_IN_POLICIES, *_keys(book.policies, data, "policies")],
                "severity": _keys(book.severities, data, "severities"),
                "contact": contacts,
                "recipient": recipients,
                "check": checks,
                "check or group": {*checks, *(group for check in book.checks for group in check.groups)},
                "objective": [*components, *WHOLE],
                "promise": _keys(book.objectives, data, "objectives"),
                "checklist": _keys(book.checklists, data, "checklists"),
                "backup": _ids(book.backups, data, "backups"),
                "assertion": _ids(book.assertions, data, "assertions"),
                "smoke test": _ids(book.smoke_tests, data, "smoke_tests"),
            }
        )

    def lacks(self, what: str, name: str) -> bool:
        """Whether there is nothing of this name that there should be."""
        known = self.names[what]
        return name not in known and (bool(known) or what not in ONLY_IF_LISTED)


def unknown_names(book: BookModel, known: Known) -> Iterator[tuple[Path, str, str, bool]]:
    """Path, name, what it should name, and whether it stands in a key, of every name that names nothing."""
    for pattern, what in REFER_TO.items():
        for path, value in _values(book, pattern.split("."), ()):
            if isinstance(value, str) and value and known.lacks(what, value):
                yield path, value, what, False
    for pattern, what in KEYED_BY.items():
        for path, value in _values(book, pattern.split("."), ()):
            for name in value or ():
                if known.lacks(what, name):
                    yield (*path, name), name, what, True


def _values(found: Any, pattern: list[str], path: Path) -> Iterator[tuple[Path, Any]]:
    if not pattern:
        yield path, found
        return
    part, rest = pattern[0], pattern[1:]
    if part != "*":
        if isinstance(found, BaseModel) and (inner := getattr(found, part, None)) is not None:
            yield from _values(inner, rest, (*path, part))
    elif isinstance(found, Mapping):
        for key, inner in found.items():
            yield from _values(inner, rest, (*path, key))
    elif isinstance(found, tuple):
        for n, inner in enumerate(found):
            yield from _values(inner, rest, (*path, n))


def _keys(section: Mapping[str, Any], data: Mapping[str, Any], key: str) -> list[str]:
    written = data.get(key)
    return list(dict.fromkeys([*section, *(written if isinstance(written, Mapping) else ())]))


def _ids(section: tuple[Any, ...], data: Mapping[str, Any], key: str) -> set[str]:
    written = data.get(key)
    entries = written if isinstance(written, list) else []
    ids = {str(entry["id"]) for entry in entries if isinstance(entry, Mapping) and "id" in entry}
    return ids | {one.id for one in section}
