"""Backups that never stop, by pgBackRest: their procedures, what can be recovered from them now, and what was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import count
from typing import Any

from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.backups.pgbackrest import Call, stanza_of
from opsbook.connectors.backups.pgbackrest_info import Repository
from opsbook.connectors.executors.pgbackrest import configured
from opsbook.connectors.postgres import PostgresComponent
from opsbook.operations.pgbackrest import At, point_of
from opsbook.recovery.backups import SPARE
from opsbook.recovery.restores import health_step, restorable, writers
from opsbook.recovery.templates import filled


def continuous(system: System) -> list[Backup]:
    """The backups of this environment that pgBackRest takes."""
    return [
        one
        for one in system.model.backups
        if one.method == "pgbackrest" and one.to and system.holds(one.environments)
        and isinstance(system.components.get(one.of), PostgresComponent)
    ]  # fmt: skip


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the procedures of each, and of going back to a point."""
    restored: set[str] = set()
    for one in continuous(system):
        names = {"backup": one.id, "component": one.of}
        timeout = write_duration((one.timeout + SPARE).total_seconds()).replace(" ", "")
        yield f"configure-{one.id}", filled("configure-continuous", **names)
        yield f"backup-{one.id}", filled("backup-continuous", **names, timeout=timeout)
        yield f"backup-{one.id}-verify", filled("verify-continuous", **names, timeout=timeout)
        if one.of not in restored:
            restored.add(one.of)
            yield from _restores(system, names)
    for name, one, assertions in _drills(system):
        yield (
            f"drill-{name}",
            filled("drill-at", component=one.of, backup=one.id, assertions=", ".join(assertions), name=name),
        )


def _drills(system: System) -> Iterator[tuple[str, Backup, tuple[str, ...]]]:
    """Name, backup and assertions of each drill of a recovery from the log.

    One a component: `drill-database-at` beside the drill of its dump, `drill-database` where it has no other.
    """
    by_id = {one.id: one for one in continuous(system)}
    own = {drill.id for drill in system.model.drills}
    seen: set[str] = set()
    for one in by_id.values():
        name = drilled_at(system, one.of).removeprefix("drill-")
        if one.of not in seen and name not in own:
            seen.add(one.of)
            yield name, one, ()
    for drill in system.model.drills:
        if drill.kind == "restore" and not drill.procedure and drill.backup in by_id:
            yield drill.id, by_id[drill.backup], drill.assertions


def drilled_at(system: System, component: str) -> str:
    """The procedure that drills the recovery of a component from its log."""
    return f"drill-{component}-at" if component in restorable(system) else f"drill-{component}"


def drilled_by(system: System) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Procedure → the book's id of the drill (empty for that of an objective) and the objectives that it measures."""
    by_id = {drill.id: drill for drill in system.model.drills}
    return {
        f"drill-{name}": (name if name in by_id else "", (by_id[name].of if name in by_id else ()) or (one.of,))
        for name, one, _ in _drills(system)
    }


def _restores(system: System, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    component, stops = names["component"], writers(system, names["component"])
    yield f"restore-{component}-at", filled("restore-at", **names)
    health = health_step(2, system, [component, *stops])
    yield f"restore-{component}-at-tables", filled("restore-at-tables", **names, health=health)
    numbers = count(2)
    stopping, switching = _steps(numbers, "restore-stop", stops), str(next(numbers))
    places = {"stop": stopping, "number": switching, "start": _steps(numbers, "restore-start", stops[::-1])}
    health = health_step(next(numbers), system, [component, *stops])
    yield f"restore-{component}-at-switch", filled("restore-at-switch", **names, **places, health=health)
    if component not in restorable(system):
        numbers = count(1)
        places["stop"], places["number"] = _steps(numbers, "restore-stop", stops), str(next(numbers))
        places["start"] = _steps(numbers, "restore-start", stops[::-1])
        health = health_step(next(numbers), system, [component, *stops])
        yield f"restore-{component}-back", filled("restore-back", component=component, **places, health=health)


def _steps(numbers: Iterator[int], template: str, components: list[str]) -> str:
    return "".join(filled(template, number=str(next(numbers)), writer=name) + "\n" for name in components)


def held_by(system: System, backup: Backup) -> Repository:
    """What its repository holds. Blocking. Raises NotReached where it is not configured, ChangeFailed."""
    stanza = stanza_of(system, backup)
    configured(stanza)
    return Call(stanza).info()


def instant(system: System, now: datetime, **given: str) -> dict[str, str]:
    """The parameters of a point, a time ago as a moment: a plan that is made again means the same. Raises Refused."""
    at = At.model_validate({"of": "any", "backup": "any", **given})
    point = point_of(at, system, now)
    return {**given, "at": point.target or "latest"} if point.kind in ("time", "latest") else given


def sentences(told: Mapping[str, Any]) -> list[str]:
    """What a restore to a point tells besides: where it stopped, and what was written later."""
    if "point" not in told:
        return []
    lines = [f"as of {told['point']}" + (f" ({told['stopped']})" if told.get("stopped") else "")]
    later = told.get("writes_after") or {}
    if later.get("transactions"):
        lines.append(f"after it, at most {later['transactions']:,} transactions were written on the server")
    lines += [f"written after it, and not in it: {one}" for one in later.get("sentences") or ()]
    if unknown := later.get("unknown"):
        lines.append(f"could not be compared in time: {', '.join(unknown)}")
    return lines
