"""Failovers of a book's databases, rebuilds of their old primaries, and drills of both, written out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import count

from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.http import HttpComponent
from opsbook.connectors.postgres import PostgresComponent
from opsbook.recovery.restores import backups, health_step, writers
from opsbook.recovery.templates import filled

SHARE = 4
"""Of the time that is promised, a safety backup may take one in so many parts."""
PATIENCE = timedelta(minutes=5)
"""What it may take where nothing is promised, and at most."""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each."""
    for component in failing_over(system):
        yield f"failover-{component}", _failover(system, component)
        yield f"rebuild-{component}", filled("rebuild", component=component)
    for name, component, _ in wanted(system):
        numbers = count(2)
        later = _restarts(numbers, _readers(system, component), ())
        texts = {"name": name, "component": component, "later": later, "number": str(next(numbers))}
        yield f"drill-{name}", filled("drill-failover", **texts)


def failing_over(system: System) -> list[str]:
    """Databases of which the book says how they fail over."""
    return [
        name
        for name, settings in system.components.items()
        if isinstance(settings, PostgresComponent) and settings.failover is not None
    ]


def wanted(system: System) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name, component and objectives of each drill of a failover: those of the book, else one of each database."""
    able, drilled = failing_over(system), set()
    for drill in system.model.drills:
        if drill.kind == "failover" and not drill.procedure and able:
            component = next((one for one in drill.of if one in able), able[0])
            drilled.add(component)
            yield drill.id, component, drill.of or (component,)
    for component in able:
        if component not in drilled:
            yield f"failover-{component}", component, (component,)


def drilled_by(system: System) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Procedure → the book's id of the drill, empty where it has none, and the objectives that it measures."""
    ids = {drill.id for drill in system.model.drills}
    return {f"drill-{name}": (name if name in ids else "", of) for name, _, of in wanted(system)}


def _failover(system: System, component: str) -> str:
    numbers, stops, readers = count(1), writers(system, component), _readers(system, component)
    patience = _patience(system, component)
    backup = next((one.id for one in backups(system) if one.of == component), "")
    safe = ""
    if backup:
        texts = {"component": component, "backup": backup, "patience": patience}
        safe = filled("failover-safety", number=str(next(numbers)), **texts) + "\n"
    stop = _each(numbers, "failover-stop", stops)
    fence, promote, repoint = (str(next(numbers)) for _ in range(3))
    # What people wait for comes first, and is measured before the others are started.
    pages = {name for name in (*readers, *stops) if isinstance(system.components[name], HttpComponent)}
    restart = _restarts(numbers, [one for one in readers if one in pages], stops)
    start = _each(numbers, "failover-start", [one for one in reversed(stops) if one in pages])
    served = str(next(numbers))
    later = _each(numbers, "failover-start", [one for one in reversed(stops) if one not in pages])
    later += _restarts(numbers, [one for one in readers if one not in pages], stops)
    # That a standby streams is seen to by the rebuild.
    health = health_step(next(numbers), system, [component, *stops], without=("postgres.replicas",))
    return filled(
        "failover", component=component, safety="true" if backup else "false", patience=patience, safe=safe, stop=stop,
        number_fence=fence, number_promote=promote, number_repoint=repoint, restart=restart, start=start,
        number_served=served, later=later, health=health,
    )  # fmt: skip


def _each(numbers: Iterator[int], template: str, writers: Iterable[str]) -> str:
    return "".join(filled(template, number=str(next(numbers)), writer=name) + "\n" for name in writers)


def _restarts(numbers: Iterator[int], readers: Iterable[str], stopped: Iterable[str]) -> str:
    """Restarts of those who read the address only then; in a planned switchover some are started anew anyhow."""
    held = list(stopped)
    whens = {name: ' when="not planned"' if name in held else "" for name in readers}
    return "".join(
        filled("failover-restart", number=str(next(numbers)), reader=name, when=when) + "\n"
        for name, when in whens.items()
    )


def _readers(system: System, component: str) -> list[str]:
    """Components that read the address of the database only when they start."""
    settings = system.components[component]
    assert isinstance(settings, PostgresComponent)
    places = settings.failover.repoint if settings.failover else ()
    return list(dict.fromkeys(name for place in places for name in place.restart))


def _patience(system: System, component: str) -> str:
    """How long a safety backup may take: a part of what is promised."""
    objective = system.model.objectives.get(component)
    promised = objective.rto / SHARE if objective and objective.rto else PATIENCE
    return write_duration(min(promised, PATIENCE).total_seconds()).replace(" ", "")
