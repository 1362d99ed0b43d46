"""In which order the parts of a system come: each after what it needs; and what tells that one of them is there."""

from __future__ import annotations

from collections.abc import Sequence

from opsbook.book.semantics import dependencies
from opsbook.book.system import System
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent
from opsbook.observations.registry import observations


def in_order(system: System) -> list[str]:
    """Components with a workload, each after those that it needs; of several with the same workload the first."""
    found: dict[str, None] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in system.components:
            return
        seen.add(name)
        for needed in dependencies(system.components[name]):
            visit(needed)
        found[name] = None

    for name in system.components:
        visit(name)
    workloads: dict[str, str] = {}
    for name in found:
        try:
            workloads.setdefault(workload_of(system, name), name)
        except Absent:
            continue
    return list(workloads.values())


def health_of(system: System, component: str) -> list[str]:
    """The checks of a component that tell whether it is there at all."""
    known = observations()
    return [
        one.id
        for one in system.checks
        if one.of == component and (one.observe == "workload.missing" or known[one.observe].spec.vital)
    ]


def replicas_first(system: System, order: Sequence[str]) -> list[str]:
    """The same components, standbys before the servers that they follow."""

    def follows(name: str) -> bool:
        one = system.components[name]
        return isinstance(one, PostgresComponent) and any(
            isinstance(system.components.get(other), PostgresComponent) for other in one.depends_on
        )

    return [name for name in order if follows(name)] + [name for name in order if not follows(name)]


def needs(system: System, component: str, needed: str) -> bool:
    """Whether a component needs another one, itself or through others."""
    seen: set[str] = set()
    waiting = [component]
    while waiting:
        for name in dependencies(system.components[waiting.pop()]):
            if name == needed:
                return True
            if name not in seen and name in system.components:
                seen.add(name)
                waiting.append(name)
    return False
