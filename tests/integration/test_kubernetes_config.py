"""Versions of a config map on a real cluster: old ones are removed, and never one that something names."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from opsbook.connectors.runtimes.kubernetes_api import KubernetesApi
from opsbook.connectors.runtimes.kubernetes_config import OF
from tests.integration.cluster import BEAT, Cluster, deployment, new_namespace, on_cluster, python
from tests.integration.hands import hands_of

pytestmark = on_cluster("deploys")
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"LEVEL": "info"}}


def taking(name: str, config_map: str) -> dict[str, Any]:
    """A workload that has no pod, and one revision to go back to."""
    taken = [{"configMapRef": {"name": config_map}}]
    return deployment(name, python(name, BEAT, envFrom=taken), replicas=0, revisionHistoryLimit=1)


def versions(cluster: Cluster) -> set[str]:
    async def ask(api: KubernetesApi) -> set[str]:
        path = cluster.path(SETTINGS)
        return {one["metadata"]["name"] async for one in api.pages(path, {"labelSelector": f"{OF}=settings"})}

    return cluster.do(ask)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.2)


async def test_versions_that_nothing_names_are_removed_but_for_the_newest() -> None:
    with new_namespace(SETTINGS, taking("api", "settings")) as cluster:
        async with hands_of(cluster.system({"api": {"kind": "workload"}})) as hands:
            for level in ("debug", "trace", "warning", "error"):
                values = json.dumps({"LEVEL": level})
                last = await hands.do("config.deploy", of="api", values=values, wait=60)
            assert len(versions(cluster)) == 4

            async def told() -> bool:
                hands.connections.forget()
                change = await hands.only("config.prune", of="api", keep=1)
                return bool(change.evidence["maps"]["settings"] == {"versions": 4, "in use": 2})

            await eventually(told, "the controller has removed revisions beyond the limit")
            change = await hands.only("config.prune", of="api", keep=1)
            (old,) = change.effect["maps"]
            assert old != last["map"]
            other = taking("other", old)
            cluster.make(other)
            said = await hands.apply(change)
            assert said == {"removed": [], "kept": [old]}, "somebody names it since it was planned"
            cluster.remove(other)

            async def removed() -> bool:
                return bool((await hands.apply(change))["removed"] == [old])

            await eventually(removed, "what has named it is gone, with its revision")
            assert len(versions(cluster)) == 3
            assert last["map"] in versions(cluster)
            assert (await hands.only("config.prune", of="api")).effect["maps"] == []
