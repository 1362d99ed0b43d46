"""Kubernetes manifests: what the API refuses, and what it takes but cannot work."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import yml
from opsbook.manual.lint.facts.manifests import Manifest
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_GONE = {
    ("extensions/v1beta1", "Deployment"): ("apps/v1", "1.16"),
    ("apps/v1beta1", "Deployment"): ("apps/v1", "1.16"),
    ("apps/v1beta2", "Deployment"): ("apps/v1", "1.16"),
    ("extensions/v1beta1", "DaemonSet"): ("apps/v1", "1.16"),
    ("apps/v1beta1", "StatefulSet"): ("apps/v1", "1.16"),
    ("apps/v1beta2", "StatefulSet"): ("apps/v1", "1.16"),
    ("extensions/v1beta1", "Ingress"): ("networking.k8s.io/v1", "1.22"),
    ("networking.k8s.io/v1beta1", "Ingress"): ("networking.k8s.io/v1", "1.22"),
    ("extensions/v1beta1", "NetworkPolicy"): ("networking.k8s.io/v1", "1.16"),
    ("batch/v1beta1", "CronJob"): ("batch/v1", "1.25"),
    ("batch/v2alpha1", "CronJob"): ("batch/v1", "1.21"),
    ("policy/v1beta1", "PodDisruptionBudget"): ("policy/v1", "1.25"),
    ("policy/v1beta1", "PodSecurityPolicy"): ("", "1.25"),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler"): ("autoscaling/v2", "1.25"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): ("autoscaling/v2", "1.26"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRole"): ("rbac.authorization.k8s.io/v1", "1.22"),
    ("rbac.authorization.k8s.io/v1beta1", "Role"): ("rbac.authorization.k8s.io/v1", "1.22"),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"): ("apiextensions.k8s.io/v1", "1.22"),
    ("admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration"): (
        "admissionregistration.k8s.io/v1",
        "1.22",
    ),
    ("certmanager.k8s.io/v1alpha1", "Certificate"): ("cert-manager.io/v1", "cert-manager 0.11"),
    ("cert-manager.io/v1alpha2", "Certificate"): ("cert-manager.io/v1", "cert-manager 1.6"),
}


@rule(
    "OB420",
    "policy-cuts-dns",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="A network policy whose egress leaves out DNS",
    reason=(
        "As soon as Egress is listed, everything not allowed is dropped, lookups on port 53 "
        "too: the pods cannot even find the database that the policy lets them reach."
    ),
    source="https://kubernetes.io/docs/concepts/services-networking/network-policies/",
    bad=yml(
        "apiVersion: networking.k8s.io/v1\n"
        "kind: NetworkPolicy\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  podSelector: {}\n"
        "  policyTypes: [Egress]\n"
        "  egress:\n"
        "  - to:\n"
        "    - podSelector: {matchLabels: {app: db}}\n"
        "    ports:\n"
        "    - port: 5432"
    ),
    good=yml(
        "apiVersion: networking.k8s.io/v1\n"
        "kind: NetworkPolicy\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  podSelector: {}\n"
        "  policyTypes: [Egress]\n"
        "  egress:\n"
        "  - to:\n"
        "    - podSelector: {matchLabels: {app: db}}\n"
        "    ports:\n"
        "    - port: 5432\n"
        "  - ports:\n"
        "    - {port: 53, protocol: UDP}\n"
        "    - {port: 53, protocol: TCP}"
    ),
)
def policy_cuts_dns(context: Context) -> Iterator[Fault]:
    """Egress rules that all name ports and none of them 53; another policy that allows DNS answers it."""
    policies = [m for m in context.manifests if m.kind == "NetworkPolicy"]
    if any(_allows_dns(m) and m.get("spec", "podSelector") in ({}, None) for m in policies if m.get("spec", "egress")):
        return
    for manifest in policies:
        egress = manifest.get("spec", "egress")
        if isinstance(egress, list) and egress and not _allows_dns(manifest):
            yield Fault(
                manifest.place("spec", "egress"),
                "no rule lets DNS (port 53) out: no name resolves, not even the database's",
                Fix("allow port 53, UDP and TCP, to kube-system"),
            )


def _allows_dns(manifest: Manifest) -> bool:
    for entry in manifest.get("spec", "egress") or []:
        ports = entry.get("ports") if isinstance(entry, dict) else None
        if not ports:
            to = entry.get("to") if isinstance(entry, dict) else None
            if (
                not to
                or "kube-system" in str(to)
                or "kube-dns" in str(to)
                or any("namespaceSelector" in str(t) and "{}" in str(t) for t in to)
                or "0.0.0.0/0" in str(to)
            ):
                return True
            continue
        if any(str(port.get("port")) in ("53", "dns", "dns-tcp") for port in ports if isinstance(port, dict)):
            return True
    return False


@rule(
    "OB421",
    "selector-matches-nothing",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A workload whose selector does not match its own pods",
    reason="The API refuses the Deployment: selector does not match template labels.",
    source="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector",
    bad=yml(
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  selector: {matchLabels: {app: api}}\n"
        "  template:\n"
        "    metadata: {labels: {app: backend}}\n"
        "    spec: {containers: [{name: api, image: 'api:1'}]}"
    ),
    good=yml(
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  selector: {matchLabels: {app: api}}\n"
        "  template:\n"
        "    metadata: {labels: {app: api}}\n"
        "    spec: {containers: [{name: api, image: 'api:1'}]}"
    ),
)
def selector_matches_nothing(context: Context) -> Iterator[Fault]:
    """matchLabels that the template lacks; a missing selector."""
    for manifest in context.manifests:
        if manifest.kind not in ("Deployment", "StatefulSet", "DaemonSet"):
            continue
        labels = manifest.get("spec", "template", "metadata", "labels")
        wanted = manifest.get("spec", "selector", "matchLabels")
        if isinstance(labels, dict) and isinstance(wanted, dict):
            for key, value in wanted.items():
                if labels.get(key) != value and "{{" not in f"{value}{labels}":
                    yield Fault(
                        manifest.place("spec", "selector", "matchLabels", key),
                        f"{key}: {value} is no label of the pods: the API refuses it",
                    )
        elif (
            isinstance(labels, dict)
            and manifest.get("spec", "selector") is None
            and manifest.get("spec", "template", "spec", "containers")
        ):
            yield Fault(manifest.place("spec"), f"a {manifest.kind} needs spec.selector")


@rule(
    "OB422",
    "api-version-gone",
    FaultClass.DEPRECATED,
    Severity.ERROR,
    summary="An apiVersion that Kubernetes no longer serves",
    reason="The API server answers: no matches for kind. The manifest cannot be applied.",
    source="https://kubernetes.io/docs/reference/using-api/deprecation-guide/",
    bad=yml("apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: backup}"),
    good=yml("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: backup}"),
)
def api_version_gone(context: Context) -> Iterator[Fault]:
    """The table of removed versions."""
    for manifest in context.manifests:
        if manifest.kind:
            gone = _GONE.get((str(manifest.get("apiVersion")), manifest.kind))
            if gone:
                now = f"{gone[0]} since {gone[1]}" if gone[0] else f"gone since {gone[1]}"
                yield Fault(
                    manifest.place("apiVersion"),
                    f"{manifest.get('apiVersion')} {manifest.kind} is {now}",
                    Fix(gone[0]) if gone[0] else None,
                )


@rule(
    "OB423",
    "yaml-broken",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A YAML block that does not parse",
    reason=(
        "No tool reads it as it stands: indentation is meaning in YAML, and one wrong blank "
        "moves a key or ends the list."
    ),
    source="https://yaml.org/spec/1.2.2/",
    bad=yml("groups:\n  - name: api\n    rules:\n     - alert: Down\n      expr: up == 0"),
    good=yml("groups:\n  - name: api\n    rules:\n      - alert: Down\n        expr: up == 0"),
)
def yaml_broken(context: Context) -> Iterator[Fault]:
    """Blocks tagged yaml; templates, dots and blocks of several files are left alone."""
    tagged = {fence.line: fence for fence in context.document.fences() if fence.tag.lower() in ("yaml", "yml")}
    for manifest in context.manifests:
        fence = tagged.get(manifest.first_line) or next(
            (f for f in tagged.values() if f.line <= manifest.error_line <= f.end_line), None
        )
        if not manifest.error or fence is None or re.search(r"\{\{|\{%|^\s*\.\.\.|…|<[\w -]+>|!\w+", fence.text, re.M):
            continue
        if not re.search(
            (
                r"(?m)^\s*(?:- )?(?:apiVersion|kind|groups|rules|services|expr|image|version|spec|data|"
                r"receivers|route|scrape_configs|jobs|name)\s*:"
            ),
            fence.text,
        ):
            continue  # prose in YAML's clothes
        if re.search(r"could not determine a constructor|timestamp|duplicate", manifest.error):
            continue
        yield Fault(Place(manifest.error_line, 1), f"does not parse: {manifest.error}")


@rule(
    "OB424",
    "autoscaler-limits",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="An autoscaler with impossible limits or a disruption budget that allows no eviction",
    reason=("The API refuses minReplicas above maxReplicas. minAvailable of all replicas blocks every drain for ever."),
    source="https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
    bad=yml(
        "apiVersion: autoscaling/v2\n"
        "kind: HorizontalPodAutoscaler\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  scaleTargetRef: {kind: Deployment, name: api}\n"
        "  minReplicas: 10\n"
        "  maxReplicas: 5"
    ),
    good=yml(
        "apiVersion: autoscaling/v2\n"
        "kind: HorizontalPodAutoscaler\n"
        "metadata: {name: api}\n"
        "spec:\n"
        "  scaleTargetRef: {kind: Deployment, name: api}\n"
        "  minReplicas: 2\n"
        "  maxReplicas: 5"
    ),
)
def autoscaler_limits(context: Context) -> Iterator[Fault]:
    """min above max; a budget of 100 % or maxUnavailable 0."""
    for manifest in context.manifests:
        if manifest.kind == "HorizontalPodAutoscaler":
            least, most = manifest.get("spec", "minReplicas"), manifest.get("spec", "maxReplicas")
            if isinstance(least, int) and isinstance(most, int) and least > most:
                yield Fault(manifest.place("spec", "minReplicas"), f"minReplicas {least} is above maxReplicas {most}")
        elif manifest.kind == "PodDisruptionBudget" and _blocks_drains(manifest):
            yield Fault(
                manifest.place("spec"),
                "no pod may ever be evicted: every drain waits for ever",
                severity=Severity.WARNING,
                fault=FaultClass.UNSAFE,
            )


def _blocks_drains(manifest: Manifest) -> bool:
    least, most = manifest.get("spec", "minAvailable"), manifest.get("spec", "maxUnavailable")
    return str(least) == "100%" or str(most) in ("0", "0%")
