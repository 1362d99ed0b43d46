"""Pods that hold up the way back of a StatefulSet.

Its controller brings up one pod after the other and waits for one that is not ready, also where its template is no
longer wanted: with an image that cannot be had it waits for ever, and the template that was put back reaches no pod.
Such a pod is deleted; the controller makes it anew of the wanted template.
Source: kubernetes.io/docs/concepts/workloads/controllers/statefulset, "Forced rollback".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Sink
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_kinds import STATEFUL_SET
from opsbook.connectors.runtimes.kubernetes_look import FORBIDDEN, owner_labels
from opsbook.connectors.runtimes.kubernetes_pods import read_pod
from opsbook.connectors.runtimes.kubernetes_revisions import is_noticed

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

REVISION = "controller-revision-hash"
"""The label that names the revision of which a pod was made."""
CONFLICT = 409


def way_back(kind: str) -> dict[str, Any]:
    """What the effect of a way back says besides, so that a plan shows it."""
    return {"replaces_stuck": True} if kind == STATEFUL_SET.name else {}


def stuck(one: Object, pods: Sequence[Object]) -> Iterator[Object]:
    """The pods of a StatefulSet that are neither ready nor of the wanted template, and that it would wait for."""
    wanted = (one.get("status") or {}).get("updateRevision")
    if not wanted or not is_noticed(one):
        return
    # Below its partition the pods of the revision before are wanted.
    first = int(((one["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0)
    for raw in pods:
        pod, metadata = read_pod(raw), raw["metadata"]
        if pod.owner != (STATEFUL_SET.name, one["metadata"]["name"]) or pod.ready or pod.ending:
            continue
        number = metadata["name"].rpartition("-")[2]
        if (metadata.get("labels") or {}).get(REVISION, wanted) != wanted and int(number) >= first:
            yield raw


async def replace_stuck(runtime: Kubernetes, one: Object, out: Sink) -> str:
    """Deletes them. Returns why one could not be deleted, where this credential may not."""
    query: Mapping[str, str | int | list[str]] = {"labelSelector": owner_labels(one)}
    pods = [raw async for raw in runtime.api.pages(runtime.namespace.core("pods"), query)]
    for raw in stuck(one, pods):
        name = raw["metadata"]["name"]
        try:
            with suppress(NotThere):
                body = {"preconditions": {"uid": raw["metadata"]["uid"]}}
                await runtime.api.ask("DELETE", runtime.namespace.core("pods", name), body=body)
                await out.write(f"{name} is not ready and of another template: it is deleted, and made anew\n")
        except ApiFault as error:
            if error.code == FORBIDDEN:
                return f"{name} is of another template, and must be deleted: {error.message}"
            if error.code != CONFLICT:
                raise
    return ""
