"""kubectl: workloads by name, label or pod, and what runs inside them."""

from __future__ import annotations

import re
from collections.abc import Callable

from opsbook.manual.grammar.invocation import Invocation, invocation, spoken
from opsbook.manual.lift.carried import lift_carried
from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part, bare
from opsbook.manual.lift.model import Step, Why
from opsbook.manual.lift.registry import lifts
from opsbook.manual.shell import Word

WORKLOADS = frozenset(
    [
        "deployment",
        "deployments",
        "deploy",
        "statefulset",
        "statefulsets",
        "sts",
        "daemonset",
        "daemonsets",
        "ds",
        "replicaset",
        "replicasets",
        "rs",
        "pod",
        "pods",
        "po",
        "deployment.apps",
        "statefulset.apps",
        "all",
    ]
)
_NAMED = re.compile(r"^(?P<kind>[\w.]+)/(?P<name>.+)$")
_LABEL = re.compile(
    r"(?:app|name|component|k8s-app|app\.kubernetes\.io/(?:name|component|instance)|service|tier)=+([\w.-]+)"
)
_CERTIFICATES = frozenset({"certificate", "certificates", "cert", "certs"})
_ENDLESS = frozenset({"port-forward", "attach", "edit", "proxy", "debug"})
_MISSING = {
    "drain": "node.drain",
    "cordon": "node.cordon",
    "uncordon": "node.uncordon",
    "cp": "workload.copy",
    "autoscale": "workload.autoscale",
}
"""Verb → the operation that would mean it; picked up as soon as one of that name is registered and has a lifter."""


@lifts("kubectl", "oc", "k")
def kubectl(use: Use) -> Lifted:
    call = invocation(use.command)
    if call is None:
        return None
    if call.verb in _ENDLESS:
        return Stay(Why.INTERACTIVE, f"kubectl {call.verb} stays open until somebody ends it")
    if elsewhere := _elsewhere(use, call):
        return Stay(Why.ELSEWHERE, elsewhere)
    if call.verb == "exec":
        return _exec(use, call)
    made = _VERBS.get(call.verb)
    if made is not None:
        return _about(made(use, call), use, call)
    if call.verb in _MISSING:
        return Stay(Why.MISSING, f"`{_MISSING[call.verb]}` would mean it", _MISSING[call.verb])
    return _about(Stay(Why.ELSEWHERE, "it addresses the cluster, not a component"), use, call)


def _about(made: Lifted, use: Use, call: Invocation) -> Lifted:
    """What stays is counted to the component that it names."""
    if not isinstance(made, Stay) or made.component:
        return made
    parts, _ = targets(use, call.args, call)
    if not parts:
        return made
    note = made.note
    if made.why is Why.ELSEWHERE:
        note = f"no operation means what it does to {parts[0].name}"
    why = Why.MISSING if made.why is Why.ELSEWHERE else made.why
    return Stay(why, note, made.needs, parts[0].name)


def _elsewhere(use: Use, call: Invocation) -> str:
    if call.has("-A", "--all-namespaces") and call.verb != "exec":
        return "it looks at all namespaces"
    named = call.value("-n", "--namespace")
    if named and use.inventory.namespace and "$" not in named and named != use.inventory.namespace:
        return f"it addresses the namespace {named}, which is another environment or system"
    if call.has("--context") or call.has("--kubeconfig"):
        return "it addresses another cluster"
    return ""


def targets(use: Use, words: tuple[Word, ...], call: Invocation) -> tuple[list[Part], list[str]]:
    """The components that the arguments and labels name, and names that are none of the book."""
    names: list[str] = []
    kind = ""
    for word in words:
        text = spoken(word)
        if named := _NAMED.match(text):
            names.append(named["name"])
            kind = named["kind"]
        elif text.lower() in WORKLOADS or (not names and not kind and re.fullmatch(r"[a-z]+", text) and text in _KINDS):
            kind = text
        else:
            names.append(text)
    for label in call.values("-l", "--selector"):
        names += _LABEL.findall(label)
    parts, unknown = [], []
    for name in names:
        part = use.inventory.workload(name)
        if part is not None and part not in parts:
            parts.append(part)
        elif part is None:
            unknown.append(name)
    return parts, unknown


