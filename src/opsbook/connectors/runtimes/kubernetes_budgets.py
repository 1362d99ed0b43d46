"""Disruption budgets: how many pods of a workload may be away at once, and which of them say no now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Object

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector means something with these labels."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or []:
        value, values = labels.get(rule["key"]), rule.get("values") or []
        held = {"In": value in values, "NotIn": value not in values, "Exists": value is not None,
                "DoesNotExist": value is None}  # fmt: skip
        if not held[rule["operator"]]:
            return False
    return True


async def budgets_of(runtime: Kubernetes, pods: Sequence[Object]) -> list[str]:
    """The budgets of these pods that let none go at this moment, with what they say."""
    found = []
    for namespace in sorted({pod["metadata"]["namespace"] for pod in pods}):
        served = await runtime.namespace.served("policy", ("v1", "v1beta1"), "poddisruptionbudgets")
        try:
            async for one in runtime.api.pages(f"{served}/namespaces/{namespace}/poddisruptionbudgets"):
                status, selector = one.get("status") or {}, one["spec"].get("selector")
                mine = [pod for pod in pods if pod["metadata"]["namespace"] == namespace and selector is not None
                        and selects(selector, pod["metadata"].get("labels") or {})]  # fmt: skip
                if mine and int(status.get("disruptionsAllowed", 0)) < 1:
                    found.append(f"{namespace}/{one['metadata']['name']}: {status.get('currentHealthy', 0)} healthy,"
                                 f" {status.get('desiredHealthy', 0)} needed")  # fmt: skip
        except ApiFault as error:
            if error.code != 403:
                raise
    return found
