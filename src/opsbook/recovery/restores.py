"""The restores and drills that a book has use for, written out for its components: who is stopped, what is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from opsbook.book.catalogue import Component
from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.connectors.celery import CeleryComponent
from opsbook.connectors.http import HttpComponent, HttpSettings
from opsbook.connectors.pgbouncer import PgBouncerComponent
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.workload import WorkloadComponent
from opsbook.recovery.templates import filled

DUMPS = ("dump", "schema", "tables")
"""Methods that a database can be made of, the whole ones first."""
PLACES = {
    "files": ("files.restore", "a folder that is not there, or is empty"),
    "rdb": ("redis.restore", "the RDB file that is written"),
}
"""Method → the operation that restores it, and what it is given as the place."""
HEALTH = (
    "http.up", "http.status", "postgres.up", "celery.workers", "pgbouncer.up", "workload.missing", "postgres.replicas",
)  # fmt: skip
"""Observations whose checks tell that a component serves again."""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each."""
    for component in restorable(system):
        yield from _restores(system, component)
    yield from _files(system)
    yield from _drills(system)


def restorable(system: System) -> list[str]:
    """Databases of which the book has backups that hold all of them."""
    wanted = [backup.of for backup in backups(system)]
    return list(dict.fromkeys(wanted))


def backups(system: System) -> list[Backup]:
    """Backups of databases that can be restored here, those that hold all of one first."""
    found = [
        one
        for one in system.model.backups
        if one.method in DUMPS and system.holds(one.environments)
        and isinstance(system.components.get(one.of), PostgresComponent)
    ]  # fmt: skip
    return sorted(found, key=lambda one: DUMPS.index(one.method))


def writers(system: System, component: str) -> list[str]:
    """Workloads that write into a database, in the order in which they are stopped: first who gives work to others.

    They name the database, its standby or a pool in front of it as needed; or they give work to those who do, over the
    broker of these.
    """
    passes = (PgBouncerComponent, PostgresComponent)
    direct = [
        name
        for name, settings in system.components.items()
        if _can_be_stopped(settings) and _reaches(system, name, component, passes)
    ]
    brokers = {settings.broker for name in direct if isinstance(settings := system.components[name], CeleryComponent)}
    giving = [
        name
        for name, settings in system.components.items()
        if isinstance(settings, WorkloadComponent) and name not in direct and brokers & set(settings.depends_on)
    ]
    return [*giving, *sorted(direct, key=lambda name: isinstance(system.components[name], HttpComponent))]


def _can_be_stopped(settings: Component) -> bool:
    if isinstance(settings, WorkloadComponent):
        return True
    return isinstance(settings, HttpComponent | CeleryComponent) and bool(settings.workload)


def _reaches(system: System, name: str, component: str, passes: tuple[type[Component], ...]) -> bool:
    """Whether it needs the component, directly or through what only passes on."""
    seen, waiting = {name}, list(system.components[name].depends_on)
    while waiting:
        one = waiting.pop()
        if one == component:
            return True
        if one not in seen and isinstance(system.components.get(one), passes):
            seen.add(one)
            waiting += system.components[one].depends_on
    return False


def _restores(system: System, component: str) -> Iterator[tuple[str, str]]:
    names = {"component": component, "backup": next(one.id for one in backups(system) if one.of == component)}
    stops = writers(system, component)
    yield f"restore-{component}", filled("restore", **names)
    kinds = ("switch", "in-place", "tables", "back") if "backup.take" in system.book.catalogue.operations else ("back",)
    for kind in kinds:
        first = {"switch": 3, "in-place": 2, "tables": 2, "back": 1}[kind]
        numbers = count(first)
        stopping = _each(numbers, "restore-stop", stops)
        changing = next(numbers)
        starting = _each(numbers, "restore-start", reversed(stops))
        health = health_step(next(numbers), system, [component, *stops])
        places = {"stop": stopping, "start": starting, "health": health, "number": str(changing), **names}
        if kind == "back":
            places.pop("backup")
        yield f"restore-{component}-{kind}", filled(f"restore-{kind}", **places)


def _each(numbers: Iterator[int], template: str, components: Iterable[str]) -> str:
    return "".join(filled(template, number=str(next(numbers)), writer=name) + "\n" for name in components)


def health_step(number: int, system: System, components: list[str], without: tuple[str, ...] = ()) -> str:
    """Steps of the checks that tell whether these serve, and of the book's smoke tests of those who need them; empty
    where the book has neither.
    """
    numbers, steps = count(number), []
    found = [
        one.id for one in system.checks if one.of in components and one.observe in HEALTH and one.observe not in without
    ]
    if found:
        checks = "".join(f"   - {one}\n" for one in found).rstrip()
        steps.append(filled("restore-health", number=str(next(numbers)), checks=checks))
    steps += [
        filled("restore-smoke", number=str(next(numbers)), component=name) for name in smoke_tested(system, components)
    ]
    return "\n".join(steps)


def smoke_tested(system: System, components: Iterable[str]) -> list[str]:
    """Who is asked by smoke tests of the book, of these and of all that need one of them."""
    here = set(components)
    asked = dict.fromkeys(one.of for one in system.model.smoke_tests)
    return [
        name for name in asked
        if isinstance(system.components.get(name), HttpSettings) and (name in here or here & set(system.upstream(name)))
    ]  # fmt: skip


def others(system: System) -> list[Backup]:
    """Backups of files and of Redis that can be restored here."""
    return [one for one in system.model.backups if one.method in PLACES and system.holds(one.environments)]


def _files(system: System) -> Iterator[tuple[str, str]]:
    seen = set(restorable(system))
    for one in others(system):
        if one.of not in seen:
            seen.add(one.of)
            operation, place = PLACES[one.method]
            names = {"component": one.of, "backup": one.id, "operation": operation, "place": place}
            yield f"restore-{one.of}", filled("restore-files", **names)


def _drills(system: System) -> Iterator[tuple[str, str]]:
    for name, component, backup, assertions in _wanted(system):
        yield (
            f"drill-{name}",
            filled("drill-restore", component=component, backup=backup, assertions=", ".join(assertions), name=name),
        )


def _wanted(system: System) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Name, component, backup and assertions of each drill of a restore."""
    first: dict[str, str] = {}
    for one in (*backups(system), *others(system)):
        first.setdefault(one.of, one.id)
    own = {drill.id for drill in system.model.drills}
    for component, backup in first.items():
        if component not in own:
            yield component, component, backup, ()
    by_id = {one.id: one for one in (*backups(system), *others(system))}
    elsewhere = {one.id for one in system.model.backups} - by_id.keys()
    for drill in system.model.drills:
        if drill.kind != "restore" or drill.procedure or drill.backup in elsewhere:
            continue
        named = by_id.get(drill.backup or "")
        component = named.of if named else next((one for one in drill.of if one in first), next(iter(first), ""))
        if component:
            yield drill.id, component, named.id if named else first[component], drill.assertions


def drilled_by(system: System) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Procedure → the book's id of the drill (empty for that of an objective) and the objectives that it measures."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    by_id = {drill.id: drill for drill in system.model.drills}
    for name, component, _, _ in _wanted(system):
        drill = by_id.get(name)
        found[f"drill-{name}"] = (name if drill else "", (drill.of if drill else ()) or (component,))
    for drill in system.model.drills:
        if drill.procedure:
            found[drill.procedure] = (drill.id, drill.of)
    return found