_KINDS = frozenset(
    [
        "node",
        "nodes",
        "no",
        "svc",
        "service",
        "services",
        "ingress",
        "ingresses",
        "ing",
        "hpa",
        "pvc",
        "pv",
        "event",
        "events",
        "secret",
        "secrets",
        "configmap",
        "configmaps",
        "cm",
        "namespace",
        "namespaces",
        "ns",
        "endpoints",
        "ep",
        "job",
        "jobs",
        "cronjob",
        "cronjobs",
        "certificate",
        "certificates",
        "networkpolicy",
        "networkpolicies",
        "pdb",
        "storageclass",
    ]
)


def _of_workloads(use: Use, call: Invocation, words: tuple[Word, ...]) -> list[Part] | Stay:
    parts, unknown = targets(use, words, call)
    if unknown:
        given = [name for name in unknown if re.search(r"[<$]", name)]
        why = Why.OPEN if given else Why.ELSEWHERE
        return Stay(why, f"{unknown[0]} is not the name of one workload")
    return parts


def _scale(use: Use, call: Invocation) -> Lifted:
    parts = _of_workloads(use, call, call.args)
    if isinstance(parts, Stay):
        return parts
    number = call.value("--replicas")
    if number is None or not parts:
        return Stay(Why.OPEN, "it names no workload or no number")
    steps: list[Step] = []
    for part in parts:
        made = scaled(use, part, number)
        if isinstance(made, Stay):
            return made
        steps += made
    return steps


def scaled(use: Use, part: Part, number: str) -> list[Step] | Stay:
    """The step that brings a component to a number as written: stopping for 0, starting what was stopped before."""
    value = use.text(number, f"{part.name}_replicas", "int", f"how many instances of {part.name}")
    if value is None:
        return Stay(Why.OPEN, "the number is computed by the shell", "", part.name)
    if value == "0":
        use.context.stopped.add(part.name)
        return use.op("workload.stop", part)
    if part.name in use.context.stopped and part.keys.get("replicas") in (None, int(value) if value.isdigit() else ""):
        use.context.stopped.discard(part.name)
        if value.isdigit():
            part.keys["replicas"] = int(value)
        return use.op("workload.start", part)
    if value != str(part.keys.get("replicas")):
        use.context.scaled.add(part.name)
    return use.op("workload.scale", part, replicas=int(value) if value.isdigit() else value)


def _each(use: Use, parts: list[Part] | Stay, operation: str) -> Lifted:
    if isinstance(parts, Stay):
        return parts
    if not parts:
        return Stay(Why.OPEN, "it names no workload")
    steps: list[Step] = []
    for part in parts:
        made = use.op(operation, part)
        if isinstance(made, Stay):
            return made
        steps += made
    return steps


def _rollout(use: Use, call: Invocation) -> Lifted:
    verb = call.verb.partition(" ")[2]
    parts = _of_workloads(use, call, call.args)
    operation = {"restart": "workload.restart", "undo": "workload.rollback"}.get(verb)
    if operation:
        return _each(use, parts, operation)
    if isinstance(parts, Stay):
        return parts
    if verb == "status" and parts:
        return use.check("workload.missing", *parts)
    return Stay(Why.LOOKS, "", "", parts[0].name if parts else "")


def _set_image(use: Use, call: Invocation) -> Lifted:
    words = [word for word in call.args if "=" not in spoken(word)]
    images = [word for word in call.args if "=" in spoken(word)]
    parts = _of_workloads(use, call, tuple(words))
    if isinstance(parts, Stay):
        return parts
    if len(parts) != 1 or not images:
        return Stay(Why.OPEN, "it names no single workload and image")
    return deployed(use, parts[0], spoken(images[0]).partition("=")[2])


def deployed(use: Use, part: Part, image: str) -> Lifted:
    """A deploy: the version is what varies from one to the next."""
    version = image.rpartition("/")[2].partition(":")[2] or "the newest"
    take = use.context.parameters.take
    if placed := re.search(r"[<$]\{?([A-Za-z_][\w-]*)", version):
        name = take(version, placed[1], "text", f"the version of {part.name}")
    else:
        name = take(
            f"{part.name}:{version}", "version", "text", f"the version of {part.name}; the manual has {version}"
        )
    return use.op("workload.deploy", part, version="{{ " + name + " }}")


def _logs(use: Use, call: Invocation) -> Lifted:
    parts = _of_workloads(use, call, call.args[:1])
    if isinstance(parts, Stay):
        return parts
    made = use.check("workload.log_errors", *parts) if parts else Stay(Why.OPEN, "it names no workload")
    if isinstance(made, list) and call.has("-f", "--follow"):
        return [step.having(mended=("it no longer waits for ever: the newest lines are looked at",)) for step in made]
    return made


