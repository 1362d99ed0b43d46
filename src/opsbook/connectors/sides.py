"""Blue and green: two workloads of one component, and what sends its traffic to one of them.

Which side is active is a fact that can be read wherever the traffic is sent from (a file that a proxy includes, the
selector of a service, the labels of containers), whoever switched last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from opsbook.book.delivery import Deploy
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.errors import OpsbookError, Refused

if TYPE_CHECKING:
    from opsbook.connectors.contract import Connections

Side = Literal["blue", "green"]
SIDES: tuple[Side, Side] = ("blue", "green")
OTHER: dict[Side, Side] = {"blue": "green", "green": "blue"}


class Switch(Protocol):
    """What sends traffic to a side."""

    async def active(self) -> Side:
        """The side that gets traffic. Raises Refused where it is neither, Unreachable."""
        ...

    async def send(self, side: Side) -> None:
        """Send it there; again does nothing more. Raises Refused, ChangeFailed, Unreachable."""
        ...

    async def told(self, side: Side) -> Mapping[str, Any]:
        """What sending it there would change, for a plan; the target is asked whether it would take it."""
        ...


@dataclass(frozen=True)
class Sides:
    """The two sides of one component."""

    system: System
    component: str
    settings: Deploy
    switch: Switch

    def workload(self, side: Side) -> str:
        return self.settings.blue if side == "blue" else self.settings.green

    def url(self, side: Side) -> Reference | None:
        """Where a side itself is asked."""
        return self.settings.blue_url if side == "blue" else self.settings.green_url

    async def active(self) -> Side:
        """The side that gets traffic."""
        return await self.switch.active()


def has_sides(system: System, component: str) -> bool:
    """Whether the book gives it two."""
    found = system.model.deploys.components.get(component)
    return found is not None and bool(found.blue and found.green and (found.switch or found.service or found.labels))


def sides_of(connections: Connections, component: str) -> Sides:
    """Raises Refused with what lacks."""
    from opsbook.connectors.switches.choice import switch_of

    system = connections.system
    found = system.model.deploys.components.get(component)
    if found is None or not (found.blue and found.green):
        raise Refused(
            f"the book does not give {component} two sides",
            f"set `blue`, `green` and `switch`, `service` or `labels` in `deploys.components.{component}`",
        )
    return Sides(system, component, found, switch_of(connections, component, found))


async def serving_workload(connections: Connections, component: str) -> str:
    """The workload of a component: of one with two sides that of the active one, as far as it can be seen."""
    settings = connections.system.components[component]
    if not has_sides(connections.system, component):
        return settings.workload
    try:
        sides = sides_of(connections, component)
        return sides.workload(await sides.active())
    except OpsbookError:
        return settings.workload


async def version_before(connections: Connections, component: str) -> str:
    """The version that served before the one that does: of two sides that of the idle one, which was left as it was.

    Empty where there is one workload only, whose runtime knows its revisions, or where both sides are of one version.
    """
    if not has_sides(connections.system, component) or connections.system.environment.runtime.kind == "supervisor":
        # supervisor's versions are those of the host: its revisions are the same for both.
        return ""
    sides = sides_of(connections, component)
    active = await sides.active()
    found = {}
    for side in SIDES:
        kept = await connections.runtime.revisions(sides.workload(side))
        found[side] = next((one.version for one in reversed(kept) if one.current), "")
    return found[OTHER[active]] if found[OTHER[active]] != found[active] else ""
