"""Workloads held by Kubernetes, from 1.20 on: Deployments, StatefulSets, DaemonSets, bare ReplicaSets, jobs.

A workload is named as it is in its namespace, or with its kind (`statefulset/db`) where a name stands twice. An
instance is a pod. Nothing is installed in the cluster.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from opsbook.book.environments import KubernetesRuntime
from opsbook.book.system import System
from opsbook.connectors.change import Change, Json
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.registry import runtime
from opsbook.connectors.runtimes import kubernetes_revisions
from opsbook.connectors.runtimes.contract import (
    CRASHED,
    Event,
    LogLine,
    LogQuery,
    Revision,
    Seen,
    Status,
    Take,
    Usage,
    Verb,
    Workload,
)
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, KubernetesApi, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_forward import Forwards
from opsbook.connectors.runtimes.kubernetes_kinds import (
    Kind,
    container_of,
    ready_of,
    template_of,
    version_of,
    wanted_of,
)
from opsbook.connectors.runtimes.kubernetes_look import Look, Namespace
from opsbook.connectors.runtimes.kubernetes_pods import Pod, moment
from opsbook.connectors.runtimes.kubernetes_quantities import quantity
from opsbook.connectors.runtimes.kubernetes_why import Why

FRESH_SECONDS = 0.5
"""Ten workloads that are observed at once need one look, not ten."""
LONGEST_ANSWER = 5.0
"""Seconds for one answer: below the time-out of a check, so that the reason is told and not only that time is up."""
CAPABILITIES = frozenset(
    {"list", "status", "logs", "events", "revisions", "environment", "resources",
     "start", "stop", "restart", "scale", "deploy", "rollback", "exec", "copy", "isolate"}
)  # fmt: skip


@runtime("kubernetes")
def kubernetes(system: System) -> Kubernetes:
    """The runtime of an environment whose `runtime.kind` is kubernetes."""
    settings = system.environment.runtime
    assert isinstance(settings, KubernetesRuntime)
    return Kubernetes(system, settings)


class Kubernetes:
    """The workloads of one namespace."""

    def __init__(self, system: System, settings: KubernetesRuntime) -> None:
        self._system = system
        seconds = min(LONGEST_ANSWER, 0.8 * system.model.intervals.timeout.total_seconds())
        kubeconfig = str(system.path(settings.kubeconfig)) if settings.kubeconfig else ""
        self.api = KubernetesApi(kubeconfig, settings.context, seconds)
        self.namespace = Namespace(self.api, settings.namespace)
        self._forwards = Forwards(self.api, settings.namespace)
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._look: asyncio.Future[Look] | None = None
        self._looked = 0.0

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can be asked. Whether this credential may, the server says when a change is planned."""
        return CAPABILITIES

    async def look(self) -> Look:
        """The namespace as it is now, shared by what asks within half a second."""
        clock, look = asyncio.get_running_loop().time, self._look
        if look is None or look.cancelled() or (look.done() and clock() - self._looked > FRESH_SECONDS):
            look = self._look = asyncio.ensure_future(self.namespace.look())

            def over(done: asyncio.Future[Look]) -> None:
                # From its end: in a large namespace a look takes longer than it is fresh.
                self._looked = clock()
                if not done.cancelled():
                    done.exception()

            look.add_done_callback(over)
        return await asyncio.shield(look)

    def forget(self) -> None:
        """Before a look that must see what was just changed."""
        self._look = None

    def container(self, workload: str) -> str:
        """The container that the book names for a workload; empty where it names none."""
        for name, component in self._system.components.items():
            if component.container and (component.workload or name) == workload:
                return component.container
        return ""

    def image_of(self, one: Object, workload: str) -> tuple[str, str]:
        """The container that is meant, and its image. Raises ReadFailed where the book names one that is not there."""
        template = template_of(one)
        try:
            found = container_of(template, self.container(workload))
        except KeyError as error:
            known = ", ".join(each["name"] for each in template["spec"]["containers"])
            raise ReadFailed(f"{workload} has no container {error}", f"set `container` to one of: {known}") from error
        return found["name"], found.get("image", "")

    async def list(self) -> Sequence[Workload]:
        """Every workload of the namespace; the jobs of a cron job stand for themselves."""
        look = await self.look()
        return [self._workload(kind, one) for (kind, _), one in look.workloads.items()]

    def _workload(self, kind: str, one: Object) -> Workload:
        return Workload(one["metadata"]["name"], kind, wanted_of(kind, one), ready_of(kind, one))

    async def status(self, workload: str) -> Status:
        """The workload, and each of its pods with why it is not ready."""
        look = await self.look()
        kind, one = look.find(workload)
        pods = [pod for pod in look.pods_of(kind, one["metadata"]["name"]) if not _over(pod)]
        more = await Why(self.api, self.namespace).of(pods)
        instances = tuple(pod.instance(more.get(pod.name, "")) for pod in pods)
        container, _ = self.image_of(one, workload)
        versions = sorted(
            {version_of(pod.images[container]) for pod in pods if not pod.ending and container in pod.images}
        )
        restarts = sum(pod.restarts for pod in pods)
        return Status(self._workload(kind.name, one), instances, ", ".join(versions), restarts)

    async def pods(self, workload: str) -> builtins.list[Pod]:
        """The pods of a workload now, those that end included."""
        self.forget()
        look = await self.look()
        kind, one = look.find(workload)
        return look.pods_of(kind, one["metadata"]["name"])

    async def found(self, workload: str) -> tuple[Kind, Object]:
        """The kind of a workload and the object itself, read anew. Raises Absent."""
        kind, one = (await self.look()).find(workload)
        self.forget()
        return kind, await self.api.get(await self.namespace.of(kind, one["metadata"]["name"]))

    async def revisions(self, workload: str) -> Sequence[Revision]:
        """The revisions that its controller keeps, oldest first."""
        kind, one = (await self.look()).find(workload)
        container, _ = self.image_of(one, workload)
        kept = await kubernetes_revisions.kept(self.namespace, kind, one)
        return [revision.as_revision(container) for revision in kept]

    async def logs(self, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Lines of all its pods, by time."""
        from opsbook.connectors.runtimes.kubernetes_logs import follow_logs, read_logs

        if query.follow:
            async for line in follow_logs(self, workload, query):
                yield line
        else:
            async for line in read_logs(self, workload, query):
                yield line

    async def events(self, workload: str) -> AsyncIterator[Event]:
        """What happened to it and its pods, oldest first, as long as the cluster keeps events (an hour by default).

        Of crashes it remembers the last of each container, for as long as its pod is there.
        """
        look = await self.look()
        kind, one = look.find(workload)
        pods = look.pods_of(kind, one["metadata"]["name"])
        names = {one["metadata"]["name"], *(pod.name for pod in pods)}
        told = [
            Event(ended.at, CRASHED, f"{ended.container} ended with exit code {ended.code} ({ended.reason})", pod.name)
            for pod in pods
            for ended in pod.ended
        ]
        async for event in self.api.pages(self.namespace.core("events")):
            about = event["involvedObject"]
            if about.get("name") not in names and not str(about.get("name", "")).startswith(
                f"{one['metadata']['name']}-"
            ):
                continue
            at = moment(
                event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
            )
            times = f" ({event['count']} times)" if int(event.get("count") or 1) > 1 else ""
            instance = about["name"] if about.get("kind") == "Pod" else ""
            told.append(Event(at, event.get("reason", ""), f"{event.get('message', '')}{times}", instance))
        for each in sorted(told, key=lambda e: (e.at is not None, e.at or datetime.min)):
            yield each

    async def environment(self, workload: str) -> dict[str, str]:
        """The variables of its container. What comes from a secret or a config map is told by that one's name."""
        from opsbook.connectors.runtimes.kubernetes_environment import variables

        _, one = (await self.look()).find(workload)
        name, _ = self.image_of(one, workload)
        return await variables(self.namespace, container_of(template_of(one), name))

    async def resources(self, workload: str) -> Usage:
        """What its pods use, and their limits together. Raises ReadFailed without a metrics server."""
        kind, one = (await self.look()).find(workload)
        pods = {pod.name for pod in (await self.look()).pods_of(kind, one["metadata"]["name"]) if not _over(pod)}
        try:
            path = await self.namespace.path("metrics.k8s.io", ("v1beta1",), "pods")
            cpu = memory = 0.0
            async for measured in self.api.pages(path):
                if measured["metadata"]["name"] in pods:
                    for container in measured["containers"]:
                        cpu += quantity(container["usage"].get("cpu"))
                        memory += quantity(container["usage"].get("memory"))
        except NotThere as error:
            raise ReadFailed("the cluster has no metrics.k8s.io", "a metrics server measures what pods use") from error
        containers = template_of(one)["spec"]["containers"]
        limits = [each.get("resources", {}).get("limits") or {} for each in containers]

        def limit(key: str) -> float | None:
            # One container without a limit may take all of its node.
            return (
                len(pods) * sum(quantity(each[key]) for each in limits) if all(key in each for each in limits) else None
            )

        return Usage(cpu, memory, limit("memory"), limit("cpu"))

    async def change(self, workload: str, verb: Verb, arguments: Json) -> Change:
        """See `kubernetes_changes` for the arguments of each verb. The server is asked what it would say; nothing is
        written."""
        from opsbook.connectors.runtimes.kubernetes_changes import planned

        return await planned(self, workload, verb, arguments or {})

    async def look_inside(
        self, workload: str, argv: Sequence[str], seconds: float, *, instances: Sequence[str] | None, every: bool
    ) -> Sequence[Seen]:
        """A program that only looks, within pods that run."""
        from opsbook.connectors.runtimes.kubernetes_exec import look

        return await look(self, workload, argv, seconds, instances, every)

    async def put_inside(
        self,
        workload: str,
        instance: str,
        path: str,
        data: bytes,
        owner: tuple[int, int] | None = None,  # noqa: ARG002  it is who runs there
    ) -> None:
        """A file written in a pod, by who runs there."""
        from opsbook.connectors.runtimes.kubernetes_files import put

        await put(self, workload, instance, path, data)

    async def take_inside(self, workload: str, instance: str, path: str, take: Take, *, plain: bool = False) -> None:
        """What stands at a path of a pod."""
        from opsbook.connectors.runtimes.kubernetes_files import take_out

        await take_out(self, workload, instance, path, take, plain)

    async def may(self, verb: str, group: str, resource: str, below: str = "") -> bool:
        """Whether this credential may do something in the namespace."""
        attributes: dict[str, Any] = {"namespace": self.namespace.name, "verb": verb, "group": group,
                                      "resource": resource, "subresource": below}  # fmt: skip
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes}}  # fmt: skip
        try:
            said = await self.api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        except ApiFault:
            return False
        return bool(said["status"]["allowed"])

    async def rights(self) -> builtins.list[Object]:
        """The rules that hold for this credential in the namespace, as the server lists them."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                "spec": {"namespace": self.namespace.name}}  # fmt: skip
        said = await self.api.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
        found: builtins.list[Object] = said["status"]["resourceRules"]
        return found

    def forward(self, host: str, port: int) -> int:
        """The port of loopback that leads to a service of the cluster, named as its pods name it."""
        if self._loop is None:
            raise ReadFailed("a service inside the cluster is only reached while opsbook asks for facts")
        return self._forwards.port(host, port, self._loop)

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        await self._forwards.close()
        await self.api.close()


def _over(pod: Pod) -> bool:
    """Whether it has done its work, or was evicted and replaced: an instance no more."""
    return pod.state in ("Succeeded", "Evicted")
