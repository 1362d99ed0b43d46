"""Horizontal autoscalers: which one holds a workload, and what it holds it between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Object
from opsbook.connectors.runtimes.kubernetes_targets import KIND, OTHERS, Target, patched, verdict

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

KIND_NAME = "HorizontalPodAutoscaler"


@dataclass(frozen=True)
class Autoscaler:
    """One autoscaler, as it is now."""

    name: str
    kind: str
    workload: str
    least: int
    most: int
    current: int
    wanted: int
    metrics: tuple[str, ...]
    """Each as `cpu 35% of 80%`."""
    trouble: str
    """Why it cannot do its work; empty where it can."""
    raw: Object

    @property
    def at_most(self) -> bool:
        """Whether it wants all that it may have: it could not want more."""
        return self.wanted >= self.most


async def autoscalers(runtime: Kubernetes) -> list[Autoscaler]:
    """All of the namespace. Raises ApiFault where they may not be read."""
    group, versions, plural, _ = OTHERS[KIND_NAME]
    path = await runtime.namespace.path(group, versions, plural)
    return [_read(one) async for one in runtime.api.pages(path)]


async def autoscaler_of(runtime: Kubernetes, kind: str, name: str) -> Autoscaler | None:
    """The one that holds a workload. Without the right to look, none is known."""
    try:
        return next((one for one in await autoscalers(runtime) if (one.kind, one.workload) == (kind, name)), None)
    except ApiFault as error:
        if error.code in (403, 404):
            return None
        raise


async def bounded(
    runtime: Kubernetes, one: Autoscaler, least: int, most: int, workload: str = "", wait: float = 120
) -> Change:
    """The change that sets what it holds its workload between. Raises Refused where the server would not take it."""
    target = Target.of(KIND_NAME, one.name)
    evidence = {"autoscaler": one.name, "workload": one.workload, "least": one.least, "most": one.most,
                "pods": one.current}  # fmt: skip
    more: dict[str, Any] = {"wait": wait}
    if workload:
        more |= {"workload": workload, "until": "bounded", "least": least, "most": most}
    change = patched(target, one.raw, {"spec": {"minReplicas": least, "maxReplicas": most}}, verb="autoscale",
                     evidence=evidence, more=more)  # fmt: skip
    told = await verdict(runtime, change.effect, one.raw)
    inverse = change.inverse
    if isinstance(inverse, Change):
        back = {key: value for key, value in inverse.effect.items() if key not in ("until", "least", "most")}
        inverse = Change(KIND, back, guard=inverse.guard)
    return Change(KIND, change.effect, {**evidence, **told}, change.guard, inverse)


def _read(one: Object) -> Autoscaler:
    spec, status = one["spec"], one.get("status") or {}
    reference = spec["scaleTargetRef"]
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    trouble = next((conditions[name].get("message", name) for name in ("AbleToScale", "ScalingActive")
                    if name in conditions and conditions[name]["status"] == "False"), "")  # fmt: skip
    return Autoscaler(
        name=one["metadata"]["name"],
        kind=reference["kind"],
        workload=reference["name"],
        least=int(spec.get("minReplicas", 1)),
        most=int(spec["maxReplicas"]),
        current=int(status.get("currentReplicas", 0)),
        wanted=int(status.get("desiredReplicas", 0)),
        metrics=tuple(_metrics(spec, status)),
        trouble=trouble,
        raw=one,
    )


def _metrics(spec: Object, status: Object) -> list[str]:
    now = {_name(one): _figure(one, "current") for one in status.get("currentMetrics") or []}
    said = [
        f"{_name(one)} {now.get(_name(one)) or '?'} of {_figure(one, 'target')}" for one in spec.get("metrics") or []
    ]
    if "targetCPUUtilizationPercentage" in spec:  # autoscaling/v1
        current = status.get("currentCPUUtilizationPercentage", "?")
        said.append(f"cpu {current}% of {spec['targetCPUUtilizationPercentage']}%")
    return said


def _name(metric: Object) -> str:
    inner = metric.get(str(metric.get("type", ""))[:1].lower() + str(metric.get("type", ""))[1:]) or {}
    return str(inner.get("name") or (inner.get("metric") or {}).get("name") or metric.get("type", ""))


def _figure(metric: Object, key: str) -> str:
    inner = metric.get(str(metric.get("type", ""))[:1].lower() + str(metric.get("type", ""))[1:]) or {}
    found = inner.get(key) or {}
    if "averageUtilization" in found:
        return f"{found['averageUtilization']}%"
    return str(found.get("averageValue") or found.get("value") or "")
