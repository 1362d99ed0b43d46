"""Status of 200 workloads with 1,000 pods against `kubectl get`; a tail of many pods' logs against `kubectl logs`.

Needs a Kubernetes that may be filled: KUBECONFIG, and OPSBOOK_TEST_KUBERNETES=1. The pods are objects that no scheduler
takes, so that no node is needed for them; those whose logs are read really run.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import Cost, Figure, tell
from tests.integration.cluster import GIVEN, NOT_GIVEN, Cluster, container, deployment, new_namespace

from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.contract import LogQuery
from opsbook.connectors.runtimes.kubernetes import Kubernetes

WORKLOADS, PODS, ROUNDS = 200, 1000, 5
WRITERS, LINES = 100, 1000
COMPONENTS = {"cluster": {"kind": "cluster"}}
KINDS = "deployments,statefulsets,daemonsets,cronjobs,jobs,pods"


def main() -> None:
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if not GIVEN:
        print(NOT_GIVEN)
        return
    asleep = {"pod": {"schedulerName": "nobody"}}
    objects = [deployment(f"w{n}", container("c", ["true"]), replicas=PODS // WORKLOADS, **asleep)
               for n in range(WORKLOADS)]  # fmt: skip
    with new_namespace(*objects) as cluster:
        asyncio.run(filled(cluster))
        ours, theirs = list[Cost](), list[Cost]()
        for _ in range(ROUNDS):
            ours.append(of_ours(status_of_all(cluster)))
            if kubectl:
                theirs.append(of_command([kubectl, "-n", cluster.namespace, "get", KINDS, "-o", "wide"]))
        held("200 workloads, 1,000 pods", ours, theirs, "kubectl get")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  memory of this process at its most: {peak:.0f} MiB")
    write = ["sh", "-c", f"seq -f 'INFO line %.0f of this pod' {LINES}; sleep 3600"]
    with new_namespace(deployment("w", container("c", write), replicas=WRITERS)) as cluster:
        asyncio.run(written(cluster))
        ours, theirs = list[Cost](), list[Cost]()
        for _ in range(ROUNDS):
            ours.append(of_ours(lines_of(cluster)))
            if kubectl:
                theirs.append(of_command([kubectl, "-n", cluster.namespace, "logs", "-l", "app=w", "--tail=-1",
                                     f"--max-log-requests={WRITERS}"]))  # fmt: skip
        held(f"{WRITERS * LINES:,} lines of {WRITERS} pods", ours, theirs, "kubectl logs, not merged")


def held(name: str, ours: list[Cost], theirs: list[Cost], peer: str) -> None:
    """Tells the medians. Ours has no start of Python in it: opsbook asks again and again from one process."""
    for what in ("wall", "cpu"):
        mine = statistics.median(getattr(one, what) for one in ours) * 1000
        other = statistics.median(getattr(one, what) for one in theirs) * 1000 if theirs else None
        tell(Figure(f"{name}, {what}", mine, "ms", peer if theirs else "kubectl is not here", other))


def of_command(command: list[str]) -> Cost:
    """What a command costs, its output thrown away."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)


def of_ours(work: Coroutine[None, None, None]) -> Cost:
    """What this process spends on something."""
    cpu, started = time.process_time(), time.perf_counter()
    asyncio.run(work)
    return Cost(time.process_time() - cpu, time.perf_counter() - started)


async def filled(cluster: Cluster) -> None:
    """Until every pod is there."""
    async with open_connections(cluster.system(COMPONENTS)) as connections:
        runtime = connections.runtime
        assert isinstance(runtime, Kubernetes)
        while sum(len(pods) for pods in (await runtime.look()).pods.values()) < PODS:
            await asyncio.sleep(1)


async def status_of_all(cluster: Cluster) -> None:
    """The status of every workload, with the connection."""
    async with open_connections(cluster.system(COMPONENTS)) as connections:
        runtime = connections.runtime
        found = await asyncio.gather(*(runtime.status(one.name) for one in await runtime.list()))
    assert sum(len(one.instances) for one in found) == PODS


async def written(cluster: Cluster) -> None:
    """Until every pod has written all its lines."""
    async with open_connections(cluster.system(COMPONENTS)) as connections:
        query, last = LogQuery(tail=None, contains=f"line {LINES} of"), 0
        while last < WRITERS:
            await asyncio.sleep(1)
            last = len([line async for line in connections.runtime.logs("w", query)])


async def lines_of(cluster: Cluster) -> None:
    """Every line of every pod."""
    count = 0
    async with open_connections(cluster.system(COMPONENTS)) as connections:
        async for _ in connections.runtime.logs("w", LogQuery(tail=None)):
            count += 1
    assert count == WRITERS * LINES, count


if __name__ == "__main__":
    main()
