"""Objects that are made and deleted as a whole, each the undo of the other.

effect of both: `verb` (make, unmake), `object` (kind, name), `spec`, and of `make` `labels`, `annotations`. An object
that is there already as it should be was made by an attempt that was cut off; one that is gone was deleted by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change, Done
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_patches import holds
from opsbook.connectors.runtimes.kubernetes_targets import KIND, Target, refusal
from opsbook.errors import Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

KEPT_BY_SERVER = "kubectl.kubernetes.io/last-applied-configuration"


async def _body(runtime: Kubernetes, effect: Mapping[str, Any]) -> Object:
    target = Target.read(effect["object"])
    served = await runtime.namespace.served(target.group, target.versions, target.plural)
    metadata = {"name": target.name, "labels": effect.get("labels") or {},
                "annotations": effect.get("annotations") or {}}  # fmt: skip
    version = served.removeprefix("/apis/").removeprefix("/api/")
    return {"apiVersion": version, "kind": target.kind, "metadata": metadata, "spec": effect["spec"]}


async def _all(runtime: Kubernetes, target: Target) -> str:
    return await runtime.namespace.path(target.group, target.versions, target.plural)


async def making(runtime: Kubernetes, target: Target, spec: Object, evidence: Any = None) -> Change:
    """The change that makes an object. Raises Refused where the server would not take it."""
    effect = {"verb": "make", "object": target.said(), "spec": spec}
    try:
        await runtime.api.post(await _all(runtime, target), await _body(runtime, effect), dry=True)
    except ApiFault as error:
        raise refusal(error) from error
    back = Change(KIND, {**effect, "verb": "unmake"}, guard={"holds": {"spec": spec}})
    return Change(KIND, effect, evidence, None, back)


def unmaking(target: Target, now: Object, evidence: Any = None) -> Change:
    """The change that deletes an object; its undo makes it again."""
    metadata = now["metadata"]
    annotations = {name: text for name, text in (metadata.get("annotations") or {}).items()
                   if name != KEPT_BY_SERVER and not name.startswith("autoscaling.alpha.kubernetes.io/")}  # fmt: skip
    spec = now["spec"]
    effect = {"verb": "unmake", "object": target.said(), "spec": spec}
    again = {**effect, "verb": "make", "labels": metadata.get("labels") or {}, "annotations": annotations}
    return Change(KIND, effect, evidence, {"uid": metadata["uid"]}, Change(KIND, again))


async def make(runtime: Kubernetes, change: Change) -> Done:
    """Raises Refused where another one of the name is there."""
    target, effect = Target.read(change.effect["object"]), change.effect
    try:
        await runtime.api.post(await _all(runtime, target), await _body(runtime, effect))
    except ApiFault as error:
        if error.reason != "AlreadyExists":
            raise
        if not holds({"spec": effect["spec"]}, await target.read_now(runtime)):
            raise Refused(f"another {target.words} is there already", "look at it, then plan anew") from error
    return Done({"made": target.words})


async def unmake(runtime: Kubernetes, change: Change) -> Done:
    """Raises Refused where it is another one than was planned, or was changed since it was made."""
    target, guard = Target.read(change.effect["object"]), change.guard or {}
    try:
        now = await target.read_now(runtime)
    except NotThere:
        return Done({"deleted": target.words})
    same(target, now, guard)
    body = {"preconditions": {"uid": now["metadata"]["uid"]}}
    with suppress(NotThere):
        await runtime.api.ask("DELETE", await target.path(runtime), body=body)
    return Done({"deleted": target.words})


def same(target: Target, now: Object, guard: Mapping[str, Any]) -> None:
    """Raises Refused where it is another one than was planned, or was changed since it was made."""
    if "uid" in guard and now["metadata"]["uid"] != guard["uid"]:
        raise Refused(f"{target.words} was deleted and made anew since this was planned", "plan anew")
    if "holds" in guard and not holds(guard["holds"], now):
        raise Refused(f"{target.words} is not as it was left: somebody changed it since", "look at it, then plan anew")
