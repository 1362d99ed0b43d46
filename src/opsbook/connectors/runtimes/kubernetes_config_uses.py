"""Which config maps of a namespace something names: a workload, a revision that it may go back to, a job, a pod."""

from __future__ import annotations

from collections.abc import AsyncIterator

from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import NotThere, Object
from opsbook.connectors.runtimes.kubernetes_config import OF, named_in
from opsbook.connectors.runtimes.kubernetes_kinds import KINDS, REPLICA_SET, template_of


async def maps_in_use(runtime: Kubernetes) -> frozenset[str]:
    """Raises ApiFault where something may not be listed: what is not seen may name one."""
    return frozenset([name async for template in _templates(runtime) for name in named_in(template)])


async def _templates(runtime: Kubernetes) -> AsyncIterator[Object]:
    namespace = runtime.namespace
    for kind in {**KINDS, REPLICA_SET.name: REPLICA_SET}.values():
        try:
            path = await namespace.of(kind)
        except NotThere:
            continue
        async for one in runtime.api.pages(path):
            yield template_of(one)
    revisions = await namespace.path("apps", ("v1",), "controllerrevisions")
    async for one in runtime.api.pages(revisions):
        template = ((one.get("data") or {}).get("spec") or {}).get("template") or {}
        if (template.get("spec") or {}).get("containers"):
            yield template
    async for one in runtime.api.pages(namespace.core("pods")):
        yield one


async def versions_of(runtime: Kubernetes, base: str) -> list[str]:
    """The versions of a map that were made by deploys, the oldest first."""
    found = [
        (one["metadata"].get("creationTimestamp", ""), str(one["metadata"]["name"]))
        async for one in runtime.api.pages(runtime.namespace.core("configmaps"), {"labelSelector": f"{OF}={base[:63]}"})
    ]
    return [name for _, name in sorted(found)]
