"""A workload looked into while it runs: where its CPU time goes, what its memory is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.executors.profile import instance_of, seen_here
from opsbook.connectors.inside.look import runtime_that_looks
from opsbook.connectors.profiles.sampling import program
from opsbook.connectors.workload import workload_name
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Profiled(OperationParameters):
    what: Literal["cpu", "memory"] = Field("cpu", description="`memory` writes figures of the kernel and all stacks")
    seconds: int = Field(10, ge=1, le=120, description="how long CPU time is sampled")
    rate: int = Field(100, ge=1, le=250, description="samples a second")
    format: Literal["flamegraph", "speedscope"] = Field("flamegraph", description="SVG, or JSON for speedscope.app")
    instance: str = Field("", description="which instance; the first that is ready where left out")
    pause: bool = Field(False, description="stop the process for each sample: truer stacks, and it is slower meanwhile")


@operation(
    "workload.profile", Risk.SAFE, of="workload", idempotent=True, parameters=Profiled,
    riskier={"pause": Risk.DISRUPTIVE},
    doc="Samples the Python processes of one instance by py-spy into a file below `.opsbook/profiles`, or writes what"
    " its memory is. Nothing is put into the processes; py-spy is copied into a container that lacks it, and removed.",
)  # fmt: skip
class _Profile(Repeatable):
    async def plan(self, parameters: Profiled, facts: Facts) -> AsyncIterator[Change]:
        runtime = facts.runtime
        runtime_that_looks(runtime)
        workload = await workload_name(facts.connector(parameters.of))
        if parameters.what == "cpu":
            program()
        one = await instance_of(runtime, workload, parameters.instance)
        effect = {
            "component": parameters.of, "workload": workload, "instance": parameters.instance, "what": parameters.what,
            "seconds": parameters.seconds, "rate": parameters.rate, "format": parameters.format,
            "pause": parameters.pause,
        }  # fmt: skip
        where = "host" if await seen_here(runtime, workload, one) else "within"
        evidence = {"instance": one.name, "where": where}
        yield Change("profile", effect, evidence, inverse="nothing to undo: it only looks; delete the file")
