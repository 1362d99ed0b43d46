"""Several replicas: logs of one of them, and who sets their number."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, yml
from opsbook.manual.lint.facts.names import WORKLOADS, is_name, targets
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB313",
    "logs-of-one-pod",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Errors are searched in the logs of one pod of several",
    reason=(
        "kubectl logs deployment/NAME picks one pod of the deployment. What the other "
        "replicas logged is neither searched nor exported."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/",
    bad=sh("kubectl scale deployment/api --replicas=3 -n shop\nkubectl logs deployment/api -n shop | grep ERROR"),
    good=sh(
        "kubectl scale deployment/api --replicas=3 -n shop\n"
        "kubectl logs -l app=api -n shop --tail=-1 --prefix | grep ERROR"
    ),
)
def logs_of_one_pod(context: Context) -> Iterator[Fault]:
    """logs deployment/X filtered or into a file, where X runs several replicas; plain views are a hint."""
    several = _replicated(context)
    for step in context.calls("kubectl", "logs"):
        call = step.call
        assert call is not None
        for target in targets(call):
            if target.kind != "deployment" or target.name not in several or call.has("--all-pods", "--all-containers"):
                continue
            filtered = any(s.program in ("grep", "egrep", "rg", "wc") for s in step.block.pipeline(step)) or bool(
                step.command.redirects
            )
            yield Fault(
                step.place,
                f"reads one pod of {target.name}, which runs {several[target.name]}",
                Fix("kubectl logs -l app=NAME --tail=-1 --prefix"),
                severity=None if filtered else Severity.HINT,
                subject=f"{target.name}-{filtered}",
            )


def _replicated(context: Context) -> dict[str, str]:
    """Deployments that the manual runs several replicas of."""
    found: dict[str, str] = {}
    for step in context.calls("kubectl", "scale"):
        call = step.call
        assert call is not None
        count = call.value("--replicas") or ""
        for target in targets(call):
            if target.kind == "deployment" and count.isdigit() and int(count) > 1:
                found[target.name] = count
    for name, (least, _) in context.names.autoscaled().items():
        if least and least > 1:
            found.setdefault(name, str(least))
    return found


@rule(
    "OB314",
    "scaled-against-autoscaler",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A fixed scale of what an autoscaler controls",
    reason=(
        "The HorizontalPodAutoscaler sets replicas every fifteen seconds; a number set by "
        "hand is undone at once. Raise minReplicas instead. (Zero is different: it switches "
        "the autoscaler off.)"
    ),
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
    bad=sh(
        "kubectl autoscale deployment api --min=3 --max=10 --cpu-percent=70 -n shop\n"
        "kubectl scale deployment api --replicas=5 -n shop"
    ),
    good=sh(
        "kubectl autoscale deployment api --min=3 --max=10 --cpu-percent=70 -n shop\n"
        'kubectl patch hpa api -n shop -p \'{"spec":{"minReplicas":5}}\''
    ),
)
def scaled_against(context: Context) -> Iterator[Fault]:
    """scale of an autoscaled name; also where the block itself looks at an autoscaler."""
    scaled_down = {
        t.name
        for s in context.calls("kubectl", "scale")
        if s.call and s.call.value("--replicas") == "0"
        for t in targets(s.call)
    }
    limits = dict.fromkeys(_said_to_scale(context), (None, None)) | context.names.autoscaled()
    for step in context.calls("kubectl", "scale"):
        call = step.call
        assert call is not None
        count = call.value("--replicas") or ""
        for target in targets(call):
            if not count.isdigit() or int(count) == 0 or target.kind not in WORKLOADS:
                continue
            looked = any(
                s.call
                and s.call.tool == "kubectl"
                and s.call.verb in ("get", "describe", "patch")
                and any(t.kind == "hpa" for t in targets(s.call))
                for s in step.block.steps
            )
            least, _most = limits.get(target.name, (None, None))
            back = target.name in scaled_down and any(
                s.call and s.call.value("--replicas") == "0" for s in step.block.before(step)
            )
            if back or (target.name not in limits and not (looked and not limits)):
                continue
            if least is None or int(count) != least:
                why = (
                    "an autoscaler controls it"
                    if target.name in limits
                    else "the block itself looks for its autoscaler"
                )
                yield Fault(
                    step.place,
                    f"sets {target.name} to {count}, but {why}: it is set back",
                    Fix("raise minReplicas of the HorizontalPodAutoscaler"),
                    subject=f"hpa-{target.name}",
                )


_SAID = re.compile(r"\b(?:HPA|HorizontalPodAutoscaler|autoscaler)s?\s+[`*(]*([a-z][a-z0-9]*(?:-[a-z0-9]+)+)\b")


def _said_to_scale(context: Context) -> set[str]:
    """Workloads whose autoscaler the text names: `autoscaled by the HPA shop-api`."""
    return {found for _, text in context.prose for found in _SAID.findall(text)}


@rule(
    "OB322",
    "hpa-needs-metrics",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="An autoscaler of a workload that the manual scales to a fixed number in its manifest",
    reason=("A Deployment manifest with replicas set resets the autoscaler's number at every kubectl apply."),
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#migrating-deployments-and-statefulsets-to-horizontal-autoscaling",
    bad=yml(
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  replicas: 3\n"
        "---\n"
        "apiVersion: autoscaling/v2\n"
        "kind: HorizontalPodAutoscaler\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  scaleTargetRef: {kind: Deployment, name: api}\n"
        "  minReplicas: 3\n"
        "  maxReplicas: 9"
    ),
    good=yml(
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  revisionHistoryLimit: 5\n"
        "---\n"
        "apiVersion: autoscaling/v2\n"
        "kind: HorizontalPodAutoscaler\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  scaleTargetRef: {kind: Deployment, name: api}\n"
        "  minReplicas: 3\n"
        "  maxReplicas: 9"
    ),
)
def fixed_replicas(context: Context) -> Iterator[Fault]:
    """spec.replicas of a Deployment that an autoscaler of the manual controls."""
    scaled = context.names.autoscaled()
    for manifest in context.manifests:
        if (
            manifest.kind == "Deployment"
            and manifest.name in scaled
            and manifest.get("spec", "replicas") is not None
            and is_name(manifest.name)
        ):
            yield Fault(
                manifest.place("spec", "replicas"),
                f"replicas resets the autoscaler of {manifest.name} at every apply",
                Fix("leave replicas out"),
            )
