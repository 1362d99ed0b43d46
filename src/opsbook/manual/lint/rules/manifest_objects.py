"""YAML objects of a manual against each other: keys said twice, selectors, autoscalers, budgets, compose services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, yml
from opsbook.manual.lint.facts.inventory import inventory
from opsbook.manual.lint.facts.manifests import Manifest
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_POD = ("spec", "template", "spec", "containers")
_KINDS = ("Deployment", "StatefulSet", "DaemonSet")


def _deployment(labels: str, more: str = "") -> str:
    return (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 2\n"
        f"  selector: {{matchLabels: {{{labels}}}}}\n  template:\n    metadata: {{labels: {{{labels}}}}}\n"
        f"    spec:\n      containers:\n        - name: api\n          image: shop/api:1.2\n{more}"
    )


def _service(labels: str) -> str:
    return (
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec:\n"
        f"  selector: {{{labels}}}\n  ports: [{{port: 80}}]"
    )


def _budget(least: int) -> str:
    return (
        "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: api}\nspec:\n"
        f"  minAvailable: {least}\n  selector: {{matchLabels: {{app: api}}}}"
    )


_SCALER = (
    "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: api}\nspec:\n"
    "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}\n  minReplicas: 2\n  maxReplicas: 5\n"
    "  metrics:\n"
    "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}"
)


@rule(
    "OB430",
    "key-said-twice",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="One key twice in one YAML mapping",
    reason="YAML forbids it: some tools refuse the file, the others take the last value and drop the first unsaid.",
    source="https://yaml.org/spec/1.2.2/#3213-node-comparison",
    bad=yml("services:\n  api:\n    image: shop/api:1.2\n    ports: ['80:80']\n    image: shop/api:1.3"),
    good=yml("services:\n  api:\n    image: shop/api:1.2\n    ports: ['80:80']"),
)
def key_said_twice(context: Context) -> Iterator[Fault]:
    """Scalar keys of every mapping of YAML blocks that parse."""
    for fence in context.document.fences():
        if fence.language != "yaml" or "..." in fence.text:
            continue
        try:
            trees = list(yaml.compose_all(fence.text, Loader=yaml.SafeLoader))
        except (yaml.YAMLError, ValueError):
            continue
        for tree in trees:
            if not (isinstance(tree, yaml.MappingNode) and _alternatives(tree)):
                yield from _twice(tree, fence.line)


def _alternatives(tree: yaml.MappingNode) -> bool:
    """Whether the top of a block repeats its keys: several snippets in one block, not one file."""
    keys = [key.value for key, _ in tree.value if isinstance(key, yaml.ScalarNode)]
    return len(keys) != len(set(keys))


def _twice(node: Any, first: int) -> Iterator[Fault]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item, first)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = first + key.start_mark.line
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    yield Fault(Place(line), f"{key.value} stands at line {seen[key.value]} already")
                seen.setdefault(key.value, line)
            yield from _twice(value, first)


@rule(
    "OB431",
    "service-selects-nothing",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A Service, budget or policy whose selector matches no pods of the workload of its name",
    reason="The Service has no endpoints and every connection fails; a budget or policy holds for nothing.",
    source="https://kubernetes.io/docs/concepts/services-networking/service/#services-in-kubernetes",
    bad=yml(_deployment("app: shop-api") + _service("app: api")),
    good=yml(_deployment("app: api") + _service("app: api")),
)
def service_selects_nothing(context: Context) -> Iterator[Fault]:
    """Selectors against the labels of the workload that has the same name, where no other workload matches."""
    pods = {m.name: m.get("spec", "template", "metadata", "labels") for m in context.manifests if m.kind in _KINDS}
    for manifest in context.manifests:
        path = {
            "Service": ("spec", "selector"),
            "PodDisruptionBudget": ("spec", "selector", "matchLabels"),
        }.get(manifest.kind)
        wanted = manifest.get(*path) if path else None
        own = pods.get(manifest.name) or pods.get(re.sub(r"-(?:service|svc|pdb)$", "", manifest.name))
        if path is None or not isinstance(wanted, dict) or not wanted or not isinstance(own, dict):
            continue
        if not any(isinstance(labels, dict) and wanted.items() <= labels.items() for labels in pods.values()):
            text = ", ".join(f"{key}={value}" for key, value in wanted.items())
            yield Fault(manifest.place(*path), f"{text} matches no pod of the manual; {manifest.name} has other labels")


@rule(
    "OB432",
    "utilisation-of-no-request",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="An autoscaler by utilisation of a workload that requests no resources",
    reason="Utilisation is a share of the request. Without one the autoscaler reports “missing request for cpu” and "
    "never scales.",
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work",
    bad=yml(_deployment("app: api") + _SCALER),
    good=yml(_deployment("app: api", "          resources: {requests: {cpu: 100m}}\n") + _SCALER),
)
def utilisation_of_no_request(context: Context) -> Iterator[Fault]:
    """Resource metrics of type Utilization whose deployment stands in the manual without requests."""
    shown = {m.name: m for m in context.manifests if m.kind in _KINDS}
    for manifest in context.manifests:
        if manifest.kind != "HorizontalPodAutoscaler":
            continue
        target = shown.get(str(manifest.get("spec", "scaleTargetRef", "name") or ""))
        containers = target.get(*_POD) if target else None
        if not isinstance(containers, list) or "..." in str(containers):
            continue
        for i, metric in enumerate(_list(manifest.get("spec", "metrics"))):
            resource = metric.get("resource") if isinstance(metric, dict) else None
            name = resource.get("name") if isinstance(resource, dict) else None
            shares = isinstance(resource, dict) and "averageUtilization" in str(resource.get("target"))
            if name in ("cpu", "memory") and shares and not any(_requests(c, str(name)) for c in containers):
                at = manifest.place("spec", "metrics", i, "resource", "target")
                yield Fault(at, f"{target.name if target else ''} requests no {name}: the share of nothing")


def _requests(container: Any, name: str) -> bool:
    resources = container.get("resources") if isinstance(container, dict) else None
    if not isinstance(resources, dict):
        return False
    return any(isinstance(resources.get(kind), dict) and name in resources[kind] for kind in ("requests", "limits"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@rule(
    "OB433",
    "budget-of-every-pod",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A disruption budget that wants every replica there",
    reason="No pod may be evicted: a drain for an upgrade waits until somebody deletes the budget or the pod by force.",
    source="https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
    bad=yml(_deployment("app: api") + _budget(2)),
    good=yml(_deployment("app: api") + _budget(1)),
)
def budget_of_every_pod(context: Context) -> Iterator[Fault]:
    """minAvailable against the replicas of the manifest or of the inventory, where nothing scales them up."""
    counts = {entry.name: entry.replicas for entry in inventory(context.document) if entry.replicas}
    for manifest in context.manifests:
        replicas = manifest.get("spec", "replicas")
        if manifest.kind in _KINDS and isinstance(replicas, int):
            counts[manifest.name] = replicas
    for manifest in context.manifests:
        least = manifest.get("spec", "minAvailable")
        labels = manifest.get("spec", "selector", "matchLabels")
        if manifest.kind != "PodDisruptionBudget" or not isinstance(least, int) or not isinstance(labels, dict):
            continue
        names = {str(value) for value in labels.values()} | {re.sub(r"-pdb$", "", manifest.name)}
        for name in names & counts.keys() - context.names.autoscaled().keys():
            if least >= (counts[name] or 0):
                yield Fault(manifest.place("spec", "minAvailable"), f"{name} has {counts[name]}: none may be evicted")


@rule(
    "OB434",
    "scaled-beyond-its-name",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="Several containers of a compose service that has a container_name or a fixed port of the host",
    reason="A container's name and a port of the host can be had once: the second container does not start.",
    source="https://docs.docker.com/reference/compose-file/services/#container_name",
    bad=yml("services:\n  api:\n    image: shop/api:1.2\n    ports: ['8000:8000']")
    + "\n\n"
    + sh("docker compose up -d --scale api=3"),
    good=yml("services:\n  api:\n    image: shop/api:1.2\n    ports: ['8000']")
    + "\n\n"
    + sh("docker compose up -d --scale api=3"),
)
def scaled_beyond_name(context: Context) -> Iterator[Fault]:
    """up --scale and scale of more than one, and deploy.replicas, against the compose file of the manual."""
    fixed = dict(_fixed(context))
    for manifest in context.manifests:
        for name, why in fixed.items():
            count = manifest.get("services", name, "deploy", "replicas")
            if isinstance(count, int) and count > 1 and "stack deploy" not in context.text:
                yield Fault(manifest.place("services", name, "deploy", "replicas"), f"{name} {why}: one can start")
    for step in context.calls("docker compose", "up", "scale"):
        call = step.call
        assert call is not None
        told = call.values("--scale") + (list(call.words) if call.verb == "scale" else [])
        for text in told:
            name, _, count = text.partition("=")
            if name in fixed and count.isdigit() and int(count) > 1:
                yield Fault(step.place, f"{name} {fixed[name]}: the second container does not start")


def _fixed(context: Context) -> Iterator[tuple[str, str]]:
    for manifest in context.manifests:
        services = manifest.get("services")
        for name, service in services.items() if isinstance(services, dict) else ():
            if not isinstance(service, dict):
                continue
            if service.get("container_name"):
                yield str(name), f"has the container_name {service['container_name']}"
            elif any(re.fullmatch(r"(?:[\d.]+:)?\d+:\d+(?:/\w+)?", str(p)) for p in _list(service.get("ports"))):
                yield str(name), "has a fixed port of the host"


@rule(
    "OB435",
    "health-check-takes-any-answer",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A container's health check by curl without -f",
    reason="curl ends with 0 for every answer, 500 included: the container is healthy as long as anything listens.",
    source="https://docs.docker.com/reference/dockerfile/#healthcheck",
    bad=yml("services:\n  api:\n    healthcheck:\n      test: [CMD, curl, 'http://localhost:8000/health']"),
    good=yml("services:\n  api:\n    healthcheck:\n      test: [CMD, curl, -f, 'http://localhost:8000/health']"),
)
def health_check_takes_any_answer(context: Context) -> Iterator[Fault]:
    """healthcheck.test of compose, exec probes of Kubernetes, HEALTHCHECK of Dockerfiles; those that cannot fail."""
    for manifest in context.manifests:
        for path, command in _checks(manifest):
            text = " ".join(map(str, command)) if isinstance(command, list) else str(command or "")
            if said := _takes_all(text):
                yield Fault(manifest.place(*path), said)
    for number, line in enumerate(context.document.lines, 1):
        if (found := re.match(r"\s*HEALTHCHECK\b.*\bCMD\b(.*)", line)) and (said := _takes_all(found[1])):
            yield Fault(Place(number), said)


def _checks(manifest: Manifest) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    services = manifest.get("services")
    for name in services if isinstance(services, dict) else ():
        yield ("services", str(name), "healthcheck", "test"), manifest.get("services", name, "healthcheck", "test")
    for c, _ in enumerate(_list(manifest.get(*_POD))):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            path = (*_POD, c, probe, "exec", "command")
            yield path, manifest.get(*path)


def _takes_all(text: str) -> str:
    if re.search(r"\|\|\s*(?:true|exit 0)\b|;\s*exit 0\b", text):
        return "ends with 0 whatever happened"
    curl = re.search(r"\bcurl\b(.*)", text)
    if curl and not re.search(r"(?:^|[\s\"',\[])-\w*f|--fail|grep|-w\b|jq", curl[1]):
        return "curl without -f: a 500 is healthy"
    return ""
