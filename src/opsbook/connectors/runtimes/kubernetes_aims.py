"""The aims of an autoscaler, written as its server's version of `autoscaling` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes_api import Object
from opsbook.connectors.runtimes.kubernetes_autoscalers import KIND_NAME
from opsbook.connectors.runtimes.kubernetes_targets import OTHERS

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes


async def aims_patch(runtime: Kubernetes, spec: Object, cpu: float | None, memory: float | None) -> dict[str, Any]:
    """What of a spec changes for these aims; empty for none. Raises Unsupported where the server has no memory aims."""
    if cpu is None and memory is None:
        return {}
    group, versions, plural, _ = OTHERS[KIND_NAME]
    served = await runtime.namespace.served(group, versions, plural)
    return aims_of(served.rpartition("/")[2], spec, cpu, memory)


def aims_of(version: str, spec: Object, cpu: float | None, memory: float | None) -> dict[str, Any]:
    """The same for a version: `v1` knows CPU alone; later ones a list, in which other aims stay as they are."""
    if version == "v1":
        if memory is not None:
            raise Unsupported("autoscaling/v1, the newest that this server has, aims at CPU alone", "say `cpu`")
        return {"targetCPUUtilizationPercentage": _percent(cpu or 0)}
    wanted = {name: share for name, share in (("cpu", cpu), ("memory", memory)) if share is not None}
    kept = [one for one in spec.get("metrics") or []
            if one.get("type") != "Resource" or (one.get("resource") or {}).get("name") not in wanted]  # fmt: skip
    made = [{"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization",
             "averageUtilization": _percent(share)}}} for name, share in wanted.items()]  # fmt: skip
    # Servers that store autoscaling/v1 put CPU last: what is read back is held against what was sent.
    return {"metrics": sorted([*kept, *made], key=lambda one: (one.get("resource") or {}).get("name") == "cpu")}


def _percent(share: float) -> int:
    return max(1, round(share * 100))


def unasked(template: Object, wanted: Sequence[str]) -> list[str]:
    """Those of `cpu` and `memory` that a container of a pod does not request. A limit alone is a request too."""

    def asks(container: Object, what: str) -> bool:
        said = container.get("resources") or {}
        return what in (said.get("requests") or {}) or what in (said.get("limits") or {})

    return [what for what in wanted if not all(asks(one, what) for one in template["spec"]["containers"])]
