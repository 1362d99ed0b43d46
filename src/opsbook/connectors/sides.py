"""Blue and green: two workloads of one component, and the file by which its proxy sends traffic to one of them.

The file that the proxy includes is always a copy of SWITCH.blue or SWITCH.green beside it, which the team writes. So
which side is active is a fact that can be read, whoever switched last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opsbook.book.delivery import Deploy
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.http import MaintenanceSwitch, ProxyComponent
from opsbook.errors import Refused

Side = Literal["blue", "green"]
OTHER: dict[Side, Side] = {"blue": "green", "green": "blue"}


@dataclass(frozen=True)
class Sides:
    """The two sides of one component."""

    system: System
    component: str
    settings: Deploy
    proxy: str
    switch: Path
    reload: MaintenanceSwitch

    def workload(self, side: Side) -> str:
        return self.settings.blue if side == "blue" else self.settings.green

    def url(self, side: Side) -> Reference | None:
        """Where a side itself is asked."""
        return self.settings.blue_url if side == "blue" else self.settings.green_url

    def file(self, side: Side) -> Path:
        """What the proxy includes while this side is active."""
        return self.switch.with_name(f"{self.switch.name}.{side}")

    def active(self) -> Side:
        """The side that gets traffic. Raises Refused where the file is neither's."""
        try:
            now = self.switch.read_bytes()
            sides: tuple[Side, ...] = ("blue", "green")
            for side in sides:
                if self.file(side).read_bytes() == now:
                    return side
        except OSError as error:
            raise Refused(
                f"{error.filename}: {error.strerror}", "write it: what the proxy includes for a side"
            ) from error
        raise Refused(
            f"{self.switch} is neither {self.file('blue').name} nor {self.file('green').name}",
            "copy the one that is active over it",
        )


def has_sides(system: System, component: str) -> bool:
    """Whether the book gives it two."""
    found = system.model.deploys.components.get(component)
    return found is not None and bool(found.blue and found.green and found.switch)


def sides_of(system: System, component: str) -> Sides:
    """Raises Refused with what lacks."""
    found = system.model.deploys.components.get(component)
    if found is None or not (found.blue and found.green and found.switch and found.proxy):
        raise Refused(
            f"the book does not give {component} two sides",
            f"set `blue`, `green`, `switch` and `proxy` in `deploys.components.{component}`",
        )
    proxy = system.components[found.proxy]
    if not isinstance(proxy, ProxyComponent) or proxy.maintenance is None:
        raise Refused(
            f"{found.proxy} cannot be told to read its files again", "set its `maintenance`: pid file and check"
        )
    return Sides(system, component, found, found.proxy, system.path(found.switch), proxy.maintenance)


def serving_workload(system: System, component: str) -> str:
    """The workload of a component: of one with two sides that of the active one."""
    settings = system.components[component]
    if not has_sides(system, component):
        return settings.workload
    try:
        sides = sides_of(system, component)
        return sides.workload(sides.active())
    except Refused:
        return settings.workload
