"""The kinds of workloads of Kubernetes: where they are in the API, how many they want, and when a rollout is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opsbook.connectors.runtimes.kubernetes_api import Object


@dataclass(frozen=True)
class Kind:
    """One kind of workload. `versions` are tried in order: the newest first."""

    name: str
    group: str
    plural: str
    versions: tuple[str, ...] = ("v1",)
    scales: bool = False
    rolls: bool = False
    """Whether it replaces its pods by itself when their template changes."""


DEPLOYMENT = Kind("Deployment", "apps", "deployments", scales=True, rolls=True)
STATEFUL_SET = Kind("StatefulSet", "apps", "statefulsets", scales=True, rolls=True)
DAEMON_SET = Kind("DaemonSet", "apps", "daemonsets", rolls=True)
REPLICA_SET = Kind("ReplicaSet", "apps", "replicasets", scales=True)
CRON_JOB = Kind("CronJob", "batch", "cronjobs", ("v1", "v1beta1"))
JOB = Kind("Job", "batch", "jobs")
KINDS = {kind.name: kind for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, CRON_JOB, JOB)}

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def template_of(one: Object) -> Object:
    """The pod template of a workload."""
    spec = one["spec"]
    found: Object = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
    return found


def container_of(template: Object, named: str = "") -> Object:
    """The container that is meant: the named one, the template's default, else the first. Raises KeyError."""
    containers = template["spec"]["containers"]
    wanted = named or (template.get("metadata") or {}).get("annotations", {}).get(DEFAULT_CONTAINER, "")
    if not wanted:
        first: Object = containers[0]
        return first
    for one in containers:
        if one["name"] == wanted:
            found: Object = one
            return found
    raise KeyError(wanted)


def version_of(image: str) -> str:
    """The tag of an image, or the start of its digest; `latest` where neither is said."""
    name, _, digest = image.partition("@")
    if digest:
        return digest.partition(":")[2][:12]
    last = name.rpartition("/")[2]
    return last.partition(":")[2] or "latest"


def image_with(image: str, version: str) -> str:
    """An image at another version. A version is a tag, a digest (`sha256:…`), or a whole other image."""
    if "/" in version or "@" in version:
        return version
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    name = folder + slash + last.partition(":")[0]
    return f"{name}@{version}" if version.startswith("sha256:") else f"{name}:{version}"


def wanted_of(kind: str, one: Object) -> int | None:
    """How many instances are to be ready; None for jobs, which come and go."""
    if kind == DAEMON_SET.name:
        return int(one.get("status", {}).get("desiredNumberScheduled", 0))
    if KINDS[kind].scales:
        replicas = one["spec"].get("replicas")
        return 1 if replicas is None else int(replicas)
    return None


def ready_of(kind: str, one: Object) -> int:
    """How many are ready, by what its controller says."""
    status = one.get("status") or {}
    if kind == DAEMON_SET.name:
        return int(status.get("numberReady", 0))
    if kind == JOB.name:
        return int(status.get("active", 0))
    if kind == CRON_JOB.name:
        return len(status.get("active") or [])
    return int(status.get("readyReplicas", 0))


@dataclass(frozen=True)
class Progress:
    """How far a rollout is."""

    over: bool
    figures: tuple[int, ...]
    """What grows while it goes on; as long as they change, it is not stuck."""
    words: str
    stuck: str = ""
    """What the controller says where it has given up."""


def progress_of(kind: str, one: Object) -> Progress:
    """Whether every instance is of the wanted template and ready. The rules of each kind are its controller's own."""
    status: dict[str, Any] = one.get("status") or {}
    seen = int(status.get("observedGeneration", 0)) >= int(one["metadata"].get("generation", 0))
    wanted = wanted_of(kind, one) or 0
    if kind == DAEMON_SET.name:
        new, ready, there = (int(status.get(key, 0)) for key in
                             ("updatedNumberScheduled", "numberAvailable", "currentNumberScheduled"))  # fmt: skip
        over = seen and new >= wanted and ready >= wanted
    elif kind == STATEFUL_SET.name:
        there, ready = int(status.get("replicas", 0)), int(status.get("readyReplicas", 0))
        same = status.get("updateRevision") == status.get("currentRevision")
        new = there if same else int(status.get("updatedReplicas", 0))
        over = seen and there == wanted and ready == wanted and new >= wanted
    elif kind == REPLICA_SET.name:
        there, ready = int(status.get("replicas", 0)), int(status.get("readyReplicas", 0))
        new, over = there, seen and there == wanted and ready == wanted
    else:
        there, new, ready = (int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas"))
        over = seen and new == wanted and there == wanted and ready == wanted
    stuck = ""
    for condition in status.get("conditions") or []:
        if condition.get("reason") == "ProgressDeadlineExceeded" or (
            condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ):
            stuck = condition.get("message", "")
    words = f"{ready} of {wanted} ready" + (f", {new} new" if new != ready else "")
    return Progress(over, (int(seen), there, new, ready), words, stuck if seen else "")
