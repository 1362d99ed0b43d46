"""The component that a verb names on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsbook.book.system import System


def known(system: System, component: str) -> str:
    """The name itself. Raises UsageError with the nearest."""
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError

    if component not in system.components:
        raise UsageError(f"there is no component named {component!r}", nearest(component, system.components))
    return component


def workload_of(system: System, component: str) -> str:
    """Its name in the runtime. Raises UsageError where it has none."""
    from opsbook.connectors.workload import WorkloadComponent
    from opsbook.errors import UsageError

    settings = system.components[known(system, component)]
    found = settings.workload or (component if isinstance(settings, WorkloadComponent) else "")
    if not found:
        raise UsageError(f"{component} has no workload in the runtime", f"set `workload` of {component} in book.yaml")
    return found
