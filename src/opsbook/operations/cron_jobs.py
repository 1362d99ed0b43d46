"""Cron jobs of a cluster, started now. Their schedule is held back by `workload.stop`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere
from opsbook.connectors.runtimes.kubernetes_jobs import job_name, job_of
from opsbook.connectors.runtimes.kubernetes_kinds import CRON_JOB, JOB
from opsbook.connectors.runtimes.kubernetes_targets import KIND, Target, refusal
from opsbook.connectors.workload import workload_of
from opsbook.operations.contract import Facts, OperationParameters, Verdict
from opsbook.operations.registry import operation


class Trigger(OperationParameters):
    wait: float = Field(3600, gt=0, le=86400, description="seconds that the job may take")


async def _cron_job(runtime: Kubernetes, workload: str) -> dict[str, Any]:
    kind, now = await runtime.found(workload)
    if kind is not CRON_JOB:
        raise Unsupported(f"{workload} is a {kind.name} and not a CronJob")
    return now


@operation(
    "cron_job.trigger", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Trigger,
    doc="Starts one job of a cron job now and waits for its end. Cut off, it finds the job that it started.",
)  # fmt: skip
class _Trigger:
    async def plan(self, parameters: Trigger, facts: Facts) -> AsyncIterator[Change]:
        runtime = kubernetes_of(facts.runtime)
        workload = workload_of(facts.system, parameters.of)
        now = await _cron_job(runtime, workload)
        name = now["metadata"]["name"]
        try:
            job = job_of(now, job_name(name, "planned"))
            await runtime.api.post(await runtime.namespace.of(JOB), job, dry=True)
        except ApiFault as error:
            raise refusal(error) from error
        effect = {"verb": "trigger", "object": Target.workload(CRON_JOB, name).said(), "workload": workload,
                  "wait": parameters.wait}  # fmt: skip
        evidence = {"running": [one["name"] for one in (now.get("status") or {}).get("active") or []],
                    "last": (now.get("status") or {}).get("lastScheduleTime"),
                    "suspended": bool(now["spec"].get("suspend"))}  # fmt: skip
        yield Change(KIND, effect, evidence, {"uid": now["metadata"]["uid"]}, "what a job did, only its author knows")

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        runtime = kubernetes_of(facts.runtime)
        try:
            job = await runtime.api.get(await runtime.namespace.of(JOB, job_name(change.effect["object"]["name"], key)))
        except NotThere:
            return "not_done"
        return "done" if (job.get("status") or {}).get("succeeded") else "unknown"
