"""kubectl against the manual's own names: namespaces, workloads, replicas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, yml
from opsbook.manual.lint.facts.names import CLUSTER_WIDE, WORKLOADS, Mention, is_name, targets
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_NAMESPACED = frozenset({"delete", "patch", "scale", "set image", "set env", "set resources", "rollout restart", "rollout undo", "rollout status", "rollout history",
                         "create secret generic", "create secret tls", "create secret docker-registry", "create configmap", "create job", "exec", "edit", "autoscale", "cp", "expose", "logs", "describe", "get", "port-forward", "top pod"})  # fmt: skip
_CHANGES = _NAMESPACED - {"logs", "describe", "get", "port-forward", "top pod", "rollout status", "rollout history", "exec", "cp"}


@rule(
    "OB310", "namespace-missing", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="One command of several leaves out the namespace",
    reason="Without -n kubectl acts on the context's namespace, normally default: the object is not found there, or one of the same name is changed. A block that scaled down with -n does "
           "not scale up again without it.",
    source="https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
    bad=sh("kubectl scale deployment/api -n shop --replicas=0\nkubectl get pods -n shop\nkubectl scale deployment/api --replicas=3"),
    good=sh("kubectl scale deployment/api -n shop --replicas=0\nkubectl get pods -n shop\nkubectl scale deployment/api -n shop --replicas=3"),
)  # fmt: skip
def namespace_missing(context: Context) -> Iterator[Fault]:
    """Commands without a namespace in a manual that writes one in three of four others and never sets a default."""
    if re.search(r"set-context\b.*--namespace|kubens\s+\w|kubectl config set-context|alias k\w*=.*-n\s", context.text):
        if re.search(r"set-context\b.*--namespace|kubens\s+\w", context.text):
            return
    used = context.names.namespaces()
    relevant = [m for m in context.names.mentions if m.call.verb in _NAMESPACED and not _elsewhere(m)]
    with_it = [m for m in relevant if m.namespace]
    if len(with_it) < 2 or len(with_it) < 2 * (len(relevant) - len(with_it)):
        return
    most = used.most_common(1)[0][0] if used else ""
    for mention in relevant:
        if mention.namespace or not mention.target.kind and mention.call.verb not in ("create secret generic", "create secret docker-registry", "create job", "create configmap", "create secret tls"):
            continue
        if mention.call.verb in ("get", "describe") and not mention.target.name:
            continue
        known = any(m.target.name == mention.target.name and m.namespace for m in with_it if m.target.name)
        severity = None if mention.call.verb in _CHANGES or known else Severity.WARNING
        word = mention.step.command.argv[-1]
        edit = Edit(word.end_line, word.end_column, word.end_column, f" -n {most}") if word.line == word.end_line else None
        yield Fault(mention.step.place, f"no namespace: every other command says -n {most}", Fix(f"add -n {most}", (edit,) if edit and len(used) == 1 else (), safe=False), severity=severity)


def _elsewhere(mention: Mention) -> bool:
    call = mention.call
    if call.has("-A", "--all-namespaces", "-f", "--filename", "-k", "--kustomize") or mention.target.kind in CLUSTER_WIDE:
        return True
    if call.verb == "cp":
        return any(re.match(r"[\w$-]+/[\w$-].*:", word) for word in call.words)
    return mention.step.command.length > 1 and mention.step.command.position > 0 and call.verb not in _CHANGES


@rule(
    "OB311", "pod-name-of-deployment", FaultClass.ROT, Severity.WARNING,
    summary="A pod named NAME-0 of what is a Deployment everywhere else",
    reason="Only a StatefulSet numbers its pods. The pods of a Deployment carry hashes, so NAME-0 is not found.",
    source="https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id",
    bad=sh("kubectl rollout restart deployment/api -n shop\nkubectl exec -n shop api-0 -- alembic current"),
    good=sh("kubectl rollout restart deployment/api -n shop\nkubectl exec -n shop deployment/api -- alembic current"),
)  # fmt: skip
def pod_of_deployment(context: Context) -> Iterator[Fault]:
    """Pods NAME-<number> where NAME is only ever a deployment."""
    kinds = context.names.workloads()
    for mention in context.names.mentions:
        found = re.fullmatch(r"(.+)-\d{1,2}", mention.target.name)
        if mention.target.kind == "pod" and found and kinds.get(found[1]) == {"deployment"}:
            at = mention.place
            edits = (Edit(at.line, at.column, at.end_column, f"deployment/{found[1]}"),) if at.end_column and mention.call.verb in ("exec", "logs") else ()
            yield Fault(at, f"{found[1]} is a Deployment: it has no pod {mention.target.name}", Fix(f"deployment/{found[1]}", edits), subject=mention.target.name)


@rule(
    "OB312", "colour-and-plain", FaultClass.ROT, Severity.WARNING,
    summary="Deployments NAME-blue and NAME-green in one procedure, NAME in the others",
    reason="With blue and green in use, restart, scaling, rollback and the stop before a restore act on a deployment NAME that does not serve, or does not exist.",
    source="https://kubernetes.io/blog/2018/04/30/zero-downtime-deployment-kubernetes-jenkins/",
    bad=sh("kubectl set image deployment/api-blue api=shop/api:1.9 -n shop\nkubectl scale deployment api-green --replicas=0 -n shop")
        + "\n\n## Rollback\n\n" + sh("kubectl rollout undo deployment/api -n shop"),
    good=sh("kubectl set image deployment/api-blue api=shop/api:1.9 -n shop\nkubectl scale deployment api-green --replicas=0 -n shop")
        + "\n\n## Rollback\n\n" + sh("kubectl rollout undo deployment/api-blue -n shop"),
)  # fmt: skip
def colour_and_plain(context: Context) -> Iterator[Fault]:
    """NAME-blue or NAME-green beside NAME, both as deployments."""
    kinds = context.names.workloads()
    for name in sorted(kinds):
        found = re.fullmatch(r"(.+)-(blue|green)", name)
        if found and found[1] in kinds and "deployment" in kinds[found[1]]:
            for mention in context.names.of("deployment", name) + context.names.of("deployment", found[1]):
                yield Fault(mention.place, f"{name} here, deployment {found[1]} in the other procedures: they act on different workloads", subject=found[1])


@rule(
    "OB313", "logs-of-one-pod", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="Errors are searched in the logs of one pod of several",
    reason="kubectl logs deployment/NAME picks one pod of the deployment. What the other replicas logged is neither searched nor exported.",
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/",
    bad=sh("kubectl scale deployment/api --replicas=3 -n shop\nkubectl logs deployment/api -n shop | grep ERROR"),
    good=sh("kubectl scale deployment/api --replicas=3 -n shop\nkubectl logs -l app=api -n shop --tail=-1 --prefix | grep ERROR"),
)  # fmt: skip
def logs_of_one_pod(context: Context) -> Iterator[Fault]:
    """logs deployment/X filtered or written to a file, where the manual runs several replicas of X; plain views are a hint."""
    several = _replicated(context)
    for step in context.calls("kubectl", "logs"):
        call = step.call
        assert call is not None
        for target in targets(call):
            if target.kind != "deployment" or target.name not in several or call.has("--all-pods", "--all-containers"):
                continue
            filtered = any(s.program in ("grep", "egrep", "rg", "wc") for s in step.block.pipeline(step)) or bool(step.command.redirects)
            yield Fault(step.place, f"reads one pod of {target.name}, which runs {several[target.name]}", Fix("kubectl logs -l app=NAME --tail=-1 --prefix"),
                        severity=None if filtered else Severity.HINT, subject=f"{target.name}-{filtered}")  # fmt: skip


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
    "OB314", "scaled-against-autoscaler", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="A fixed scale of what an autoscaler controls",
    reason="The HorizontalPodAutoscaler sets replicas every fifteen seconds; a number set by hand is undone at once. Raise minReplicas instead. (Zero is different: it switches the autoscaler off.)",
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
    bad=sh("kubectl autoscale deployment api --min=3 --max=10 --cpu-percent=70 -n shop\nkubectl scale deployment api --replicas=5 -n shop"),
    good=sh("kubectl autoscale deployment api --min=3 --max=10 --cpu-percent=70 -n shop\nkubectl patch hpa api -n shop -p '{\"spec\":{\"minReplicas\":5}}'"),
)  # fmt: skip
def scaled_against(context: Context) -> Iterator[Fault]:
    """scale to more than 1 of an autoscaled name; where `get hpa` follows a scale in one block, of that block's names."""
    scaled_down = {t.name for s in context.calls("kubectl", "scale") if s.call and s.call.value("--replicas") == "0" for t in targets(s.call)}
    limits = context.names.autoscaled()
    for step in context.calls("kubectl", "scale"):
        call = step.call
        assert call is not None
        count = call.value("--replicas") or ""
        for target in targets(call):
            if not count.isdigit() or int(count) == 0 or target.kind not in WORKLOADS:
                continue
            looked = any(s.call and s.call.tool == "kubectl" and s.call.verb in ("get", "describe", "patch") and any(t.kind == "hpa" for t in targets(s.call)) for s in step.block.steps)
            least, _most = limits.get(target.name, (None, None))
            back = target.name in scaled_down and any(s.call and s.call.value("--replicas") == "0" for s in step.block.before(step))
            if back or (target.name not in limits and not (looked and not limits)):
                continue
            if least is None or int(count) != least:
                why = "an autoscaler controls it" if target.name in limits else "the block itself looks for its autoscaler"
                yield Fault(step.place, f"sets {target.name} to {count}, but {why}: it is set back", Fix("raise minReplicas of the HorizontalPodAutoscaler"), subject=f"hpa-{target.name}")


