"""The workloads, namespaces and databases that a manual speaks of, with every place where it does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from opsbook.manual.grammar import Invocation
from opsbook.manual.lint.facts.manifests import Manifest
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.rule import Place
from opsbook.manual.shell import Word

KINDS = {
    "deployment": "deployment",
    "deployments": "deployment",
    "deploy": "deployment",
    "deployment.apps": "deployment",
    "deployments.apps": "deployment",
    "statefulset": "statefulset",
    "statefulsets": "statefulset",
    "sts": "statefulset",
    "statefulset.apps": "statefulset",
    "daemonset": "daemonset",
    "daemonsets": "daemonset",
    "ds": "daemonset",
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "service": "service",
    "services": "service",
    "svc": "service",
    "secret": "secret",
    "secrets": "secret",
    "configmap": "configmap",
    "configmaps": "configmap",
    "cm": "configmap",
    "job": "job",
    "jobs": "job",
    "cronjob": "cronjob",
    "cronjobs": "cronjob",
    "cj": "cronjob",
    "namespace": "namespace",
    "namespaces": "namespace",
    "ns": "namespace",
    "node": "node",
    "nodes": "node",
    "no": "node",
    "pvc": "pvc",
    "persistentvolumeclaim": "pvc",
    "persistentvolumeclaims": "pvc",
    "pv": "pv",
    "persistentvolume": "pv",
    "persistentvolumes": "pv",
    "hpa": "hpa",
    "horizontalpodautoscaler": "hpa",
    "horizontalpodautoscalers": "hpa",
    "ingress": "ingress",
    "ingresses": "ingress",
    "ing": "ingress",
    "certificate": "certificate",
    "certificates": "certificate",
    "cert": "certificate",
    "certs": "certificate",
    "endpoints": "endpoints",
    "ep": "endpoints",
    "networkpolicy": "networkpolicy",
    "networkpolicies": "networkpolicy",
    "netpol": "networkpolicy",
    "replicaset": "replicaset",
    "rs": "replicaset",
    "crd": "crd",
    "crds": "crd",
    "clusterrole": "clusterrole",
    "clusterrolebinding": "clusterrolebinding",
    "storageclass": "storageclass",
    "sc": "storageclass",
    "all": "all",
}
CLUSTER_WIDE = frozenset({"node", "namespace", "pv", "crd", "clusterrole", "clusterrolebinding", "storageclass"})
WORKLOADS = frozenset({"deployment", "statefulset", "daemonset"})
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
_KEEPS_DATA = re.compile(
    r"postgres|pgsql|\bpg\b|mysql|maria|mongo|redis|valkey|database|(?:^|[-_])db(?:$|[-_])|memcache|rabbit|kafka|elastic|opensearch|minio|zookeeper|etcd|pgbouncer|clickhouse",
    re.I,
)
_SHOWS = re.compile(
    r"^(?:frontend|ui|web-ui|nginx|grafana|prometheus|alertmanager|flower|loki|ingress|proxy|traefik|haproxy|cdn|docs|exporter)$|exporter|grafana|prometheus",
    re.I,
)
_WRITES = re.compile(
    r"worker|celery|beat|scheduler|cron|consumer|queue|sidekiq|backend|(?:^|[-_])api(?:$|[-_])|server|app(?:$|[-_])|job|ingest|import|(?:^|[-_])web(?:$|[-_])",
    re.I,
)


@dataclass(frozen=True)
class Target:
    """A Kubernetes object that a command names. An empty name means all of the kind, or those of a label."""

    kind: str
    name: str
    word: Word | None


@dataclass(frozen=True)
class Mention:
    """A place where a command names an object, with its namespace as far as it is written."""

    target: Target
    namespace: str
    step: Step
    call: Invocation

    @property
    def place(self) -> Place:
        return self.step.at(self.target.word) if self.target.word else self.step.place


_VERBS_WITH_KIND = (
    "get",
    "describe",
    "delete",
    "edit",
    "patch",
    "scale",
    "label",
    "annotate",
    "autoscale",
    "expose",
    "set image",
    "set env",
    "set resources",
    "rollout restart",
    "rollout status",
    "rollout undo",
    "rollout history",
    "rollout pause",
    "rollout resume",
    "wait",
    "cordon",
    "uncordon",
    "drain",
    "taint",
)


def targets(call: Invocation) -> list[Target]:
    """The objects that a kubectl command names."""
    words = list(call.args)
    if call.verb in ("exec", "logs", "attach", "port-forward", "top pod", "debug"):
        return [_single(words[0], "pod")] if words else []
    if call.verb in ("cordon", "uncordon", "drain", "top node"):
        return [Target("node", _text(word), word) for word in words]
    if call.verb not in _VERBS_WITH_KIND or not words:
        return []
    if "/" in _text(words[0]):
        return [_single(word, "pod") for word in words if "/" in _text(word) and "=" not in _text(word)]
    kinds = [KINDS.get(part.lower(), part.lower()) for part in _text(words[0]).split(",")]
    names = [word for word in words[1:] if "=" not in _text(word)]
    if not names:
        return [Target(kind, "", None) for kind in kinds]
    return [Target(kind, _text(word), word) for kind in kinds for word in names]


def _single(word: Word, default: str) -> Target:
    kind, slash, name = _text(word).partition("/")
    return Target(KINDS.get(kind.lower(), kind.lower()), name, word) if slash else Target(default, kind, word)


def _text(word: Word) -> str:
    return word.value if word.value is not None else word.text


def is_name(text: str) -> bool:
    """Whether a text can be the name of a Kubernetes object: no variable, no placeholder."""
    return bool(_NAME.match(text))


def writes(name: str) -> bool:
    """Whether a workload of that name is likely to write to the system's database."""
    return bool(_WRITES.search(name)) and not _KEEPS_DATA.search(name) and not _SHOWS.search(name)


