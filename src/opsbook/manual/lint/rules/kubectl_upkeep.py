"""Nodes, certificates and services: maintenance that does not do what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.names import targets
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB315",
    "drain-stops",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="kubectl drain without --delete-emptydir-data",
    reason=(
        "drain refuses to go on at the first pod with an emptyDir volume, which most "
        "clusters have, and leaves the node cordoned."
    ),
    source="https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
    bad=sh("kubectl drain node-1 --ignore-daemonsets"),
    good=sh("kubectl drain node-1 --ignore-daemonsets --delete-emptydir-data --timeout=10m"),
)
def drain_stops(context: Context) -> Iterator[Fault]:
    """drain without the flag in either spelling."""
    for step in context.calls("kubectl", "drain"):
        if step.call and not step.call.has("--delete-emptydir-data", "--delete-local-data", "--dry-run"):
            yield Fault(step.place, "stops at the first pod with an emptyDir volume", Fix("--delete-emptydir-data"))


@rule(
    "OB316",
    "kubelet-unpinned",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="Kubernetes packages upgraded to whatever is newest",
    reason=(
        "kubelet may not be newer than the API server, and control planes go up one minor "
        "version at a time by kubeadm upgrade. apt without a version breaks both rules and "
        "does not restart the kubelet."
    ),
    source="https://kubernetes.io/releases/version-skew-policy/",
    bad=sh("apt-get update && apt-get install -y kubelet kubeadm kubectl"),
    good=sh(
        "apt-get install -y kubeadm=1.32.4-1.1\n"
        "kubeadm upgrade node\n"
        "apt-get install -y kubelet=1.32.4-1.1\n"
        "systemctl restart kubelet"
    ),
)
def kubelet_unpinned(context: Context) -> Iterator[Fault]:
    """apt or yum install of kubelet or kubeadm without a version, in a manual that has a running cluster."""
    for step in context.steps:
        if (
            step.program in ("apt", "apt-get", "yum", "dnf")
            and "install" in step.words
            and re.search(r"\b(?:kubelet|kubeadm)\b(?![-=])", step.command.text)
        ):
            upgrading = re.search(
                r"upgrad|update|patch|drain",
                f"{' '.join(step.block.section_path)} {step.comment} {step.block.text}",
                re.I,
            )
            if upgrading:
                yield Fault(
                    step.place,
                    "installs the newest kubelet without kubeadm upgrade and without a version",
                    Fix("kubeadm upgrade node, then kubelet=VERSION"),
                )


@rule(
    "OB317",
    "service-to-replica",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="The database service is pointed at a standby that nobody promoted",
    reason=(
        "A standby refuses writes. If the old primary still lives, both take connections: "
        "split brain. Promote, and fence the old one first."
    ),
    source="https://www.postgresql.org/docs/current/warm-standby-failover.html",
    bad=sh('kubectl patch service postgres -n shop -p \'{"spec":{"selector":{"role":"replica"}}}\''),
    good=sh(
        "kubectl exec postgres-1 -n shop -- pg_ctl promote\n"
        "kubectl patch service postgres -n shop -p "
        '\'{"spec":{"selector":{"role":"replica"}}}\''
    ),
)
def service_to_replica(context: Context) -> Iterator[Fault]:
    """patch service with a selector of replica, standby or slave, and no promotion ahead of it."""
    for step in context.calls("kubectl", "patch"):
        call = step.call
        assert call is not None
        if (
            any(t.kind == "service" for t in targets(call))
            and re.search(r"selector.*\"(?:replica|standby|slave|secondary|read-?replica)\"", step.command.text)
            and not any(
                re.search(r"promote|failover|switchover|trigger", s.command.text) for s in step.block.before(step)
            )
        ):
            yield Fault(
                step.place,
                (
                    "points the service at a standby that is not promoted: it is read-only, and the old "
                    "primary is not fenced"
                ),
                Fix("pg_ctl promote first"),
            )


@rule(
    "OB318",
    "certificate-deleted",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A cert-manager Certificate deleted to renew it",
    reason=(
        "The Secret with the key pair stays when the Certificate goes. When it is created "
        "again cert-manager finds a valid Secret and issues nothing."
    ),
    source="https://cert-manager.io/docs/reference/cmctl/#renew",
    bad=sh("kubectl delete certificate shop-tls -n shop\nkubectl apply -f certificate.yaml -n shop"),
    good=sh("cmctl renew shop-tls -n shop"),
)
def certificate_deleted(context: Context) -> Iterator[Fault]:
    """delete certificate without the deletion of its secret."""
    for step in context.calls("kubectl", "delete"):
        call = step.call
        assert call is not None
        kinds = {t.kind for t in targets(call)}
        if "certificate" in kinds and not re.search(r"delete secret", step.block.text):
            yield Fault(step.place, "does not renew: the secret stays and is still valid", Fix("cmctl renew NAME"))
    for step in context.calls("kubectl", "annotate"):
        if step.call is not None and any(t.kind == "certificate" for t in targets(step.call)):
            said = f"{step.comment} {' '.join(step.block.section_path[-1:])}"
            if re.search(r"renew", said, re.I) and "cert-manager.io/" in step.command.text:
                yield Fault(step.place, "no annotation makes cert-manager renew", Fix("cmctl renew NAME"))


@rule(
    "OB319",
    "managed-secret-overwritten",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A TLS secret written by hand that cert-manager manages",
    reason=("cert-manager watches the secret of its Certificate and issues over what was put there by hand."),
    source="https://cert-manager.io/docs/usage/certificate/",
    bad=sh(
        "kubectl describe certificate shop-tls -n shop\n"
        "kubectl create secret tls shop-tls --cert=a.crt --key=a.key -n shop"
    ),
    good=sh(
        "kubectl describe certificate shop-tls -n shop\n"
        "kubectl create secret tls shop-tls-manual --cert=a.crt --key=a.key -n shop"
    ),
)
def managed_secret(context: Context) -> Iterator[Fault]:
    """create secret tls NAME where NAME is a certificate of the manual."""
    certificates = {m.target.name for m in context.names.mentions if m.target.kind == "certificate" and m.target.name}
    certificates |= {str(m.get("spec", "secretName")) for m in context.manifests if m.kind == "Certificate"}
    for step in context.calls("kubectl", "create secret tls"):
        call = step.call
        assert call is not None
        if call.words and call.words[0] in certificates:
            yield Fault(
                step.place,
                f"cert-manager manages {call.words[0]} and will issue over it",
                Fix("remove the Certificate first, or use another secret"),
            )
