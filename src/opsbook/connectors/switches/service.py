"""A service of Kubernetes: its selector says which of two workloads gets the traffic.

What the selector is for a side is read from the labels of its pods, for the keys that the selector has: nothing of it
stands in the book, and another key that a team adds is taken along.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_kinds import template_of
from opsbook.connectors.runtimes.kubernetes_targets import CONFLICT, Target, send, verdict
from opsbook.connectors.sides import OTHER, SIDES, Side
from opsbook.errors import Refused, Unreachable

AWAY_SECONDS = 90.0
"""How long an API server may be away in the middle of a switch: it is restarted in less."""
BETWEEN_SECONDS = 0.5
ATTEMPTS = 20
T = TypeVar("T")


@dataclass(frozen=True)
class ServiceSwitch:
    """The service, and the workload of each side."""

    runtime: Kubernetes
    service: str
    workloads: Mapping[Side, str]

    async def active(self) -> Side:
        """Raises Refused where its selector is neither's, or both's."""
        now, selectors = await self._read()
        return self._side(now, selectors)

    async def send(self, side: Side) -> None:
        """The selector is set in one patch, bound to the service as it was read."""
        await patiently(lambda: self._send(side))

    async def told(self, side: Side) -> Mapping[str, Any]:
        """The selectors; the server is asked whether it would take the new one. Raises Refused."""
        now, selectors = await self._read()
        self._side(now, selectors)
        said = await verdict(self.runtime, self._effect(selectors[side]), now)
        return {"service": self.service, "selector": now["spec"]["selector"], "selector then": selectors[side], **said}

    async def _send(self, side: Side) -> None:
        for attempt in range(ATTEMPTS):
            now, selectors = await self._read()
            if self._side(now, selectors) == side:
                return
            try:
                await send(self.runtime, self._effect(selectors[side]), now, dry=False)
                return
            except ApiFault as error:
                if error.code != CONFLICT or attempt == ATTEMPTS - 1:
                    raise ChangeFailed(f"service/{self.service}: {error.message}", error.hint) from error
                await asyncio.sleep(BETWEEN_SECONDS)

    def _effect(self, selector: Mapping[str, str]) -> dict[str, Any]:
        target = Target.of("Service", self.service)
        return {"object": target.said(), "patch": {"spec": {"selector": dict(selector)}}, "how": "merge",
                "manager": "opsbook"}  # fmt: skip

    async def _read(self) -> tuple[Object, dict[Side, dict[str, str]]]:
        """The service now, and what its selector is for each side. Raises Refused."""
        try:
            now = await Target.of("Service", self.service).read_now(self.runtime)
        except NotThere as error:
            name = self.runtime.namespace.name
            raise Refused(f"there is no service {self.service} in {name}", "correct `service`") from error
        keys = list(now["spec"].get("selector") or {})
        look, found = await self.runtime.look(), {}
        for side in SIDES:
            labels = (template_of(look.find(self.workloads[side])[1]).get("metadata") or {}).get("labels") or {}
            if lacking := [key for key in keys if key not in labels]:
                raise Refused(
                    f"the pods of {self.workloads[side]} have no label {lacking[0]}, which service/{self.service} asks",
                    "give the pods of both sides the labels that its selector has",
                )
            found[side] = {key: labels[key] for key in keys}
        if found["blue"] == found["green"]:
            raise Refused(
                f"the selector of service/{self.service} holds for both sides: {', '.join(keys) or 'it has none'}",
                "give the pods of each side a label of its own, such as side=blue, and add it to the selector",
            )
        return now, found

    def _side(self, now: Object, selectors: Mapping[Side, Mapping[str, str]]) -> Side:
        for side in SIDES:
            if now["spec"]["selector"] == selectors[side]:
                return side
        raise Refused(
            f"the selector of service/{self.service} is neither that of {self.workloads['blue']} nor that of"
            f" {self.workloads[OTHER['blue']]}",
            "set it to the labels of the side that serves",
        )


async def patiently(act: Callable[[], Awaitable[T]], seconds: float = AWAY_SECONDS) -> T:
    """Once more while the API server is away. What is done must be the same when it is done twice."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await act()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(BETWEEN_SECONDS)
