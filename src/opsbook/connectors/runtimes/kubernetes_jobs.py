"""Starting a job of a cron job now. The name of the job is made of the key, so that it is started once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Done, Sink
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Object
from opsbook.connectors.runtimes.kubernetes_kinds import JOB
from opsbook.connectors.runtimes.kubernetes_wait import NotReady
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

LOOK_SECONDS = 0.4


def job_name(cron_job: str, key: str) -> str:
    """The job that carries a key."""
    return f"{cron_job[:42]}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def job_of(cron_job: Object, name: str) -> Object:
    """A job as the cron job's own controller would make it, marked as started by hand."""
    inner = cron_job["spec"]["jobTemplate"]
    metadata = inner.get("metadata") or {}
    owner = {"apiVersion": cron_job.get("apiVersion", "batch/v1"), "kind": "CronJob", "controller": True,
             "name": cron_job["metadata"]["name"], "uid": cron_job["metadata"]["uid"]}  # fmt: skip
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": metadata.get("labels") or {},
            "annotations": {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [owner],
        },
        "spec": inner["spec"],
    }


async def trigger(runtime: Kubernetes, key: str, effect: Mapping[str, Any], now: Object, out: Sink) -> Done:
    """Makes the job, unless this key has, and waits for its end. Raises ChangeFailed where it failed."""
    name = job_name(effect["object"]["name"], key)
    try:
        await runtime.api.post(await runtime.namespace.of(JOB), job_of(now, name))
        await out.write(f"started job {name}\n")
    except ApiFault as error:
        if error.reason != "AlreadyExists":
            raise
    clock = asyncio.get_running_loop().time
    deadline = clock() + effect["wait"]
    path = await runtime.namespace.of(JOB, name)
    while True:
        try:
            job = await runtime.api.get(path)
        except Unreachable:
            job = {}
        for condition in (job.get("status") or {}).get("conditions") or []:
            if condition["type"] == "Complete" and condition["status"] == "True":
                return Done({"job": name, "succeeded": job["status"].get("succeeded", 0)})
            if condition["type"] == "Failed" and condition["status"] == "True":
                raise ChangeFailed(f"the job {name} failed: {condition.get('message', '')}", f"opsbook logs job/{name}")
        if clock() > deadline:
            raise NotReady(f"the job {name} has not ended after {effect['wait']:g} s; it runs on",
                           f"opsbook logs job/{name}")  # fmt: skip
        await asyncio.sleep(LOOK_SECONDS)
