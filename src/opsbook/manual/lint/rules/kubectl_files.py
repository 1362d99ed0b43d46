"""kubectl: exports that do not go back, patches by position, ports that nothing forwards."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_STRIPPED = re.compile(r"resourceVersion|kubectl[ -]neat|\bneat\b|\byq\b|\bjq\b|metadata\.uid")
_LOCAL = re.compile(r"(?:localhost|127\.0\.0\.1)(?::(\d+))?")


@rule(
    "OB324",
    "export-applied",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="What kubectl get -o yaml wrote is applied again as it is",
    reason=(
        "The export carries resourceVersion. If the object has changed since, apply and replace are refused with "
        "“the object has been modified”; if it was deleted, with “resourceVersion should not be set”. A way back "
        "that is refused is none."
    ),
    source="https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions",
    bad=sh(
        "kubectl get deployment api -n shop -o yaml > before.yaml\n"
        "kubectl set image deployment/api api=api:2 -n shop\nkubectl apply -f before.yaml"
    ),
    good=sh("kubectl set image deployment/api api=api:2 -n shop\nkubectl rollout undo deployment/api -n shop"),
)
def export_applied(context: Context) -> Iterator[Fault]:
    """get -o yaml or json into a file that apply, replace or create reads later, with nothing taken out."""
    exported: set[str] = set()
    for step in context.steps:
        call = step.call
        if call is None or call.tool != "kubectl":
            continue
        if call.verb == "get" and (call.value("-o", "--output") or "") in ("yaml", "json"):
            into = [r.target.text.strip("\"'") for r in step.command.redirects if r.operator == ">"]
            exported |= {name for name in into if not _STRIPPED.search(step.block.text)}
        elif call.verb in ("apply", "replace", "create") and not call.has("--force", "--dry-run"):
            for name in call.values("-f", "--filename"):
                if name.strip("\"'") in exported and not _STRIPPED.search(step.block.text):
                    yield Fault(
                        step.place,
                        f"{name} carries the resourceVersion of its export: refused once the object has changed",
                        Fix("take metadata.resourceVersion, uid and status out of the export"),
                        subject="export",
                    )


@rule(
    "OB323",
    "patched-by-position",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A JSON patch removes or replaces list entries by their position",
    reason=(
        "The second volume is another one after the next change of the manifest: the patch then takes away what it "
        "finds there. A test operation before it makes the patch fail instead."
    ),
    source="https://www.rfc-editor.org/rfc/rfc6902#section-4.6",
    bad=sh(
        "kubectl patch deployment api -n shop --type=json "
        '-p=\'[{"op": "remove", "path": "/spec/template/spec/volumes/1"}]\''
    ),
    good=sh(
        "kubectl patch deployment api -n shop --type=json "
        '-p=\'[{"op": "test", "path": "/spec/template/spec/volumes/1/name", "value": "cache"}, '
        '{"op": "remove", "path": "/spec/template/spec/volumes/1"}]\''
    ),
)
def patched_by_position(context: Context) -> Iterator[Fault]:
    """remove of …/N with no test in the same patch; the first container is what everybody means by 0."""
    for step in context.calls("kubectl", "patch"):
        text = step.command.text
        removed = re.search(r'"op"\s*:\s*"remove"\s*,\s*"path"\s*:\s*"[^"]*/\d+"', text)
        if removed and not re.search(r'"op"\s*:\s*"test"', text):
            line = step.command.line + text.count("\n", 0, removed.start())
            yield Fault(context.place(line), "removes whatever stands at that position", Fix('add {"op": "test", …}'))


@rule(
    "OB325",
    "nothing-forwards-the-port",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A request to localhost for a service that runs in the cluster",
    reason=(
        "On the operator's machine nothing listens there, or something else does. It needs kubectl port-forward, "
        "kubectl exec or the address of the ingress."
    ),
    source="https://kubernetes.io/docs/tasks/access-application-cluster/port-forward-access-application-cluster/",
    bad=sh("kubectl get pods -n shop\ncurl -fsS http://localhost:8080/health"),
    good=sh("kubectl port-forward -n shop svc/api 8080:80 &\ncurl -fsS http://localhost:8080/health"),
)
def nothing_forwards(context: Context) -> Iterator[Fault]:
    """curl of localhost beside kubectl, in a manual that forwards no port and starts nothing on its own host."""
    elsewhere = (
        r"port-forward|kubectl proxy|\bssh\b|docker(?:-compose)? |minikube|\bk3s\b|\bk3d\b|\bkind\b|microk8s|"
        r"nodeport|hostnetwork|hostport|localhost:\d+:|npm (?:start|run)|uvicorn|systemctl"
    )
    if re.search(elsewhere, context.text):
        return
    for step in context.steps:
        if step.program not in ("curl", "wget") or step.remote or step.outer is not None:
            continue
        beside = any(s.program == "kubectl" for s in step.block.top)
        if beside and re.search(r"(?:https?://)?(?:localhost|127\.0\.0\.1):\d+", step.command.text):
            yield Fault(
                step.place,
                "nothing forwards this port from the cluster",
                Fix("kubectl port-forward, or kubectl exec … -- curl"),
                subject="localhost",
            )


@rule(
    "OB128",
    "port-forward-raced",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A port-forward in the background that the next command does not wait for",
    reason=(
        "port-forward listens only after it has asked the API server and the pod. The next command starts at once "
        "and ends with “connection refused”; and nothing ends the forward afterwards."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_port-forward/",
    bad=sh("kubectl port-forward -n shop db-0 5432:5432 &\npsql -h localhost -U app -d shop -c 'SELECT 1'"),
    good=sh(
        "kubectl port-forward -n shop db-0 5432:5432 &\nuntil pg_isready -h localhost; do sleep 1; done\n"
        "psql -h localhost -U app -d shop -c 'SELECT 1'"
    ),
)
def port_forward_raced(context: Context) -> Iterator[Fault]:
    """The first command behind `port-forward … &` that speaks to localhost, with no wait between."""
    for step in context.calls("kubectl", "port-forward"):
        if not (step.command.background or step.command.after == "&") or step.outer is not None:
            continue
        behind = next((s for s in step.block.after(step) if s.outer is None and s.program), None)
        if behind is not None and _speaks(behind):
            yield Fault(
                step.place,
                f"{behind.program} does not wait until the port is open",
                Fix("wait for the port before the next command, and end the forward afterwards"),
                subject=f"forward-{step.block.number}",
            )


def _speaks(step: Step) -> bool:
    text = step.command.text
    waits = (
        step.program in ("sleep", "wait", "nc", "pg_isready", "until", "timeout", "open", "echo") or "--retry" in text
    )
    looped = any(e.kind.startswith(("until", "while", "loop")) for e in step.command.within)
    return not waits and not looped and bool(_LOCAL.search(text))
