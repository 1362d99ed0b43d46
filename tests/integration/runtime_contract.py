"""What every runtime is held against: the same workload on each, with two versions, four places and one variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from opsbook.book.system import System
from tests.integration.cluster import BEAT, container, deployment, new_namespace, python
from tests.integration.podman import new_podman
from tests.integration.podman import python as python_service
from tests.integration.supervisord import new_supervisord

COMPONENTS: dict[str, dict[str, Any]] = {
    "worker": {"kind": "workload", "replicas": 2},
    "crasher": {"kind": "workload"},
    "nowhere": {"kind": "workload"},
}
"""`worker` prints `started VERSION` and beats; its variable QUEUE is `harvest`. `crasher` ends at once, always."""


@dataclass(frozen=True)
class Subject:
    """A runtime with the workload in it, nothing of it running."""

    system: System
    first: str
    second: str
    """Its two versions; the first is deployed."""
    shares_versions: bool = False
    """Whether a version is one of the host, and not of a workload."""


@contextmanager
def on_supervisor() -> Iterator[Subject]:
    """supervisord, with release directories."""
    with new_supervisord() as server:
        yield Subject(server.system(COMPONENTS), "1.0.0", "1.1.0", shares_versions=True)


@contextmanager
def on_kubernetes() -> Iterator[Subject]:
    """A namespace of the cluster that is given."""
    queue = [{"name": "QUEUE", "value": "harvest"}]
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    ready = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    worker = python("worker", BEAT, env=queue, resources=resources, readinessProbe=ready)
    crasher = container("crasher", ["sh", "-c", "echo no configuration; exit 3"])
    with new_namespace(deployment("worker", worker, replicas=0), deployment("crasher", crasher)) as cluster:
        yield Subject(cluster.system(COMPONENTS), "1", "2")


@contextmanager
def on_compose() -> Iterator[Subject]:
    """A compose project on a podman of its own."""
    check = {"test": ["CMD", "true"], "interval": "1s"}
    with new_podman("1", "2") as engine:
        worker = python_service(BEAT, environment={"QUEUE": "harvest"}, mem_limit="64m", cpus=0.5, healthcheck=check)
        crasher = {**python_service(""), "command": ["sh", "-c", "echo no configuration; exit 3"]}
        engine.write({"worker": worker, "crasher": crasher})
        yield Subject(engine.system(COMPONENTS), "1", "2")


SUBJECTS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "supervisor": on_supervisor,
    "compose": on_compose,
    "kubernetes": on_kubernetes,
}
"""Runtime → what makes one."""