def _get(use: Use, call: Invocation) -> Lifted:
    kind = spoken(call.args[0]).partition("/")[0].lower() if call.args else ""
    if kind in _CERTIFICATES:
        part = use.inventory.one("tls") or next((p for p in use.inventory.of_kind("proxy", "http") if p.hosts), None)
        return use.check("tls.days_left", part) if part else Stay(Why.ELSEWHERE, "the book has no certificate")
    if kind in ("endpoints", "endpoint", "ep"):
        # An endpoint is an instance that is ready: what is missing among them is what the look is for.
        behind = _of_workloads(use, call, call.args[1:])
        if behind and not isinstance(behind, Stay):
            return use.check("workload.missing", *behind)
    if not all(k.partition("/")[0] in WORKLOADS for k in kind.split(",")):
        return Stay(Why.ELSEWHERE, f"it looks at {kind or 'objects'} of the cluster")
    parts = _of_workloads(
        use, call, call.args[1:] if "/" not in kind and "/" not in spoken(call.args[0]) else call.args
    )
    if isinstance(parts, Stay):
        return parts
    return use.check("workload.missing", *(parts or use.inventory.with_workload()))


def _top(use: Use, call: Invocation) -> Lifted:
    kind = spoken(call.args[0]) if call.args else ""
    if call.verb in ("top node", "top nodes") or kind in ("node", "nodes"):
        return Stay(Why.ELSEWHERE, "it looks at the nodes of the cluster")
    parts = _of_workloads(use, call, tuple(w for w in call.args if spoken(w) not in WORKLOADS))
    if isinstance(parts, Stay):
        return parts
    return use.check("workload.memory_ratio", *(parts or use.inventory.with_workload()))


def _delete(use: Use, call: Invocation) -> Lifted:
    kind = spoken(call.args[0]).partition("/")[0] if call.args else ""
    if kind not in ("pod", "pods", "po"):
        return Stay(Why.ELSEWHERE, f"it deletes {kind or 'objects'} of the cluster")
    parts, unknown = targets(use, call.args, call)
    if unknown:
        return Stay(Why.OPEN, f"{unknown[0]} is one pod; `workload.restart` renews all instances in turn")
    if not parts and not call.has("--all"):
        return Stay(Why.OPEN, "it names no pod")
    return (
        _each(use, parts, "workload.restart") if parts else Stay(Why.ELSEWHERE, "it deletes every pod of the namespace")
    )


def _wait(use: Use, call: Invocation) -> Lifted:
    parts = _of_workloads(use, call, call.args)
    if isinstance(parts, Stay):
        return parts
    return use.check("workload.missing", *parts) if parts else Stay(Why.OPEN, "it names no workload")


def _create(use: Use, call: Invocation) -> Lifted:
    job = call.value("--from") or ""
    if "backup" in job.lower():
        part = use.inventory.one("postgres")
        return Stay(
            Why.MISSING,
            f"what {job} backs up is not said; `postgres.backup` would mean it",
            "postgres.backup",
            part.name if part else "",
        )
    return Stay(Why.ELSEWHERE, "it makes objects of the cluster")


def _exec(use: Use, call: Invocation) -> Lifted:
    target = spoken(call.args[0]) if call.args else ""
    part = use.inventory.workload(bare(target)) if target and not re.search(r"[<$`]", target) else None
    return lift_carried(use, part, target)


def _describe(use: Use, call: Invocation) -> Lifted:
    kind = spoken(call.args[0]).partition("/")[0].lower() if call.args else ""
    if kind in _CERTIFICATES:
        return _get(use, call)
    parts, unknown = targets(use, call.args, call)
    if parts and not unknown:
        return use.check("workload.missing", *parts)
    return Stay(Why.ELSEWHERE if not unknown else Why.OPEN, "it looks at one object of the cluster")


_VERBS: dict[str, Callable[[Use, Invocation], Lifted]] = {
    "scale": _scale,
    "rollout restart": _rollout,
    "rollout undo": _rollout,
    "rollout status": _rollout,
    "rollout history": _rollout,
    "rollout": _rollout,
    "set image": _set_image,
    "logs": _logs,
    "get": _get,
    "top": _top,
    "top pod": _top,
    "top pods": _top,
    "top node": _top,
    "delete": _delete,
    "wait": _wait,
    "create job": _create,
    "create": _create,
    "describe": _describe,
}
