"""Kubernetes: commands that take down or delete more than was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.names import targets
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_DATA = frozenset({"pvc", "pv", "namespace", "crd", "secret", "statefulset", "all"})
_RECREATES = re.compile(
    r"^(?:kubectl|oc|helm|helmfile|kustomize|terraform|kubeseal|argocd|flux|vault|sops|"
    r"make)\b.*\b(?:create|apply|upgrade|install|sync|replace|reconcile|kubeseal)\b|\.sh\b|"
    r"\bapply -f"
)
_PASSING = re.compile(r"status\.phase==?(?:Failed|Succeeded|Evicted)|Evicted|Completed")


@rule(
    "OB610",
    "delete-all",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="kubectl delete --all",
    reason=(
        "--all takes every object of the kind in the namespace at the same time: with pods "
        "also the database, the cache and every replica, and pods without a controller do "
        "not come back."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_delete/",
    bad=sh("kubectl delete pods --all -n shop"),
    good=sh("kubectl rollout restart deployment/api -n shop"),
)
def delete_all(context: Context) -> Iterator[Fault]:
    """delete with --all, but not of finished things."""
    for step in context.calls("kubectl", "delete"):
        call = step.call
        if call is None or not call.has("--all") or call.has("--dry-run") or _PASSING.search(step.command.text):
            continue
        kind = call.words[0] if call.words else "objects"
        if re.search(r"staging|sandbox|test|dev\b", call.value("-n", "--namespace") or ""):
            continue
        yield Fault(
            step.place,
            f"deletes all {kind} of the namespace at once",
            Fix("kubectl rollout restart deployment/NAME replaces pods one by one"),
        )


@rule(
    "OB611",
    "delete-pods-by-label",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="kubectl delete pod -l takes every replica down together",
    reason=(
        "All pods with the label go at once and the service has no endpoints until new ones "
        "are ready. A rollout restart replaces them one by one and keeps the service up."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/",
    bad=sh("kubectl delete pod -l app=web -n shop"),
    good=sh("kubectl rollout restart deployment/web -n shop"),
)
def delete_by_label(context: Context) -> Iterator[Fault]:
    """delete pods by selector, except finished or daemon pods."""
    for step in context.calls("kubectl", "delete"):
        call = step.call
        if call is None or not call.has("-l", "--selector") or call.has("--field-selector", "--dry-run"):
            continue
        kinds = {target.kind for target in targets(call)}
        stopped = any(
            s.call and s.call.verb == "scale" and s.call.value("--replicas") == "0" for s in step.block.before(step)
        )
        if "pod" in kinds and not stopped:
            yield Fault(
                step.place,
                "deletes every pod of the label at once: an outage until new ones are ready",
                Fix("kubectl rollout restart deployment/NAME"),
            )


@rule(
    "OB612",
    "delete-keeps-no-copy",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="A Secret, volume claim or namespace is deleted without a copy",
    reason=(
        "The object is gone with all of its keys or data. What creates it anew in the next "
        "step writes only what that step knows; every other key is lost."
    ),
    source="https://kubernetes.io/docs/concepts/configuration/secret/",
    bad=sh(
        "kubectl delete secret app-secrets -n shop\nkubectl create secret generic app-secrets -n shop --from-file=token"
    ),
    good=sh(
        "kubectl get secret app-secrets -n shop -o yaml > app-secrets.before.yaml\n"
        "kubectl delete secret app-secrets -n shop"
    ),
)
def delete_without_copy(context: Context) -> Iterator[Fault]:
    """delete secret/pvc/pv/namespace with no get -o yaml or backup ahead of it in the block."""
    for step in context.calls("kubectl", "delete"):
        call = step.call
        if call is None or call.has("--dry-run"):
            continue
        ahead = " ".join(s.command.text for s in step.block.before(step))
        copied = re.search(r"get\b.*-o\s?=?(?:yaml|json)|backup|velero|snapshot|pg_dump", ahead)
        for target in targets(call):
            if target.kind not in ("secret", "pvc", "pv", "namespace") or copied or not target.name:
                continue
            if re.search(r"test|staging|tmp|temp|dr\b|drill|old|manual|job|rehears|restore", target.name):
                continue
            what = {"pvc": "volume claim", "pv": "volume"}.get(target.kind, target.kind)
            yield Fault(
                step.place,
                f"deletes {what} {target.name} and keeps no copy",
                Fix(f"first: kubectl get {target.kind} {target.name} -o yaml > {target.name}.before.yaml"),
                subject=f"{target.kind}/{target.name}",
            )


@rule(
    "OB613",
    "secret-not-recreated",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A Secret is deleted and nothing creates it again",
    reason=(
        "Running pods keep the old values until they restart; then they cannot start at all. "
        "A procedure that deletes credentials must hold the step that writes new ones."
    ),
    source="https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets",
    bad=sh("kubectl delete secret app-secrets -n shop\n# Generate new secrets"),
    good=sh(
        "kubectl get secret app-secrets -n shop -o yaml > before.yaml\n"
        "kubectl delete secret app-secrets -n shop\n"
        "kubectl apply -n shop -f app-secrets.yaml"
    ),
)
def secret_not_recreated(context: Context) -> Iterator[Fault]:
    """delete secret with no create or apply behind it in the block."""
    for step in context.calls("kubectl", "delete"):
        call = step.call
        if call is None or not any(target.kind == "secret" and target.name for target in targets(call)):
            continue
        if "namespace" in {target.kind for target in targets(call)}:
            continue
        later = step.block.after(step)
        if not any(_RECREATES.search(other.command.text) for other in later):
            section = " ".join(step.block.section_path).lower()
            if not re.search(r"uninstall|remove|teardown|tear down|decommission|clean ?up|delete", section):
                yield Fault(
                    context.place(step.command.end_line),
                    "the secret is deleted and no step creates it again",
                    Fix("add the step that writes the new secret"),
                )
