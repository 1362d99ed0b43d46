"""Labels of containers: a proxy that finds its servers by them sends the traffic to the side that carries them.

A container keeps the labels that it was made with. So the side that shall serve is made anew with them and is ready;
the proxy gets the time to notice; then the other side is made anew without them. A ready side carries them always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_anew import Anew
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.compose_create import refuse_strange
from opsbook.connectors.runtimes.compose_labels import SPARE, carries, declared, given, serving
from opsbook.connectors.sides import OTHER, SIDES, Side
from opsbook.errors import Refused


@dataclass(frozen=True)
class LabelSwitch:
    """The labels, and the service of each side."""

    runtime: Compose
    labels: Mapping[str, str]
    workloads: Mapping[Side, str]
    wait: float
    """Seconds that a new container may take to be ready."""
    drain: float
    """Seconds that the proxy is given to notice a new one, before an old one goes."""

    async def active(self) -> Side:
        """The side whose containers carry them. In the middle of a switch both do: then the one that shall serve."""
        found = [side for side in SIDES if serving(await self._containers(side), self.labels)]
        if len(found) == 1:
            return found[0]
        noted = [side for side in SIDES if self.runtime.record.carries(self.workloads[side])]
        if not found and not noted:
            noted = [side for side in SIDES if declared(self.runtime.service(self.workloads[side]), self.labels)]
        if len(noted) == 1:
            return noted[0]
        said, both = self._said(), f"{self.workloads['blue']} and {self.workloads['green']}"
        if found:
            raise Refused(f"containers of both {both} carry {said}", "start one side only with these labels")
        raise Refused(f"neither of {both} carries {said}", "give it to the service that serves, in the compose file")

    async def send(self, side: Side) -> None:
        """Done again it goes on where it was cut off."""
        to, other = self.workloads[side], self.workloads[OTHER[side]]
        out = Unheard()
        if not any(one.active or one.name.endswith(SPARE) for one in await self._containers(side)):
            await self._started(to)
        self.runtime.record.carry({to: True, other: False})
        with_them = given(self.labels, carry=True)
        await Anew(self.runtime, to, self.wait, out, lambda one: carries(one, self.labels), with_them).all()
        if not any(one.ready and carries(one, self.labels) for one in await self._containers(side)):
            raise ChangeFailed(f"no container of {to} with {self._said()} is ready", "look at the logs of its workload")
        if not serving(await self._containers(OTHER[side]), self.labels):
            return
        await asyncio.sleep(self.drain)
        without = given(self.labels, carry=False)
        await Anew(self.runtime, other, self.wait, out, lambda one: not carries(one, self.labels), without,
                   must_go=True).all()  # fmt: skip

    async def told(self, side: Side) -> Mapping[str, Any]:
        """Whose containers are made anew. Raises Unsupported for a service that opsbook makes no containers of."""
        anew = []
        for one in SIDES:
            refuse_strange(self.runtime.service(self.workloads[one]))
            wrong = [c for c in await self._containers(one) if c.active and carries(c, self.labels) != (one == side)]
            anew += [container.name for container in wrong]
        return {"labels": dict(self.labels), "made anew": anew, "the proxy gets": f"{self.drain:g} s to notice"}

    async def _containers(self, side: Side) -> list[Container]:
        return await self.runtime.containers(self.workloads[side])

    async def _started(self, to: str) -> None:
        """What serves by these labels already, and was stopped: the side that could not be made anew without them."""
        from opsbook.connectors.runtimes.compose_make import Maker

        idle = [one for one in await self.runtime.containers(to) if carries(one, self.labels) and one.started]
        if not idle:
            raise ChangeFailed(f"nothing of {to} runs", "bring it up first (side.bring_up)")
        for one in idle:
            await Maker(self.runtime, to, self.wait, Unheard()).start(one)

    def _said(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.labels.items())


class Unheard:
    """A switch tells by its end what it has done."""

    async def write(self, text: str) -> None:
        """Nobody listens."""