@dataclass(frozen=True)
class Names:
    """Every mention, and what follows from all of them together."""

    mentions: tuple[Mention, ...]
    manifests: tuple[Manifest, ...]

    def namespaces(self) -> Counter[str]:
        """How often each namespace is written in a command."""
        return Counter(m.namespace for m in self.mentions if m.namespace and is_name(m.namespace))

    def workloads(self) -> dict[str, set[str]]:
        """Name to the kinds (deployment, statefulset, daemonset) that the manual gives it."""
        found: dict[str, set[str]] = {}
        for mention in self.mentions:
            if mention.target.kind in WORKLOADS and is_name(mention.target.name):
                found.setdefault(mention.target.name, set()).add(mention.target.kind)
        for manifest in self.manifests:
            if manifest.kind.lower() in WORKLOADS and manifest.name:
                found.setdefault(manifest.name, set()).add(manifest.kind.lower())
        return found

    def writers(self) -> set[str]:
        """The workloads that are likely to write to the database."""
        return {name for name in self.workloads() if writes(name)}

    def of(self, kind: str, name: str) -> list[Mention]:
        """The mentions of one object."""
        return [m for m in self.mentions if m.target.kind == kind and m.target.name == name]

    def autoscaled(self) -> dict[str, tuple[int | None, int | None]]:
        """Workloads that a HorizontalPodAutoscaler of the manual controls, with its least and most replicas."""
        found: dict[str, tuple[int | None, int | None]] = {}
        for manifest in self.manifests:
            if manifest.kind == "HorizontalPodAutoscaler":
                name = manifest.get("spec", "scaleTargetRef", "name")
                if name:
                    found[str(name)] = (
                        _whole(manifest.get("spec", "minReplicas")),
                        _whole(manifest.get("spec", "maxReplicas")),
                    )
        for mention in self.mentions:
            if mention.call.verb == "autoscale" and mention.target.name:
                found[mention.target.name] = (_whole(mention.call.value("--min")), _whole(mention.call.value("--max")))
        return found


def _whole(value: object) -> int | None:
    return int(str(value)) if value is not None and str(value).isdigit() else None


def names(steps: Iterable[Step], manifests: tuple[Manifest, ...]) -> Names:
    """Gather the names of a manual."""
    found: list[Mention] = []
    for step in steps:
        call = step.call
        if call is None or call.tool != "kubectl":
            continue
        namespace = call.value("-n", "--namespace") or ""
        spoken_of = targets(call) or [Target("", "", None)]
        found += [Mention(target, namespace, step, call) for target in spoken_of]
    return Names(tuple(found), manifests)


def is_variant(name: str, halted: set[str]) -> bool:
    """Whether a workload is the blue or green form, or a part, of one that is in the set."""
    return any(name in (f"{h}-blue", f"{h}-green") or h.startswith(name) for h in halted)
