"""Pods: their state, and why one is not ready, in one sentence. Pure: what only the server knows is handed in.

Reasons are those of the kubelet and the scheduler: kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from opsbook.connectors.runtimes.contract import Instance
from opsbook.connectors.runtimes.kubernetes_api import Object

NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}
)
NOT_MADE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
LONGEST_WORDS = 300
AWAY = "its node may be away: its containers were ready"
"""What the pod alone tells; its node may tell more."""


@dataclass(frozen=True)
class Ended:
    """How a container ended last."""

    container: str
    code: int
    reason: str
    at: datetime | None


@dataclass(frozen=True)
class Pod:
    """What is kept of a pod: a thousand of them must fit."""

    name: str
    owner: tuple[str, str]
    """Kind and name of the workload that it belongs to; empty for a pod of its own."""
    state: str
    ready: bool
    reason: str
    started: datetime | None
    restarts: int
    node: str
    images: Mapping[str, str]
    """Container → image."""
    ending: bool
    crashing: str = ""
    """The container whose last words tell more."""
    probing: bool = False
    """Its containers run and are not ready: events tell which probe fails."""
    waiting: bool = False
    """Its containers are not made yet: events tell what for."""
    ended: tuple[Ended, ...] = field(default=())

    def instance(self, more: str = "") -> Instance:
        """As the runtime's contract has it; `more` is what only logs and events know."""
        said = "" if more and self.reason == AWAY else self.reason
        reason = said + (f"; {more}" if more and said else more)
        return Instance(self.name, self.ready, self.state, self.started, None, reason)


def moment(text: str | None) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def owner_of(pod: Object) -> tuple[str, str]:
    """The workload above a pod. A ReplicaSet of a Deployment has its name and the hash of its template."""
    metadata = pod["metadata"]
    for one in metadata.get("ownerReferences") or []:
        if not one.get("controller"):
            continue
        hash_of = (metadata.get("labels") or {}).get("pod-template-hash", "")
        if one["kind"] == "ReplicaSet" and hash_of and one["name"].endswith(f"-{hash_of}"):
            return "Deployment", one["name"].removesuffix(f"-{hash_of}")
        return one["kind"], one["name"]
    return "", ""


def read_pod(pod: Object) -> Pod:
    """A pod of the API, judged."""
    status, spec, metadata = pod.get("status") or {}, pod["spec"], pod["metadata"]
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    ending = bool(metadata.get("deletionTimestamp"))
    ready = conditions.get("Ready", {}).get("status") == "True" and not ending
    state, reason, crashing = ("Running", "", "") if ready else _judged(pod, containers, conditions, ending)
    main = status.get("containerStatuses") or []
    running = bool(main) and all("running" in (one.get("state") or {}) for one in main)
    started = [moment(one["state"]["running"]["startedAt"]) for one in main if "running" in (one.get("state") or {})]
    return Pod(
        name=metadata["name"],
        owner=owner_of(pod),
        state=state,
        ready=ready,
        reason=reason,
        started=max(filter(None, started), default=None),
        restarts=sum(int(one.get("restartCount", 0)) for one in containers),
        node=spec.get("nodeName", ""),
        images={one["name"]: one.get("image", "") for one in spec["containers"]},
        ending=ending,
        crashing=crashing,
        probing=running and not ready and not ending,
        waiting=state == "ContainerCreating",
        ended=tuple(_ended(containers)),
    )


def _ended(containers: list[Object]) -> Iterator[Ended]:
    for one in containers:
        last = (one.get("lastState") or {}).get("terminated")
        if last:
            yield Ended(
                one["name"], int(last.get("exitCode", 0)), last.get("reason", ""), moment(last.get("finishedAt"))
            )


def _judged(pod: Object, containers: list[Object], conditions: dict[str, Object], ending: bool) -> tuple[str, str, str]:
    """State, sentence, and the container whose last words tell more."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Unknown")
    if ending:
        return "Terminating", "it is ending", ""
    if phase == "Succeeded":
        return "Succeeded", "it has done its work", ""
    if status.get("reason") == "Evicted":
        return "Evicted", f"it was evicted from its node: {_short(status.get('message', ''))}", ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return "Unschedulable", f"no node can take it: {_short(scheduled.get('message', ''))}", ""
    for one in containers:
        found = _of_container(pod, one)
        if found is not None:
            return found
    if phase == "Failed":
        words = _short(status.get("message", "") or status.get("reason", ""))
        return "Failed", "it failed" + (f": {words}" if words else ""), ""
    if phase == "Pending":
        return "Pending", "it waits for a node" if not pod["spec"].get("nodeName") else "it is being made", ""
    if phase == "Unknown" or conditions.get("Ready", {}).get("status") == "Unknown":
        return "Unknown", f"nothing is heard of its node {pod['spec'].get('nodeName', '')}", ""
    return "NotReady", _not_ready(conditions, containers), ""


def _not_ready(conditions: dict[str, Object], containers: list[Object]) -> str:
    gates = [name for name, one in conditions.items() if name not in
             ("Ready", "ContainersReady", "PodScheduled", "Initialized") and one["status"] != "True"]  # fmt: skip
    unready = [one["name"] for one in containers if not one.get("ready") and "running" in (one.get("state") or {})]
    if unready:
        return f"{', '.join(unready)} runs and does not say that it is ready"
    return f"it waits for {', '.join(gates)}" if gates else AWAY


def _of_container(pod: Object, one: Object) -> tuple[str, str, str] | None:
    """What a container's own state tells; None where it runs, or has done its work."""
    state, name = one.get("state") or {}, one["name"]
    last = (one.get("lastState") or {}).get("terminated") or {}
    if waiting := state.get("waiting"):
        why, words = waiting.get("reason", ""), _short(waiting.get("message", ""))
        if why == "CrashLoopBackOff":
            if last.get("reason") == "OOMKilled":
                return "OOMKilled", f"{_oom(pod, name)}, {_times(one)}", ""
            return why, f"{name} crashes each time: last exit code {last.get('exitCode', '?')}, {_times(one)}", name
        if why in NO_IMAGE:
            return why, f"its image {one.get('image', '')} cannot be had: {words or why}", ""
        if why in NOT_MADE:
            return why, f"{name} cannot be made: {words or why}", ""
        if why == "PodInitializing":
            return None
        return why or "Pending", "its containers are being made", ""
    if ended := state.get("terminated"):
        if ended.get("reason") == "OOMKilled":
            return "OOMKilled", _oom(pod, name), ""
        if ended.get("exitCode"):
            return ended.get("reason") or "Error", f"{name} ended with exit code {ended['exitCode']}", name
    return None


def _oom(pod: Object, container: str) -> str:
    limits = next((one.get("resources", {}).get("limits") or {} for one in pod["spec"]["containers"]
                   if one["name"] == container), {})  # fmt: skip
    more = f" of {limits['memory']}" if "memory" in limits else ""
    return f"{container} was ended because it used more memory than its limit{more}"


def _times(one: Object) -> str:
    count = int(one.get("restartCount", 0))
    return f"restarted {count} time{'' if count == 1 else 's'}"


def _short(text: str) -> str:
    return " ".join(text.split())[:LONGEST_WORDS]
