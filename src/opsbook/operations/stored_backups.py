"""The stored backup that an operation means, looked at while it is planned: its digest goes into the plan."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from opsbook.book.recovery import Assertion
from opsbook.book.system import System
from opsbook.connectors.backups.manifest import Manifest
from opsbook.connectors.backups.opened import opened_backup
from opsbook.connectors.change import Json
from opsbook.errors import Refused, UsageError
from opsbook.operations.contract import Facts


@dataclass(frozen=True)
class Meant:
    """A backup that can be restored."""

    manifest: Manifest
    digest: str
    jobs: int
    verified: str
    """When it was proven last, and how; empty where it never was."""

    @property
    def evidence(self) -> dict[str, Json]:
        """What a person wants to know of it."""
        facts = self.manifest.database
        told: dict[str, Json] = {
            "backup": self.manifest.folder,
            "data of": self.manifest.data_time.isoformat(timespec="seconds"),
            "bytes stored": self.manifest.stored,
            "bytes": self.manifest.plain,
            "proven": self.verified or "never",
        }
        if facts is not None:
            rows = sum(table.rows for table in facts.tables)
            told |= {"tables": len(facts.tables), "rows": rows, "server": facts.server_version}
        return told


async def meant(facts: Facts, component: str, backup: str, stamp: str, *, damaged: bool = False) -> Meant:
    """The backup of this stamp; the newest whole one without. Raises Refused with what is wrong with it, unless it
    may be `damaged`: a drill is there to say so.
    """
    named = next((one for one in facts.system.model.backups if one.id == backup), None)
    if named is not None and named.of != component:
        raise UsageError(f"{backup} is a backup of {named.of}, not of {component}", "name one of it")
    if named is not None and named.method == "pgbackrest":
        raise Refused(f"{backup} is restored to a point in time", f'opsbook restore {backup} --at "10m"')
    found = await asyncio.to_thread(_look, facts.system, backup, stamp, damaged)
    facts.record(f"backup {found.manifest.folder}", found.manifest.data_time.isoformat())
    return found


def _look(system: System, backup: str, stamp: str, damaged: bool) -> Meant:
    with opened_backup(system, backup, stamp) as opened:
        if not damaged and (faults := opened.faults()):
            raise Refused(f"{opened.manifest.folder} cannot be restored: {faults[0]}", "`opsbook backups list`")
        proof = opened.stored.verified()
        proven = f"{proof.kind} {proof.at.isoformat(timespec='minutes')}" if proof else ""
        return Meant(opened.manifest, opened.digest, max(2, opened.backup.jobs), proven)


def assertions_for(facts: Facts, component: str, wanted: Sequence[str] = ()) -> list[Assertion]:
    """The book's assertions about a component: these, or all."""
    return [one for one in facts.system.model.assertions if one.of == component and (not wanted or one.id in wanted)]
