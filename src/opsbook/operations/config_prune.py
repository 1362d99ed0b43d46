"""Old versions of a configuration, removed once nothing uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.config_files import files_of, versions
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_config import base_of, named_in
from opsbook.connectors.runtimes.kubernetes_config_uses import maps_in_use, versions_of
from opsbook.connectors.runtimes.kubernetes_kinds import template_of
from opsbook.connectors.sides import serving_workload
from opsbook.connectors.workload import workload_of
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

KEPT = 10
"""Versions that stay, however old: as many as Kubernetes keeps revisions of a workload."""
GONE = "a version that was removed is gone; the one that is used, and the newest ones, are there"


class Prune(OperationParameters):
    keep: int = Field(KEPT, ge=1, description="how many versions that nothing uses stay; the newest ones")


@operation(
    "config.prune", Risk.SAFE, of="workload", idempotent=True, parameters=Prune,
    doc="Removes old versions of a workload's configuration but for the newest ones: config maps that `config.deploy` "
    "made and that no workload, no revision, no job and no pod names; elsewhere the copies beside its files.",
)  # fmt: skip
class _Prune(Repeatable):
    async def plan(self, parameters: Prune, facts: Facts) -> AsyncIterator[Change]:
        connections = facts.connector(parameters.of).connections
        workload = await serving_workload(connections, parameters.of) or workload_of(facts.system, parameters.of)
        if isinstance(facts.runtime, Kubernetes):
            yield await _maps(facts.runtime, workload, parameters)
            return
        files = await asyncio.to_thread(files_of, connections, parameters.of, workload)
        kept = [(path, versions(path)) for path in dict.fromkeys(one.path for one in files)]
        old = [str(one) for _, found in kept for one in found[: -parameters.keep]]
        seen = {"versions": {path.name: len(found) for path, found in kept}, "keep": parameters.keep}
        yield Change("config-prune", {"component": parameters.of, "files": old}, seen, inverse=GONE)


async def _maps(runtime: Kubernetes, workload: str, parameters: Prune) -> Change:
    _, now = await runtime.found(workload)
    used = await maps_in_use(runtime)
    bases = dict.fromkeys(base_of(name) for name in named_in(template_of(now)))
    old, seen = [], {}
    for base in bases:
        found = await versions_of(runtime, base)
        idle = [name for name in found if name not in used]
        old += idle[: -parameters.keep]
        seen[base] = {"versions": len(found), "in use": len(found) - len(idle)}
    effect = {"component": parameters.of, "maps": old}
    return Change("config-prune", effect, {"maps": seen, "keep": parameters.keep}, inverse=GONE)
