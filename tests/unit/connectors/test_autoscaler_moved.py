"""The autoscaler of a side goes with the traffic, and back with it."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.kubernetes_api import ApiFault
from opsbook.connectors.runtimes.kubernetes_executor import KubernetesExecutor
from opsbook.connectors.runtimes.kubernetes_kinds import KINDS
from opsbook.connectors.switches.autoscaler import moved_autoscaler
from opsbook.errors import Refused


class Server:
    """Two deployments and one autoscaler, whose controller writes its status all the time."""

    def __init__(self, holds: str = "api") -> None:
        self.scalers = {"api": {
            "metadata": {"name": "api", "uid": "1", "resourceVersion": "1"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": holds},
                     "minReplicas": 2, "maxReplicas": 3},
            "status": {"currentReplicas": 2},
        }}  # fmt: skip
        self.races = 0
        self.namespace = self.api = self

    def holds(self) -> str:
        return str(self.scalers["api"]["spec"]["scaleTargetRef"]["name"])  # type: ignore[index]

    def forget(self) -> None:
        pass

    async def found(self, workload: str) -> tuple[Any, Any]:
        return KINDS["Deployment"], {"metadata": {"name": workload}}

    async def path(self, group: str, versions: Any, plural: str, name: str = "", below: str = "") -> str:
        assert plural == "horizontalpodautoscalers"
        return name

    async def pages(self, path: str) -> AsyncIterator[Any]:
        for one in self.scalers.values():
            yield copy.deepcopy(one)

    async def get(self, path: str) -> Any:
        found = copy.deepcopy(self.scalers[path])
        if self.races:
            self.races -= 1
            self._moves(path)
        return found

    async def patch(self, path: str, body: Any, *how: Any, dry: bool = False, **more: Any) -> Any:
        one: Any = self.scalers[path]
        if not dry and body["metadata"]["resourceVersion"] != one["metadata"]["resourceVersion"]:
            raise ApiFault(409, "Conflict", "the object has been modified")
        if not dry:
            one["spec"]["scaleTargetRef"] |= body["spec"]["scaleTargetRef"]
            self._moves(path)
        return one

    def _moves(self, path: str) -> None:
        metadata: Any = self.scalers[path]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    async def apply(self, change: Change) -> None:
        await KubernetesExecutor(self).apply("run/switch/0", change, None, SimpleNamespace())  # type: ignore[arg-type]


async def moved(server: Server) -> Change:
    change = await moved_autoscaler(server, "api", "api-green")  # type: ignore[arg-type]
    assert change is not None
    return change


async def test_it_holds_the_new_side_and_after_the_undo_the_old_one() -> None:
    """Each is made again where it was cut off, and its status may move meanwhile."""
    server = Server()
    change = await moved(server)
    for _ in range(2):
        server.races = 3
        await server.apply(change)
        assert server.holds() == "api-green"
    assert isinstance(change.inverse, Change)
    for _ in range(2):
        server.races = 3
        await server.apply(change.inverse)
        assert server.holds() == "api"


async def test_it_is_not_taken_back_from_whom_somebody_gave_it_to() -> None:
    server = Server()
    change = await moved(server)
    await server.apply(change)
    server.scalers["api"]["spec"]["scaleTargetRef"]["name"] = "worker"  # type: ignore[index]
    assert isinstance(change.inverse, Change)
    with pytest.raises(Refused, match="somebody changed it"):
        await server.apply(change.inverse)
    assert server.holds() == "worker"


async def test_a_side_that_has_one_of_its_own_keeps_it() -> None:
    server = Server()
    own = copy.deepcopy(server.scalers["api"])
    own["metadata"]["name"], own["spec"]["scaleTargetRef"]["name"] = "own", "api-green"  # type: ignore[index]
    server.scalers["own"] = own
    assert await moved_autoscaler(server, "api", "api-green") is None  # type: ignore[arg-type]
    assert await moved_autoscaler(Server("worker"), "api", "api-green") is None  # type: ignore[arg-type]
