"""What an auditor wants to know of recovery: every promise with its proof, what is unproven, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from opsbook.book.recovery import Backup, Objective
from opsbook.book.system import System
from opsbook.connectors.backups.catalogue import StoredBackup
from opsbook.connectors.backups.manifest import Hold
from opsbook.connectors.backups.pruning import Pruning, prunings
from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError
from opsbook.recovery.backups import taken
from opsbook.recovery.drills import standings
from opsbook.recovery.forecast import Forecast
from opsbook.recovery.objectives import Judged
from opsbook.recovery.outlook import outlook
from opsbook.store import drills
from opsbook.store.drills import DrillRow

HOLDS_DATA = ("postgres", "redis")
"""Kinds of components that an auditor asks the backups of."""


@dataclass(frozen=True)
class Promised:
    """An objective with all that is known of it."""

    judged: Judged
    objective: Objective
    drills: tuple[DrillRow, ...]
    """Oldest first."""
    forecast: Forecast | None


@dataclass(frozen=True)
class Kept:
    """A backup of the book and what its stores hold."""

    backup: Backup
    stores: tuple[Pruning, ...]
    """The first store, and the second where there is one; none where opsbook does not take it, or cannot look."""
    problem: str = ""

    @property
    def stored(self) -> tuple[StoredBackup, ...]:
        """Those of the first store, newest first."""
        return tuple(one.stored for one in self.stores[0].chosen) if self.stores else ()


@dataclass(frozen=True)
class Held:
    """A hold, and on what."""

    folder: str
    hold: Hold


@dataclass(frozen=True)
class Report:
    """All of it, as it is at one moment."""

    system: System
    at: datetime
    promises: tuple[Promised, ...]
    kept: tuple[Kept, ...]
    unproven: tuple[str, ...]
    """Sentences."""
    holds: tuple[Held, ...]


def report(setting: Setting, system: System, now: datetime) -> Report:
    """Look at the drills and into the stores. Blocking."""
    kept = tuple(_kept(setting, system, one, now) for one in system.model.backups if system.holds(one.environments))
    promises = tuple(promised(setting, system, now, kept))
    holds = tuple(Held(one.folder, hold) for each in kept for one in each.stored for hold in one.held(now))
    return Report(system, now, promises, kept, tuple(_unproven(system, promises, kept)), holds)


def promised(setting: Setting, system: System, now: datetime, kept: tuple[Kept, ...] | None = None) -> list[Promised]:
    """Every objective with its drills and its forecast. Blocking."""
    found = standings(setting, system, now)
    if kept is None:
        kept = tuple(_kept(setting, system, one, now) for one in taken(system))
    rows = drills.measured(setting.store, system.name)
    promises = []
    for judged in found:
        objective = system.model.objectives[judged.name]
        own = tuple(row for row in rows if row.objective == judged.name)
        stored = [one for each in kept if each.backup.of == judged.name for one in each.stored]
        stored = [one for one in stored if one.manifest.environment == system.name]
        promises.append(Promised(judged, objective, own, outlook(objective, own, stored)))
    return promises


def _kept(setting: Setting, system: System, backup: Backup, now: datetime) -> Kept:
    if backup not in taken(system):
        return Kept(backup, (), "" if backup.to else "it has no place that it is written to")
    try:
        return Kept(backup, tuple(prunings(system, backup, now, setting.head.public)))
    except OpsbookError as error:
        return Kept(backup, (), error.message)


def _unproven(system: System, promises: tuple[Promised, ...], kept: tuple[Kept, ...]) -> list[str]:
    """What nobody has shown to work, in sentences."""
    told = [
        f"{one.judged.name}: the {promise.figure.upper()} is {promise.standing}, {promise.why}"
        for one in promises for promise in one.judged.promises if promise.standing != "proven"
    ]  # fmt: skip
    for one in kept:
        name = f"backup {one.backup.id} of {one.backup.of}"
        if one.problem:
            told.append(f"{name}: {one.problem}")
        elif one.stores and not one.stored:
            told.append(f"{name}: none was ever taken")
        elif one.stored and not any(each.verified() for each in one.stored):
            told.append(f"{name}: no stored one was ever restored or verified")
        told += [f"{name}: {bad.stamp} cannot be used, {bad.reason}" for pruning in one.stores for bad in
                 pruning.listing.unreadable]  # fmt: skip
    backed = {one.backup.of for one in kept}
    for name, settings in system.components.items():
        if settings.kind in HOLDS_DATA and name not in backed and not _copies(system, name):
            told.append(f"{name}: the book has no backup of it")
    return told


def _copies(system: System, name: str) -> bool:
    """Whether a component is the standby of another, or shares its server: what it holds is that one's."""
    own = system.components[name]
    of_own = str(getattr(own, "dsn", "") or "")
    return any(
        other != name and of_own and str(getattr(settings, "replica", "") or "") == of_own
        for other, settings in system.components.items()
    )
