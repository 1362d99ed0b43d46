"""What a book wants done on schedule, and what is to be done of it now. Pure, but for looking up what drills prove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from opsbook.book.recovery import Backup, Generations
from opsbook.book.system import System
from opsbook.recovery.drills import drilled_by
from opsbook.recovery.retention import retention_name
from opsbook.store.due import DUE, MISSED, SKIPPED, Due
from opsbook.watch import calendars

LATE_AT_MOST = timedelta(hours=1)
"""What a backup gets to be taken and stored, beyond the time between two of them."""


@dataclass(frozen=True)
class Item:
    """One procedure that is run on schedule."""

    kind: str
    id: str
    procedure: str
    cron: str
    zone: str
    component: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.id}"


def items(system: System) -> list[Item]:
    """Everything that a book schedules in this environment."""
    return [*_backups(system), *_drills(system), *_promised_drills(system), *_housekeeping(system)]


def _zone(system: System, own: object = None) -> str:
    return str(own or system.model.timezone)


def _backups(system: System) -> Iterator[Item]:
    for one in system.model.backups:
        if one.schedule and system.holds(one.environments):
            yield Item("backup", one.id, f"backup-{one.id}", str(one.schedule), _zone(system, one.timezone), one.of)


def _drills(system: System) -> Iterator[Item]:
    procedures = {drill: procedure for procedure, (drill, _) in drilled_by(system).items() if drill}
    for one in system.model.drills:
        if one.schedule and one.environment in (None, system.name):
            procedure = one.procedure or procedures.get(one.id, f"drill-{one.id}")
            zone = _zone(system, one.timezone)
            yield Item("drill", one.id, procedure, str(one.schedule), zone, next(iter(one.of), ""))


def _promised_drills(system: System) -> Iterator[Item]:
    """The drill of an objective, by what proves it."""
    for name, objective in system.model.objectives.items():
        if objective.drill:
            proving = [procedure for procedure, (_, proves) in drilled_by(system).items() if name in proves]
            procedure = next(iter(sorted(proving)), f"drill-{name}")
            yield Item("objective", name, procedure, str(objective.drill), _zone(system), name)


def _housekeeping(system: System) -> Iterator[Item]:
    for retention in system.model.retention:
        if retention.schedule:
            name = retention_name(retention)
            yield Item("retention", name, f"retention-{name}", str(retention.schedule), _zone(system), retention.of)
    for export in system.model.exports:
        if export.schedule:
            yield Item("export", export.id, f"export-{export.id}", str(export.schedule), _zone(system), export.of)


def prune_of(system: System, backup: str) -> Item | None:
    """What deletes the generations that a backup no longer keeps, after it was taken; None where all are kept."""
    for one in system.model.backups:
        if one.id == backup and one.keep != Generations():
            return Item("prune", one.id, f"prune-{one.id}", "", _zone(system), one.of)
    return None


def on_demand(system: System, key: str) -> Item | None:
    """What has no rhythm of its own: a deletion follows its backup, a renewal the certificate's end."""
    kind, _, name = key.partition("/")
    if kind == "prune":
        return prune_of(system, name)
    if kind == "certificate" and any(one.id == name for one in system.model.certificates):
        return Item(kind, name, f"renew-{name}", "", _zone(system))
    return None


def newly_due(item: Item, last: Due, busy: str, now: datetime) -> list[Due]:
    """What is due since the last time, oldest first: the newest to be begun once, those before it missed.

    `busy` is the run of the time before, where that has not ended: nothing is begun beside it.
    """
    after = datetime.fromtimestamp(last.at, now.tzinfo)
    moments = calendars.between(item.cron, item.zone, after, now)
    if not moments:
        return []
    missed = [Due(item.key, one.timestamp(), MISSED, note="nothing was watching") for one in moments[:-1]]
    newest = moments[-1].timestamp()
    if busy:
        return [*missed, Due(item.key, newest, SKIPPED, note=f"run {busy} of the time before has not ended")]
    return [*missed, Due(item.key, newest, DUE)]


def oldest_good(backup: Backup, moments: Sequence[datetime]) -> timedelta | None:
    """How old the newest good backup may be: as the book says, or the longest time between two of them and a while."""
    if backup.max_age is not None:
        return backup.max_age
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return max(gaps) + LATE_AT_MOST if gaps else None
