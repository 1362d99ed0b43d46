"""Which object a change means, and how it is patched: the same for the question of a plan and for the act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change, Json
from opsbook.connectors.runtimes.kubernetes_api import APPLY, MERGE, STRATEGIC, ApiFault, Object
from opsbook.connectors.runtimes.kubernetes_kinds import KINDS, Kind
from opsbook.connectors.runtimes.kubernetes_patches import before, holds, without_absent
from opsbook.connectors.runtimes.kubernetes_stuck import way_back
from opsbook.errors import Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

HOW = {"apply": APPLY, "merge": MERGE, "strategic": STRATEGIC}
KIND = "kubernetes"
"""The kind of every change that Kubernetes is asked for."""
CONFLICT = 409
OTHERS: dict[str, tuple[str, tuple[str, ...], str, bool]] = {
    "HorizontalPodAutoscaler": ("autoscaling", ("v2", "v2beta2", "v1"), "horizontalpodautoscalers", True),
    "ConfigMap": ("", ("v1",), "configmaps", True),
    "Service": ("", ("v1",), "services", True),
    "NetworkPolicy": ("networking.k8s.io", ("v1",), "networkpolicies", True),
    "Node": ("", ("v1",), "nodes", False),
}
"""Kinds besides workloads: group, versions from the newest, plural, and whether they are of a namespace."""


@dataclass(frozen=True)
class Target:
    """One object. In effects as plain data, so that an executor finds it again."""

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    name: str
    namespaced: bool = True

    @classmethod
    def workload(cls, kind: Kind, name: str) -> Target:
        """A workload of a kind."""
        return cls(kind.group, kind.versions, kind.plural, kind.name, name)

    @classmethod
    def read(cls, said: Mapping[str, str]) -> Target:
        """From an effect."""
        return cls.of(said["kind"], said["name"])

    @classmethod
    def of(cls, kind: str, name: str) -> Target:
        """An object of a kind that opsbook changes."""
        if kind in KINDS:
            return cls.workload(KINDS[kind], name)
        group, versions, plural, namespaced = OTHERS[kind]
        return cls(group, versions, plural, kind, name, namespaced)

    def said(self) -> dict[str, str]:
        """For an effect: what people need to know it."""
        return {"kind": self.kind, "name": self.name}

    @property
    def words(self) -> str:
        """As people name it."""
        return f"{self.kind.lower()}/{self.name}"

    async def path(self, runtime: Kubernetes, below: str = "") -> str:
        """Its path on this server."""
        if self.namespaced:
            return await runtime.namespace.path(self.group, self.versions, self.plural, self.name, below)
        base = await runtime.namespace.served(self.group, self.versions, self.plural)
        return f"{base}/{self.plural}/{self.name}" + (f"/{below}" if below else "")

    async def read_now(self, runtime: Kubernetes) -> Object:
        """The object. Raises NotThere."""
        return await runtime.api.get(await self.path(runtime))


async def send(runtime: Kubernetes, effect: Mapping[str, Any], now: Object, *, dry: bool, force: bool = True) -> Object:
    """Sends the patch of an effect, bound to the object as it was read. Raises ApiFault, 409 where it moved.

    A dry run is not bound: a node's status moves all the time, and that is no reason to refuse a plan.
    """
    target = Target.read(effect["object"])
    patch, applied = effect["patch"], effect["how"] == "apply"
    bound = {} if dry else {"resourceVersion": now["metadata"]["resourceVersion"]}
    metadata = {**patch.get("metadata", {}), **bound}
    body = {**patch, "metadata": metadata}
    path = await target.path(runtime, effect.get("below", ""))
    if applied:
        version = (await runtime.namespace.served(target.group, target.versions, target.plural)).removeprefix("/apis/")
        named = {"apiVersion": version.removeprefix("/api/"), "kind": target.kind}
        metadata["name"] = target.name
        body = {**named, **without_absent(body)}
    return await runtime.api.patch(path, body, HOW[effect["how"]], dry=dry, manager=effect["manager"], force=force)


async def verdict(runtime: Kubernetes, effect: Mapping[str, Any], now: Object) -> dict[str, Any]:
    """What the server says of a patch without making it: evidence for a plan. Raises Refused with its words."""
    said: dict[str, Any] = {}
    try:
        if effect["how"] == "apply":
            try:
                await send(runtime, effect, now, dry=True, force=False)
                return said
            except ApiFault as error:
                if error.code != CONFLICT or not error.causes:
                    raise
                # Others set the same fields (helm, a GitOps controller) and may set them back: a person should know.
                said["also_set_by"] = sorted(
                    {cause.partition('"')[2].partition('"')[0] for cause in error.causes} - {""}
                )
        await send(runtime, effect, now, dry=True)
    except ApiFault as error:
        raise refusal(error) from error
    return said


def refusal(error: ApiFault) -> Refused:
    """What the server will not do, told while it is planned."""
    return Refused(f"the API server refuses this: {error.message.removeprefix('Kubernetes: ')}", error.hint or
                   "its quota, admission rules or roles say so")  # fmt: skip


def patched(
    target: Target,
    now: Object,
    patch: Json,
    *,
    verb: str,
    how: str = "merge",
    manager: str = "opsbook",
    below: str = "",
    evidence: Json = None,
    more: Mapping[str, Any] | None = None,
    guard: Mapping[str, Any] | None = None,
    undo_verb: str = "",
) -> Change:
    """A change that brings an object to a patch, and back."""
    effect = {"verb": verb, "object": target.said(), "patch": patch, "how": how, "manager": manager,
              **({"below": below} if below else {}), **(more or {})}  # fmt: skip
    uid = now["metadata"]["uid"]
    back: Change | str = "nothing to undo: it is so already"
    if not holds(patch, now):
        old = before(patch, now)
        # What was not there is taken out by its name; an apply would only give it up.
        way = "strategic" if how == "apply" and without_absent(old) != old else how
        more_back = way_back(target.kind) if "template" in patch.get("spec", {}) else {}
        undo = {**effect, "verb": undo_verb or verb, "patch": old, "how": way, **more_back}
        back = Change(KIND, undo, guard={"uid": uid, "holds": patch})
    return Change(KIND, effect, evidence, {"uid": uid, **(guard or {})}, back)