@rule(
    "OB315", "drain-stops", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="kubectl drain without --delete-emptydir-data",
    reason="drain refuses to go on at the first pod with an emptyDir volume, which most clusters have, and leaves the node cordoned.",
    source="https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
    bad=sh("kubectl drain node-1 --ignore-daemonsets"),
    good=sh("kubectl drain node-1 --ignore-daemonsets --delete-emptydir-data --timeout=10m"),
)  # fmt: skip
def drain_stops(context: Context) -> Iterator[Fault]:
    """drain without the flag in either spelling."""
    for step in context.calls("kubectl", "drain"):
        if step.call and not step.call.has("--delete-emptydir-data", "--delete-local-data", "--dry-run"):
            yield Fault(step.place, "stops at the first pod with an emptyDir volume", Fix("--delete-emptydir-data"))


@rule(
    "OB316", "kubelet-unpinned", FaultClass.UNSAFE, Severity.WARNING,
    summary="Kubernetes packages upgraded to whatever is newest",
    reason="kubelet may not be newer than the API server, and control planes go up one minor version at a time by kubeadm upgrade. apt without a version breaks both rules and does not restart the "
           "kubelet.",
    source="https://kubernetes.io/releases/version-skew-policy/",
    bad=sh("apt-get update && apt-get install -y kubelet kubeadm kubectl"),
    good=sh("apt-get install -y kubeadm=1.32.4-1.1\nkubeadm upgrade node\napt-get install -y kubelet=1.32.4-1.1\nsystemctl restart kubelet"),
)  # fmt: skip
def kubelet_unpinned(context: Context) -> Iterator[Fault]:
    """apt or yum install of kubelet or kubeadm without a version, in a manual that has a running cluster."""
    for step in context.steps:
        if step.program in ("apt", "apt-get", "yum", "dnf") and "install" in step.words and re.search(r"\b(?:kubelet|kubeadm)\b(?![-=])", step.command.text):
            upgrading = re.search(r"upgrad|update|patch|drain", f"{' '.join(step.block.section_path)} {step.comment} {step.block.text}", re.I)
            if upgrading:
                yield Fault(step.place, "installs the newest kubelet without kubeadm upgrade and without a version", Fix("kubeadm upgrade node, then kubelet=VERSION"))


