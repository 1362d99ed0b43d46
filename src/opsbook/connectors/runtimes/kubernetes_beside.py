"""A pod beside a workload, of its pod template: a Job whose only process waits."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.beside import WAITING, Beside, Hear, several
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_exchange import exchange
from opsbook.connectors.runtimes.kubernetes_forward import LOOPBACK, Forwards, Inside
from opsbook.connectors.runtimes.kubernetes_kinds import JOB, STATEFUL_SET, template_of, version_of
from opsbook.connectors.runtimes.kubernetes_once import (
    GONE_SECONDS,
    KEY,
    LOOK_SECONDS,
    PATIENCE,
    cannot_start,
    condition,
    job_of,
    no_pod_runs,
    pod_of,
    removed,
)
from opsbook.connectors.runtimes.kubernetes_pods import Pod, read_pod
from opsbook.connectors.runtimes.once import Once
from opsbook.errors import OpsbookError, Refused, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

START_SECONDS = 180.0
"""A volume may have to be attached to the node first."""
LITTLE = {"cpu": "10m", "memory": "64Mi"}
"""What it asks for: it works beside its workload, on a node that may have no room for a second one."""


class _Pod:
    """The pod, once it runs."""

    def __init__(self, runtime: Kubernetes, pod: Pod, container: str, forwards: _ToPod | None = None) -> None:
        self._runtime, self._pod, self._container, self._forwards = runtime, pod, container, forwards

    async def talk(self, argv: Sequence[str], given: bytes, hear: Hear) -> tuple[int | None, str]:
        try:
            return await exchange(self._runtime, self._pod, self._container, argv, hear, given)
        except (ApiFault, Unreachable) as error:
            return None, error.message

    async def address(self, port: int) -> tuple[str, int]:
        assert self._forwards is not None
        return LOOPBACK, self._forwards.port(self._pod.name, port, asyncio.get_running_loop())


class _ToPod(Forwards):
    """Forwards to the ports of one pod, which no service leads to."""

    async def _endpoint(self, inside: Inside, port: int) -> tuple[str, int]:
        return inside.service, port


@asynccontextmanager
async def made(runtime: Kubernetes, wanted: Beside, out: Sink) -> AsyncIterator[_Pod]:
    """See `beside.beside`."""
    kind, now = await runtime.found(wanted.workload)
    container, image = runtime.image_of(now, wanted.workload)
    nodes = [pod.node for pod in await runtime.pods(wanted.workload) if pod.node and not pod.ending]
    body = body_of(wanted, {**now, "kind": kind.name}, container, image, nodes[0] if nodes else "")
    forwards, started = _ToPod(runtime.api, runtime.namespace.name), False
    try:
        path = await _posted(runtime, wanted, body)
        pod = await _running(runtime, wanted, path)
        started = True
        await out.write(f"started job {wanted.name} beside {wanted.workload}, on {pod.node}\n")
        yield _Pod(runtime, pod, container, forwards)
    except BaseException:
        with suppress(OpsbookError):
            # Nothing was run in one that never started, which may be on a node that will not answer.
            ending = _gone(runtime, wanted) if started else _removed(runtime, wanted)
            await asyncio.shield(asyncio.ensure_future(ending))
        raise
    else:
        await _gone(runtime, wanted)
    finally:
        await forwards.close()


async def running(runtime: Kubernetes, workload: str) -> _Pod:
    """See `beside.within`."""
    _, now = await runtime.found(workload)
    container, _ = runtime.image_of(now, workload)
    pods = [pod for pod in await runtime.pods(workload) if container in pod.images and pod.started and not pod.ending]
    if not pods:
        raise ReadFailed(f"no pod of {workload} runs at this moment")
    if len(pods) > 1:
        raise several(workload, f"{len(pods)} pods of it run")
    return _Pod(runtime, pods[0], container)


def body_of(wanted: Beside, workload: Object, container: str, image: str, node: str) -> Object:
    """The Job. What its workload prepares before it starts is left out: it may write the very files that are at stake.

    On the node of the workload's pod, where there is one: a volume may be held by that node alone. Raises Refused for
    a workload of several pods.
    """
    if (workload["spec"].get("replicas") or 0) > 1:
        raise several(wanted.workload, f"it has {workload['spec']['replicas']} replicas")
    version = image if "/" in image or "@" in image else version_of(image)
    argv = ["sh", "-c", WAITING, "sh", str(round(wanted.lasts))]
    body = job_of(
        Once(wanted.name, wanted.key, wanted.workload, version, argv, wanted.lasts), template_of(workload), container
    )
    spec: dict[str, Any] = body["spec"]["template"]["spec"]
    for key in ("initContainers", "topologySpreadConstraints", "nodeName"):
        spec.pop(key, None)
    affinity = copy.deepcopy(spec.pop("affinity", None) or {}).get("nodeAffinity")
    if node:
        fields = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [fields]}}
    if affinity:
        spec["affinity"] = {"nodeAffinity": affinity}
    own = spec["containers"][0]
    if own.get("resources"):
        own["resources"] = {**own["resources"], "requests": dict(LITTLE)}
    if workload["kind"] == STATEFUL_SET.name:
        claimed = [one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates") or ()]
        spec["volumes"] = [one for one in spec.get("volumes") or () if one["name"] not in claimed] + [
            {"name": one, "persistentVolumeClaim": {"claimName": f"{one}-{workload['metadata']['name']}-0"}}
            for one in claimed
        ]
    return body


async def _posted(runtime: Kubernetes, wanted: Beside, body: Object) -> str:
    """The path of the new Job, after one that was left behind is gone. Raises Refused for one of somebody else that
    runs, Unreachable where a pod does not go.
    """
    path = await runtime.namespace.of(JOB, wanted.name)
    deadline = asyncio.get_running_loop().time() + GONE_SECONDS
    while True:
        try:
            there = await runtime.api.get(path)
        except NotThere:
            there = {}
        if there and (there["metadata"].get("annotations") or {}).get(KEY) != wanted.key and not condition(there):
            raise Refused(f"job/{wanted.name} is under way already", "wait until it has ended")
        if there:
            await removed(runtime, path)
        elif await no_pod_runs(runtime, wanted.name):
            try:
                await runtime.api.post(await runtime.namespace.of(JOB), body)
                return path
            except ApiFault as error:
                if error.reason != "AlreadyExists":
                    raise ChangeFailed(f"the job {wanted.name} cannot be made: {error.message}", error.hint) from error
        if asyncio.get_running_loop().time() > deadline:
            raise await _stuck(runtime, wanted.name)
        await asyncio.sleep(LOOK_SECONDS)


async def _stuck(runtime: Kubernetes, name: str) -> Unreachable:
    pod = await pod_of(runtime, name) or {}
    called = (pod.get("metadata") or {}).get("name") or f"of job/{name}"
    node = (pod.get("spec") or {}).get("nodeName")
    return Unreachable(
        f"the pod {called}{f' on {node}' if node else ''} does not go",
        f"make sure that {node or 'its node'} is off, then delete the pod by force",
    )


async def _running(runtime: Kubernetes, wanted: Beside, path: str) -> Pod:
    """Its pod, once commands can be run in it. Raises ChangeFailed."""
    clock, never = asyncio.get_running_loop().time, 0
    deadline = clock() + START_SECONDS
    why = "no pod is made for it"
    while clock() < deadline:
        pod = await pod_of(runtime, wanted.name)
        if pod is not None and not pod["metadata"].get("deletionTimestamp"):
            read = read_pod(pod)
            if read.started:
                return read
            why = cannot_start(pod) or read.reason or "its containers do not start"
            never = never + 1 if cannot_start(pod) else 0
        if never > PATIENCE or condition(await runtime.api.get(path)):
            break
        await asyncio.sleep(LOOK_SECONDS)
    raise ChangeFailed(f"the pod of job/{wanted.name} cannot be started: {why}", "opsbook events of its workload")


async def _removed(runtime: Kubernetes, wanted: Beside) -> bool:
    """Ask that it is removed; False where the job is not of this key."""
    path = await runtime.namespace.of(JOB, wanted.name)
    with suppress(NotThere):
        if ((await runtime.api.get(path))["metadata"].get("annotations") or {}).get(KEY) != wanted.key:
            return False
    await removed(runtime, path)
    return True


async def _gone(runtime: Kubernetes, wanted: Beside) -> None:
    """Removed, and none of its pods runs. Raises Unreachable where that cannot be seen."""
    if not await _removed(runtime, wanted):
        return
    clock = asyncio.get_running_loop().time
    deadline = clock() + GONE_SECONDS
    while not await no_pod_runs(runtime, wanted.name):
        if clock() > deadline:
            raise await _stuck(runtime, wanted.name)
        await asyncio.sleep(LOOK_SECONDS)
