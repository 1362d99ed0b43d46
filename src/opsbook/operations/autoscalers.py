"""The bounds between which an autoscaler holds a workload."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.kubernetes_autoscalers import autoscaler_of, bounded
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Bounds(OperationParameters):
    least: int | None = Field(None, ge=1, description="pods at least; as it is where left out")
    most: int | None = Field(None, ge=1, description="pods at most; as it is where left out")
    wait: float = Field(120, gt=0, le=3600, description="seconds until the workload must be within them")


@operation(
    "autoscaler.set", Risk.SAFE, of="workload", idempotent=True, parameters=Bounds,
    doc="Sets how many pods the autoscaler of a workload keeps at least and at most. Undo brings the old bounds back.",
)  # fmt: skip
class _Set(Repeatable):
    async def plan(self, parameters: Bounds, facts: Facts) -> AsyncIterator[Change]:
        runtime = kubernetes_of(facts.runtime)
        workload = workload_of(facts.system, parameters.of)
        kind, now = await runtime.found(workload)
        found = await autoscaler_of(runtime, kind.name, now["metadata"]["name"])
        if found is None:
            raise Absent(f"no autoscaler holds {workload}", "scale it with `workload.scale`")
        least, most = parameters.least or found.least, parameters.most or found.most
        if least > most:
            raise Refused(f"at least {least} and at most {most} pods cannot both be", "set `least` and `most` together")
        yield await bounded(runtime, found, least, most, workload, parameters.wait)