@rule(
    "OB317", "service-to-replica", FaultClass.UNSAFE, Severity.WARNING,
    summary="The database service is pointed at a standby that nobody promoted",
    reason="A standby refuses writes. If the old primary still lives, both take connections: split brain. Promote, and fence the old one first.",
    source="https://www.postgresql.org/docs/current/warm-standby-failover.html",
    bad=sh("kubectl patch service postgres -n shop -p '{\"spec\":{\"selector\":{\"role\":\"replica\"}}}'"),
    good=sh("kubectl exec postgres-1 -n shop -- pg_ctl promote\nkubectl patch service postgres -n shop -p '{\"spec\":{\"selector\":{\"role\":\"replica\"}}}'"),
)  # fmt: skip
def service_to_replica(context: Context) -> Iterator[Fault]:
    """patch service with a selector of replica, standby or slave, and no promotion ahead of it."""
    for step in context.calls("kubectl", "patch"):
        call = step.call
        assert call is not None
        if any(t.kind == "service" for t in targets(call)) and re.search(r"selector.*\"(?:replica|standby|slave|secondary|read-?replica)\"", step.command.text):
            if not any(re.search(r"promote|failover|switchover|trigger", s.command.text) for s in step.block.before(step)):
                yield Fault(step.place, "points the service at a standby that is not promoted: it is read-only, and the old primary is not fenced", Fix("pg_ctl promote first"))


@rule(
    "OB318", "certificate-deleted", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A cert-manager Certificate deleted to renew it",
    reason="The Secret with the key pair stays when the Certificate goes. When it is created again cert-manager finds a valid Secret and issues nothing.",
    source="https://cert-manager.io/docs/reference/cmctl/#renew",
    bad=sh("kubectl delete certificate shop-tls -n shop\nkubectl apply -f certificate.yaml -n shop"),
    good=sh("cmctl renew shop-tls -n shop"),
)  # fmt: skip
def certificate_deleted(context: Context) -> Iterator[Fault]:
    """delete certificate without the deletion of its secret."""
    for step in context.calls("kubectl", "delete"):
        call = step.call
        assert call is not None
        kinds = {t.kind for t in targets(call)}
        if "certificate" in kinds and not re.search(r"delete secret", step.block.text):
            yield Fault(step.place, "does not renew: the secret stays and is still valid", Fix("cmctl renew NAME"))


