"""Faults of the system on Kubernetes that can be thrown and mended."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from stack.cluster import Cluster
from stack.places import known

SEEN_BY_THE_APPLICATION = {
    "slow-api": "every request to the API takes 400 ms longer where nothing else is set",
    "api-errors": "three of ten requests below /api/ are answered with 500 where nothing else is set",
    "registry-markup": "the register has another markup; harvests end with errors",
    "registry-throttles": "the register allows six requests a second and answers 429 beyond",
}
STOPPED = {
    "stopped-worker": (3, "all Celery workers are stopped; tasks wait in the queue"),
    "database-down": (1, "the primary is stopped"),
}
SWITCHES: Mapping[str, str] = {**SEEN_BY_THE_APPLICATION, **{name: shows for name, (_, shows) in STOPPED.items()}}
SECONDS = 120.0


def throw(name: str, parameters: Mapping[str, float]) -> None:
    """Throw a switch; the application sees it when the kubelet has renewed its files, within some seconds."""
    cluster = Cluster()
    if known(SWITCHES, name) in STOPPED:
        scale(cluster, workload(cluster, name), 0)
    else:
        keep(cluster, name, json.dumps(dict(parameters)))


def mend(name: str) -> Sequence[str]:
    """Mend one switch, or `all`; gives the names of those that were thrown."""
    cluster = Cluster()
    there = thrown(cluster)
    # the database first: others may need it
    asked = sorted(there, key=lambda one: one != "database-down") if name == "all" else [known(SWITCHES, name)]
    for one in asked:
        if one in STOPPED:
            scale(cluster, workload(cluster, one), STOPPED[one][0])
        else:
            keep(cluster, one, None)
    return asked


def thrown(cluster: Cluster) -> list[str]:
    """Switches that are thrown now."""
    files = ((cluster.read("v1/configmaps/switches") or {}).get("data") or {}).keys()
    away = [name for name in STOPPED if replicas(cluster, workload(cluster, name)) == 0]
    return [name for name in SWITCHES if name in files or name in away]


def workload(cluster: Cluster, name: str) -> str:
    """What such a switch stops. The primary is the server that `database` leads to, which a failover changes."""
    if name == "stopped-worker":
        return "deployments/celery-worker"
    service = cluster.read("v1/services/database")
    return f"statefulsets/{service['spec']['selector']['part'] if service else 'postgres'}"


def replicas(cluster: Cluster, path: str) -> int:
    found = cluster.read(f"apps/v1/{path}")
    return int(found["spec"]["replicas"]) if found else -1


def keep(cluster: Cluster, name: str, text: str | None) -> None:
    """One key of the config map. A changed pod is looked at by its kubelet at once, which renews its files."""
    cluster.change("v1/configmaps/switches", {"data": {name: text}})
    part = "registry-site" if name.startswith("registry") else "api"
    found = (cluster.read("v1/pods") or {"items": []})["items"]
    for pod in found:
        if (pod["metadata"].get("labels") or {}).get("part") == part:
            body = {"metadata": {"annotations": {"renec/switched": f"{time.time():.0f}"}}}
            cluster.change(f"v1/pods/{pod['metadata']['name']}", body)


def scale(cluster: Cluster, path: str, count: int) -> None:
    """So many pods, and nothing of the others left."""
    cluster.change(f"apps/v1/{path}", {"spec": {"replicas": count}})

    def reached() -> bool:
        status = (cluster.read(f"apps/v1/{path}") or {"status": {}})["status"]
        return int(status.get("replicas", 0)) == count and int(status.get("readyReplicas", 0)) == count

    cluster.wait(reached, SECONDS, f"{path} did not come to {count}")
