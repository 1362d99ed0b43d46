"""Backups that never stop, by pgBackRest: their procedures, what can be recovered from them now, and what was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.backups.archiving import Archived, archived_of
from opsbook.connectors.backups.pgbackrest import Call, stanza_of
from opsbook.connectors.backups.pgbackrest_info import Repository
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.backups.subjects import server_at
from opsbook.connectors.executors.pgbackrest import configured
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_session import plain_url
from opsbook.errors import OpsbookError
from opsbook.operations.pgbackrest import At, point_of
from opsbook.recovery.backups import SPARE
from opsbook.recovery.objectives import Source
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


def source(system: System, component: str, now: datetime) -> Source | None:
    """What the archived log of a component reaches to; None without one. Blocking; what cannot be asked is none."""
    for backup in continuous(system):
        if backup.of != component:
            continue
        try:
            found = held_by(system, backup)
            settings = system.components[component]
            assert isinstance(settings, PostgresComponent)
            server = server_at(plain_url(system.resolve(settings.admin or settings.dsn)), "objectives")
            archived = archived_of(Target(server.parameters, "opsbook:objectives"))
        except OpsbookError:
            continue
        return source_of(backup.id, found, archived, now)
    return None


def source_of(name: str, held: Repository, archived: Archived, now: datetime) -> Source | None:
    """The same of what was read. Pure."""
    if not held.whole:
        return None
    last, lag = held.whole[-1].stop, archived.lag
    reaches = last if lag is None else max(last, now - timedelta(seconds=lag))
    return Source(f"{name} (log archived)", min(now, reaches))


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
