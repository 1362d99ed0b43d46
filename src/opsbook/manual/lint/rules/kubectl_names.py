"""kubectl against the manual's own names: namespaces, pods, kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.names import CLUSTER_WIDE, Mention
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_NAMESPACED = frozenset(
    {
        "delete",
        "patch",
        "scale",
        "set image",
        "set env",
        "set resources",
        "rollout restart",
        "rollout undo",
        "rollout status",
        "rollout history",
        "create secret generic",
        "create secret tls",
        "create secret docker-registry",
        "create configmap",
        "create job",
        "run",
        "exec",
        "edit",
        "autoscale",
        "cp",
        "expose",
        "logs",
        "describe",
        "get",
        "port-forward",
        "top pod",
    }
)


_CHANGES = _NAMESPACED - {
    "logs",
    "describe",
    "get",
    "port-forward",
    "top pod",
    "rollout status",
    "rollout history",
    "exec",
    "cp",
}


@rule(
    "OB310",
    "namespace-missing",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="One command of several leaves out the namespace",
    reason=(
        "Without -n kubectl acts on the context's namespace, normally default: the object is "
        "not found there, or one of the same name is changed. A block that scaled down with "
        "-n does not scale up again without it."
    ),
    source="https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
    bad=sh(
        "kubectl scale deployment/api -n shop --replicas=0\n"
        "kubectl get pods -n shop\n"
        "kubectl scale deployment/api --replicas=3"
    ),
    good=sh(
        "kubectl scale deployment/api -n shop --replicas=0\n"
        "kubectl get pods -n shop\n"
        "kubectl scale deployment/api -n shop --replicas=3"
    ),
)
def namespace_missing(context: Context) -> Iterator[Fault]:
    """Commands without a namespace in a manual that writes one in three of four others and never sets a default."""
    if re.search(r"set-context\b.*--namespace|kubens\s+\w", context.text):
        return
    used = context.names.namespaces()
    relevant = [m for m in context.names.mentions if m.call.verb in _NAMESPACED and not _elsewhere(m)]
    with_it = [m for m in relevant if m.namespace]
    if len(with_it) < 2 or len(with_it) < 2 * (len(relevant) - len(with_it)):
        return
    most = used.most_common(1)[0][0] if used else ""
    for mention in relevant:
        if mention.namespace or (
            not mention.target.kind
            and mention.call.verb
            not in (
                "create secret generic",
                "create secret docker-registry",
                "create job",
                "run",
                "create configmap",
                "create secret tls",
            )
        ):
            continue
        if mention.call.verb in ("get", "describe") and not mention.target.name:
            continue
        if mention.call.verb == "run" and _TOOLBOX.search(mention.step.command.text):
            continue
        known = any(m.target.name == mention.target.name and m.namespace for m in with_it if m.target.name)
        severity = None if mention.call.verb in _CHANGES or known else Severity.WARNING
        word = mention.step.command.argv[-1]
        edit = (
            Edit(word.end_line, word.end_column, word.end_column, f" -n {most}") if word.line == word.end_line else None
        )
        yield Fault(
            mention.step.place,
            f"no namespace: every other command says -n {most}",
            Fix(f"add -n {most}", (edit,) if edit and len(used) == 1 else (), safe=False),
            severity=severity,
        )


_TOOLBOX = re.compile(r"--image[= ]\S*(?:busybox|curl|netshoot|alpine|dnsutils|debug|ubuntu|debian)", re.I)


def _elsewhere(mention: Mention) -> bool:
    call = mention.call
    if (
        call.has("-A", "--all-namespaces", "-f", "--filename", "-k", "--kustomize")
        or mention.target.kind in CLUSTER_WIDE
    ):
        return True
    if call.verb == "cp":
        return any(re.match(r"[\w$-]+/[\w$-].*:", word) for word in call.words)
    return mention.step.command.length > 1 and mention.step.command.position > 0 and call.verb not in _CHANGES


@rule(
    "OB311",
    "pod-name-of-deployment",
    FaultClass.ROT,
    Severity.WARNING,
    summary="A pod named NAME-0 of what is a Deployment everywhere else",
    reason=("Only a StatefulSet numbers its pods. The pods of a Deployment carry hashes, so NAME-0 is not found."),
    source="https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id",
    bad=sh("kubectl rollout restart deployment/api -n shop\nkubectl exec -n shop api-0 -- alembic current"),
    good=sh("kubectl rollout restart deployment/api -n shop\nkubectl exec -n shop deployment/api -- alembic current"),
)
def pod_of_deployment(context: Context) -> Iterator[Fault]:
    """Pods NAME-<number> where NAME is only ever a deployment."""
    kinds = context.names.workloads()
    for mention in context.names.mentions:
        found = re.fullmatch(r"(.+)-\d{1,2}", mention.target.name)
        if mention.target.kind == "pod" and found and kinds.get(found[1]) == {"deployment"}:
            at = mention.place
            edits = (
                (Edit(at.line, at.column, at.end_column, f"deployment/{found[1]}"),)
                if at.end_column and mention.call.verb in ("exec", "logs")
                else ()
            )
            yield Fault(
                at,
                f"{found[1]} is a Deployment: it has no pod {mention.target.name}",
                Fix(f"deployment/{found[1]}", edits),
                subject=mention.target.name,
            )


@rule(
    "OB312",
    "colour-and-plain",
    FaultClass.ROT,
    Severity.WARNING,
    summary="Deployments NAME-blue and NAME-green in one procedure, NAME in the others",
    reason=(
        "With blue and green in use, restart, scaling, rollback and the stop before a "
        "restore act on a deployment NAME that does not serve, or does not exist."
    ),
    source="https://kubernetes.io/blog/2018/04/30/zero-downtime-deployment-kubernetes-jenkins/",
    bad=sh(
        "kubectl set image deployment/api-blue api=shop/api:1.9 -n shop\n"
        "kubectl scale deployment api-green --replicas=0 -n shop"
    )
    + ("\n\n## Rollback\n\n")
    + sh("kubectl rollout undo deployment/api -n shop"),
    good=sh(
        "kubectl set image deployment/api-blue api=shop/api:1.9 -n shop\n"
        "kubectl scale deployment api-green --replicas=0 -n shop"
    )
    + ("\n\n## Rollback\n\n")
    + sh("kubectl rollout undo deployment/api-blue -n shop"),
)
def colour_and_plain(context: Context) -> Iterator[Fault]:
    """NAME-blue or NAME-green beside NAME, both as deployments."""
    kinds = context.names.workloads()
    for name in sorted(kinds):
        found = re.fullmatch(r"(.+)-(blue|green)", name)
        if found and found[1] in kinds and "deployment" in kinds[found[1]]:
            for mention in context.names.of("deployment", name) + context.names.of("deployment", found[1]):
                yield Fault(
                    mention.place,
                    f"{name} here, deployment {found[1]} in the other procedures: they act on different workloads",
                    subject=found[1],
                )


@rule(
    "OB320",
    "namespace-as-network",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A Kubernetes namespace used as the name of a Docker network",
    reason=(
        "Docker does not know the cluster's namespaces: no network of that name exists, and "
        "the container is not isolated."
    ),
    source="https://docs.docker.com/reference/cli/docker/network/disconnect/",
    bad=sh("kubectl get pods -n shop-prod\nkubectl get svc -n shop-prod\ndocker network disconnect shop-prod api-1"),
    good=sh(
        "kubectl get pods -n shop-prod\nkubectl get svc -n shop-prod\ndocker network disconnect shop_default api-1"
    ),
)
def namespace_as_network(context: Context) -> Iterator[Fault]:
    """docker network verbs whose network is a namespace of the manual's kubectl commands."""
    namespaces = context.names.namespaces()
    for step in context.calls("docker", "network disconnect", "network connect", "network inspect"):
        call = step.call
        assert call is not None
        if call.words and namespaces[call.words[0]] > 1:
            yield Fault(
                step.at(call.args[0]),
                f"{call.words[0]} is a Kubernetes namespace here, not a Docker network",
                subject=call.words[0],
            )


@rule(
    "OB321",
    "workload-kind-drifts",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="One workload is a Deployment in one command and a StatefulSet in another",
    reason="One of the two commands is answered with NotFound.",
    source="the manual itself",
    bad=sh(
        "kubectl rollout restart deployment/postgres -n shop\nkubectl scale statefulset/postgres --replicas=1 -n shop"
    ),
    good=sh(
        "kubectl rollout restart statefulset/postgres -n shop\nkubectl scale statefulset/postgres --replicas=1 -n shop"
    ),
)
def kind_drifts(context: Context) -> Iterator[Fault]:
    """The same name with two kinds; also deployment/NAME beside the numbered pod NAME-0 of a database."""
    for name, kinds in sorted(context.names.workloads().items()):
        if len(kinds) < 2:
            continue
        counted = {kind: context.names.of(kind, name) for kind in kinds}
        rare = min(counted, key=lambda kind: len(counted[kind]))
        other = next(kind for kind in kinds if kind != rare)
        for mention in counted[rare]:
            yield Fault(mention.place, f"{name} is a {rare} here and a {other} elsewhere", subject=name)