@rule(
    "OB319", "managed-secret-overwritten", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="A TLS secret written by hand that cert-manager manages",
    reason="cert-manager watches the secret of its Certificate and issues over what was put there by hand.",
    source="https://cert-manager.io/docs/usage/certificate/",
    bad=sh("kubectl describe certificate shop-tls -n shop\nkubectl create secret tls shop-tls --cert=a.crt --key=a.key -n shop"),
    good=sh("kubectl describe certificate shop-tls -n shop\nkubectl create secret tls shop-tls-manual --cert=a.crt --key=a.key -n shop"),
)  # fmt: skip
def managed_secret(context: Context) -> Iterator[Fault]:
    """create secret tls NAME where NAME is a certificate of the manual."""
    certificates = {m.target.name for m in context.names.mentions if m.target.kind == "certificate" and m.target.name}
    certificates |= {str(m.get("spec", "secretName")) for m in context.manifests if m.kind == "Certificate"}
    for step in context.calls("kubectl", "create secret tls"):
        call = step.call
        assert call is not None
        if call.words and call.words[0] in certificates:
            yield Fault(step.place, f"cert-manager manages {call.words[0]} and will issue over it", Fix("remove the Certificate first, or use another secret"))


@rule(
    "OB320", "namespace-as-network", FaultClass.DANGLING, Severity.WARNING,
    summary="A Kubernetes namespace used as the name of a Docker network",
    reason="Docker does not know the cluster's namespaces: no network of that name exists, and the container is not isolated.",
    source="https://docs.docker.com/reference/cli/docker/network/disconnect/",
    bad=sh("kubectl get pods -n shop-prod\nkubectl get svc -n shop-prod\ndocker network disconnect shop-prod api-1"),
    good=sh("kubectl get pods -n shop-prod\nkubectl get svc -n shop-prod\ndocker network disconnect shop_default api-1"),
)  # fmt: skip
def namespace_as_network(context: Context) -> Iterator[Fault]:
    """docker network verbs whose network is a namespace of the manual's kubectl commands."""
    namespaces = context.names.namespaces()
    for step in context.calls("docker", "network disconnect", "network connect", "network inspect"):
        call = step.call
        assert call is not None
        if call.words and namespaces[call.words[0]] > 1:
            yield Fault(step.at(call.args[0]), f"{call.words[0]} is a Kubernetes namespace here, not a Docker network", subject=call.words[0])


@rule(
    "OB321", "workload-kind-drifts", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="One workload is a Deployment in one command and a StatefulSet in another",
    reason="One of the two commands is answered with NotFound.",
    source="the manual itself",
    bad=sh("kubectl rollout restart deployment/postgres -n shop\nkubectl scale statefulset/postgres --replicas=1 -n shop"),
    good=sh("kubectl rollout restart statefulset/postgres -n shop\nkubectl scale statefulset/postgres --replicas=1 -n shop"),
)  # fmt: skip
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


@rule(
    "OB322", "hpa-needs-metrics", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="An autoscaler of a workload that the manual scales to a fixed number in its manifest",
    reason="A Deployment manifest with replicas set resets the autoscaler's number at every kubectl apply.",
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#migrating-deployments-and-statefulsets-to-horizontal-autoscaling",
    bad=yml("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 3\n---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: api}\n"
            "spec:\n  scaleTargetRef: {kind: Deployment, name: api}\n  minReplicas: 3\n  maxReplicas: 9"),
    good=yml("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  revisionHistoryLimit: 5\n---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: api}\n"
             "spec:\n  scaleTargetRef: {kind: Deployment, name: api}\n  minReplicas: 3\n  maxReplicas: 9"),
)  # fmt: skip
def fixed_replicas(context: Context) -> Iterator[Fault]:
    """spec.replicas of a Deployment that an autoscaler of the manual controls."""
    scaled = context.names.autoscaled()
    for manifest in context.manifests:
        if manifest.kind == "Deployment" and manifest.name in scaled and manifest.get("spec", "replicas") is not None and is_name(manifest.name):
            yield Fault(manifest.place("spec", "replicas"), f"replicas resets the autoscaler of {manifest.name} at every apply", Fix("leave replicas out"))
