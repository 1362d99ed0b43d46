"""Changes of the kinds `traffic` and `side`: blue and green.

effect of `traffic`: `component`, `to` ("blue" or "green"), and `asked`, false where its proxy shows a banner. guard:
`active`, the side that had traffic when it was planned. What sends the traffic is told (a proxy's file, a map of
HAProxy, the selector of a service), and the component asked until it answers well several times in a row; where any of
that fails the traffic is sent back.

effect of `side`: `component`, `side`, `version`, `within` (seconds), `tests` (ids of smoke tests): the side must run
the version. It gets as many instances as the other one wants at that moment, where that is more than it was started
with: an autoscaler moves on between a plan and its step, so that no plan can name the number. It is asked, past the
proxy, until it is healthy, and then by the smoke tests.

result of `traffic`: `active`; of `side`: `tests`, each with its seconds.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import cast

from opsbook.connectors.change import Change, ChangeFailed, Done, Executor, Json, More, Sink
from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.forwarded import through
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.registry import executor, registered
from opsbook.connectors.runtimes.contract import Runtime, Verb
from opsbook.connectors.sides import OTHER, Side, sides_of
from opsbook.connectors.smoke_tests import smoke_tested, tests_of
from opsbook.connectors.switches.service import patiently
from opsbook.errors import OpsbookError, Refused

SERVED_SECONDS = 15.0
LOOK_SECONDS = 0.2
IN_A_ROW = 5


@executor("traffic")
class Traffic:
    """Sends traffic to a side."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where another side is active than was planned for, ChangeFailed where it does not serve."""
        effect = change.effect
        sides = sides_of(self.connections, effect["component"])
        to: Side = effect["to"]
        before = await patiently(sides.active)
        expected: Side = (change.guard or {}).get("active", before)
        if before not in (expected, to):
            raise Refused(f"{effect['component']} is served by its {before} side by now", "plan anew")
        try:
            await sides.switch.send(to)
            if effect.get("asked", True):
                await self._served(effect["component"])
        except OpsbookError:
            # An attempt that was cut off may have sent it there already: the side from before is that of the plan.
            if expected != to:
                with suppress(OpsbookError):
                    await sides.switch.send(expected)
            raise
        await out.write(f"{effect['component']} is served by its {to} side ({sides.workload(to)})\n")
        return Done({"active": to})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True

    async def _served(self, component: str) -> None:
        connector = self.connections.of(component)
        assert isinstance(connector, HttpConnector), "planned for what speaks HTTP"
        # A connection that is kept may still lead to the side from before.
        await connector.client.close()
        said = await _healthy(connector, SERVED_SECONDS)
        if said:
            raise ChangeFailed(f"{component} does not answer well after the switch: {said}", "it was switched back")


@executor("side")
class SideCheck:
    """Asks one side, past the proxy."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where the side is not healthy, or a smoke test is answered wrongly."""
        effect = change.effect
        past = PastTheProxy(self.connections, effect["component"], effect["side"])
        workload = sides_of(self.connections, effect["component"]).workload(effect["side"])
        runs = (await patiently(lambda: self.connections.runtime.status(workload))).version
        if runs and not is_version(effect["version"], runs):
            raise ChangeFailed(f"the {effect['side']} side runs {runs}, not {effect['version']}", f"look at {workload}")
        try:
            await as_many(self.connections, effect, key, out)
            connector = past.of(effect["component"])
            assert isinstance(connector, HttpConnector)
            if said := await _healthy(connector, effect["within"]):
                raise ChangeFailed(f"the {effect['side']} side is not healthy: {said}", "see its logs")
            wanted = tests_of(self.system.model.smoke_tests, [effect["component"]], effect["tests"])
            found = await smoke_tested(past, wanted) if effect["tests"] else []
        finally:
            await past.close()
        for one in found:
            await out.write(f"{one.message}\n")
        if wrong := next((one for one in found if not one.good), None):
            raise ChangeFailed(wrong.message, f"see the logs of the {effect['side']} side")
        return Done({"tests": {one.id: one.seconds for one in found}})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True


class PastTheProxy:
    """Connections in which one component is one of its sides."""

    def __init__(self, connections: Connections, component: str, side: Side) -> None:
        self.connections, self.system, self.component = connections, connections.system, component
        self.signer, self.store = connections.signer, connections.store
        url = sides_of(connections, component).url(side)
        assert url is not None, "planned for a side with an address"
        system = self.system
        settings = system.components[component].model_copy(update={"url": url, "address": ""})
        if settings.through == "runtime":
            system, settings = through(system, settings, connections.runtime)
        self._side = HttpConnector(component, settings, system, connections)

    def of(self, component: str) -> Connector:
        return self._side if component == self.component else self.connections.of(component)

    @property
    def runtime(self) -> Runtime:
        return self.connections.runtime

    def forget(self) -> None:
        self._side.forget()

    async def close(self) -> None:
        await self._side.close()


async def as_many(connections: Connections, effect: Json, key: str, out: Sink) -> None:
    """Starts what a side lacks to as many instances as the other one wants now; it will have all of its traffic."""
    sides, runtime = sides_of(connections, effect["component"]), connections.runtime
    workload, other = sides.workload(effect["side"]), sides.workload(OTHER[cast("Side", effect["side"])])
    has = (await patiently(lambda: runtime.status(workload))).workload.wanted
    wanted = (await patiently(lambda: runtime.status(other))).workload.wanted
    if not has or not wanted or has >= wanted:
        return
    await out.write(f"{other} wants {wanted} instances now, so that {workload} gets as many\n")
    start = {"replicas": wanted, "wait": effect["within"], "version": effect["version"]}
    change = await patiently(lambda: runtime.change(workload, Verb.START, start))
    starts: Executor = registered().executors[change.kind](connections)
    cursor: Json = None
    while isinstance(done := await starts.apply(key, change, cursor, out), More):
        cursor = done.cursor


def is_version(wanted: str, runs: str) -> bool:
    """Whether it runs what is wanted: a tag, an image with its tag, or a digest, of which a runtime tells the start."""
    return (
        wanted == runs or wanted.endswith((f":{runs}", f"@{runs}")) or (len(runs) >= 12 and f"sha256:{runs}" in wanted)
    )


async def _healthy(connector: HttpConnector, within: float) -> str:
    """Empty when it has answered well several times in a row; else what it said last."""
    deadline, good, said = time.monotonic() + within, 0, "it was not asked"
    # One that answers well just before its time is over is still asked until it has lasted.
    while good or time.monotonic() < deadline:
        try:
            # A connection each: behind a service, or a forward, one that is kept meets one instance only.
            answer = await connector.client.anew("GET", connector.component.health)
            good, said = (good + 1, "") if 200 <= answer.status < 300 else (0, answer.words)
        except OpsbookError as error:
            good, said = 0, error.message
        if good >= IN_A_ROW:
            return ""
        await asyncio.sleep(LOOK_SECONDS)
    return said
