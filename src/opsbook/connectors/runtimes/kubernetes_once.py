"""One command in a pod of its own: a Job of the workload's pod template, removed when its logs are read."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_kinds import JOB, container_of, image_with, template_of
from opsbook.connectors.runtimes.kubernetes_pods import NO_IMAGE, NOT_MADE
from opsbook.connectors.runtimes.once import LONGEST_SAID, Once, Ran
from opsbook.errors import Refused, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

KEY = "opsbook/key"
LOOK_SECONDS = 0.4
NEVER_SECONDS = 86400
GONE_SECONDS = 50.0
LEFT_SECONDS = 86400
"""After which the server removes a job whose asker died; from Kubernetes 1.21 on."""
AWAY_SECONDS = 90.0
"""The API server may be away meanwhile: the job goes on without it."""
PATIENCE = 4
"""Looks at a pod that cannot be made, before that is believed."""
LEFT_OUT = ("livenessProbe", "startupProbe", "lifecycle", "ports")


async def run(runtime: Kubernetes, wanted: Once, out: Sink) -> Ran:
    """See `once.run_once`."""
    path = await _begun(runtime, wanted, out)
    ended = await _ended(runtime, wanted, path)
    pod = await pod_of(runtime, wanted.name)
    said = await _said(runtime, pod) if pod else ""
    await out.write(said)
    await removed(runtime, path)
    return Ran(_exit(pod) if ended == "Complete" or pod else None, said)


async def end(runtime: Kubernetes, name: str, key: str) -> bool:
    """See `once.end_once`."""
    path = await runtime.namespace.of(JOB, name)
    try:
        job = await runtime.api.get(path)
    except NotThere:
        return await no_pod_runs(runtime, name)
    if (job["metadata"].get("annotations") or {}).get(KEY) != key:
        return True
    await removed(runtime, path)
    clock = asyncio.get_running_loop().time
    deadline = clock() + GONE_SECONDS
    while not await no_pod_runs(runtime, name):
        if clock() > deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def job_of(wanted: Once, template: Object, container: str) -> Object:
    """The Job: one pod, tried once. Its labels are those of the workload, for the network's policies; it is never
    ready, so that no service sends it a request. Sidecars are left out: they would not end.
    """
    spec = copy.deepcopy(template["spec"])
    own: dict[str, Any] = container_of({"spec": spec}, container)
    for key in LEFT_OUT:
        own.pop(key, None)
    before = own.get("image", "")
    own |= {
        "image": image_with(before, wanted.version),
        "command": list(wanted.argv),
        "args": [],
        "readinessProbe": {"exec": {"command": ["false"]}, "initialDelaySeconds": NEVER_SECONDS},
    }
    if wanted.folder:
        own["workingDir"] = wanted.folder
    own["env"] = [one for one in own.get("env") or [] if one["name"] not in wanted.env]
    own["env"] += [{"name": name, "value": value} for name, value in wanted.env.items()]
    for one in spec.get("initContainers") or []:
        if one.get("image") == before:
            one["image"] = own["image"]
    spec |= {"containers": [own], "restartPolicy": "Never", "terminationGracePeriodSeconds": 5}
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != "pod-template-hash"}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": wanted.name, "annotations": {KEY: wanted.key}},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": max(1, round(wanted.timeout)),
                 "ttlSecondsAfterFinished": LEFT_SECONDS,
                 "template": {"metadata": {"labels": labels, "annotations": metadata.get("annotations") or {}},
                              "spec": spec}},
    }  # fmt: skip


async def _begun(runtime: Kubernetes, wanted: Once, out: Sink) -> str:
    """The path of the job that carries the key, made where none does. Raises Refused for one of somebody else."""
    _, now = await runtime.found(wanted.workload)
    container, _ = runtime.image_of(now, wanted.workload)
    body = job_of(wanted, template_of(now), container)
    path = await runtime.namespace.of(JOB, wanted.name)
    for _ in range(3):
        try:
            await runtime.api.post(await runtime.namespace.of(JOB), body)
            await out.write(f"started job {wanted.name}\n")
            return path
        except ApiFault as error:
            if error.reason != "AlreadyExists":
                raise ChangeFailed(f"the job {wanted.name} cannot be made: {error.message}", error.hint) from error
        try:
            there = await runtime.api.get(path)
        except NotThere:
            continue
        if (there["metadata"].get("annotations") or {}).get(KEY) == wanted.key and not there["metadata"].get(
            "deletionTimestamp"
        ):
            return path
        if not condition(there):
            raise Refused(f"job/{wanted.name} is under way already", f"opsbook logs job/{wanted.name}")
        await removed(runtime, path)
        await asyncio.sleep(LOOK_SECONDS)
    raise Refused(f"job/{wanted.name} is being removed", "try again in a moment")


def condition(job: Object) -> str:
    """`Complete` or `Failed` once it is over."""
    for one in (job.get("status") or {}).get("conditions") or []:
        if one["type"] in ("Complete", "Failed") and one["status"] == "True":
            return str(one["type"])
    return ""


async def _ended(runtime: Kubernetes, wanted: Once, path: str) -> str:
    """How it ended. Raises ChangeFailed where its pod cannot be started."""
    clock, away, never = asyncio.get_running_loop().time, 0.0, 0
    while True:
        try:
            if said := condition(await runtime.api.get(path)):
                return said
            pod = await pod_of(runtime, wanted.name)
            away = 0.0
        except NotThere:
            return "gone"
        except Unreachable:
            away = away or clock()
            if clock() - away > AWAY_SECONDS:
                raise
            await asyncio.sleep(LOOK_SECONDS)
            continue
        why = cannot_start(pod) if pod else ""
        never = never + 1 if why else 0
        if never > PATIENCE:
            await removed(runtime, path)
            raise ChangeFailed(
                f"the pod of job/{wanted.name} cannot be started: {why}", "is the image of the version there?"
            )
        await asyncio.sleep(LOOK_SECONDS)


def cannot_start(pod: Object) -> str:
    for one in [*_statuses(pod, "initContainerStatuses"), *_statuses(pod, "containerStatuses")]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in NO_IMAGE | NOT_MADE:
            return f"{waiting['reason']}: {waiting.get('message', '')}".strip(": ")
    return ""


def _statuses(pod: Object, key: str) -> list[Object]:
    return (pod.get("status") or {}).get(key) or []


async def pod_of(runtime: Kubernetes, name: str) -> Object | None:
    """Its newest pod."""
    found = [one async for one in _pods(runtime, name)]
    return max(found, key=lambda one: one["metadata"].get("creationTimestamp", ""), default=None)


async def _pods(runtime: Kubernetes, name: str) -> AsyncIterator[Object]:
    async for one in runtime.api.pages(runtime.namespace.core("pods"), {"labelSelector": f"job-name={name}"}):
        yield one


async def no_pod_runs(runtime: Kubernetes, name: str) -> bool:
    phases = [one["status"].get("phase") async for one in _pods(runtime, name)]
    return all(phase in ("Succeeded", "Failed") for phase in phases)


def _exit(pod: Object | None) -> int | None:
    for one in _statuses(pod, "containerStatuses") if pod else ():
        if ended := (one.get("state") or {}).get("terminated"):
            return int(ended["exitCode"])
    return None


async def _said(runtime: Kubernetes, pod: Object) -> str:
    path = runtime.namespace.core("pods", pod["metadata"]["name"], "log")
    said: list[str] = []
    size = 0
    try:
        async with runtime.api.lines(path, {"container": pod["spec"]["containers"][0]["name"]}) as lines:
            async for line in lines:
                size += len(line) + 1
                if size > LONGEST_SAID:
                    break
                said.append(line + "\n")
    except ApiFault as error:
        return f"its logs cannot be read: {error.message}\n"
    return "".join(said)


async def removed(runtime: Kubernetes, path: str) -> None:
    try:
        await runtime.api.ask("DELETE", path, {"propagationPolicy": "Background"})
    except NotThere:
        return
