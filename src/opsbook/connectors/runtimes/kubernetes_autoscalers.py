"""Horizontal autoscalers: which one holds a workload, and what it holds it between."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Object
from opsbook.connectors.runtimes.kubernetes_quantities import quantity
from opsbook.connectors.runtimes.kubernetes_targets import KIND, OTHERS, Target, patched, verdict

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

KIND_NAME = "HorizontalPodAutoscaler"
TOLERANCE = 0.1
"""Share of its aim by which a metric may differ before the number of pods changes."""


@dataclass(frozen=True)
class Aim:
    """A metric that the number of pods follows; figures as fractions of requests, or as the metric itself."""

    name: str
    target: float
    current: float | None
    target_shown: str
    now_shown: str


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
    aims: tuple[Aim, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Type → reason, of those that say something of now: AbleToScale, ScalingActive, ScalingLimited."""

    @property
    def needed(self) -> int | None:
        """Pods that its aims ask for, without its bounds; None where no metric has come."""
        ratios = [one.current / one.target for one in self.aims if one.current is not None]
        return math.ceil(round(self.current * max(ratios), 6)) if ratios else None

    @property
    def pressed(self) -> bool:
        """Whether its aims ask for more pods than there are."""
        return any(one.current is not None and one.current > one.target * (1 + TOLERANCE) for one in self.aims)

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
    runtime: Kubernetes, one: Autoscaler, least: int, most: int, workload: str = "", wait: float = 120,
    aims: Mapping[str, Any] | None = None,
) -> Change:  # fmt: skip
    """The change that sets what it holds its workload between, and what it aims at (`aims`, a part of its spec).

    Raises Refused where the server would not take it.
    """
    target = Target.of(KIND_NAME, one.name)
    evidence = {"autoscaler": one.name, "workload": one.workload, "least": one.least, "most": one.most,
                "pods": one.current}  # fmt: skip
    more: dict[str, Any] = {"wait": wait}
    if workload:
        more |= {"workload": workload, "until": "bounded", "least": least, "most": most}
    if one.metrics:
        evidence["aims"] = list(one.metrics)
    patch = {"spec": {"minReplicas": least, "maxReplicas": most, **(aims or {})}}
    change = patched(target, one.raw, patch, verb="autoscale", evidence=evidence, more=more)
    told = await verdict(runtime, change.effect, one.raw)
    inverse = change.inverse
    if isinstance(inverse, Change):
        back = {key: value for key, value in inverse.effect.items() if key not in ("until", "least", "most")}
        inverse = Change(KIND, back, guard=inverse.guard)
    return Change(KIND, change.effect, {**evidence, **told}, change.guard, inverse)


def _read(one: Object) -> Autoscaler:
    spec, status = one["spec"], one.get("status") or {}
    reference = spec["scaleTargetRef"]
    conditions = {each["type"]: each for each in _conditions(one, status)}
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
        aims=tuple(_aims(spec, status)),
        conditions={name: each.get("reason", "") for name, each in conditions.items()},
    )


def _conditions(one: Object, status: Object) -> list[Object]:
    """autoscaling/v1 has them as text, in an annotation."""
    told = (one["metadata"].get("annotations") or {}).get("autoscaling.alpha.kubernetes.io/conditions")
    return list(status.get("conditions") or (json.loads(told) if told else []))


def _aims(spec: Object, status: Object) -> list[Aim]:
    now = {_name(one): one for one in status.get("currentMetrics") or [] if one.get("type")}
    found = []
    for one in spec.get("metrics") or []:
        target, seen = _number(one, "target"), now.get(_name(one))
        if target:
            current = _number(seen, "current") if seen else None
            shown = _figure(seen, "current") if seen else ""
            found.append(Aim(_name(one), target, current, _figure(one, "target"), shown))
    if percent := spec.get("targetCPUUtilizationPercentage"):  # autoscaling/v1
        used = status.get("currentCPUUtilizationPercentage")
        found.append(Aim("cpu", percent / 100, None if used is None else used / 100, f"{percent}%", f"{used}%"))
    return found


def _number(metric: Object, key: str) -> float | None:
    found = (metric.get(str(metric.get("type", ""))[:1].lower() + str(metric.get("type", ""))[1:]) or {}).get(key) or {}
    if "averageUtilization" in found:
        return float(found["averageUtilization"]) / 100
    text = found.get("averageValue") or found.get("value")
    return quantity(text) if text else None


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
