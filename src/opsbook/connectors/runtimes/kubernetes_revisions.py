"""The revisions that controllers keep: ReplicaSets of a Deployment, else ControllerRevisions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from opsbook.connectors.runtimes.contract import Revision, Unsupported
from opsbook.connectors.runtimes.kubernetes_api import Object
from opsbook.connectors.runtimes.kubernetes_kinds import DEPLOYMENT, REPLICA_SET, Kind, template_of, version_of
from opsbook.connectors.runtimes.kubernetes_look import Namespace, owner_labels
from opsbook.connectors.runtimes.kubernetes_pods import moment
from opsbook.connectors.runtimes.succession import succession

NUMBER = "deployment.kubernetes.io/revision"
EARLIER = "deployment.kubernetes.io/revision-history"
"""The numbers that a revision had before it was gone back to, with commas between them."""


@dataclass(frozen=True)
class Kept:
    """One revision. Its name stays; its number grows when it is gone back to."""

    name: str
    number: int
    at: datetime | None
    template: Object
    current: bool
    earlier: tuple[int, ...] = ()
    left: bool = False
    """Somebody went back from it."""

    def as_revision(self, container: str) -> Revision:
        """As the runtime's contract has it."""
        return Revision(self.number, self.version(container), self.at, self.current, self.left)

    def version(self, container: str) -> str:
        """The version of a container in it; empty where it had none of this name."""
        return next((version_of(one["image"]) for one in self.template["spec"]["containers"]
                     if one["name"] == container), "")  # fmt: skip

    @property
    def digest(self) -> str:
        """What tells whether the template is still the one of a plan, without showing what is in it."""
        return digest_of(self.template)


def digest_of(template: Object) -> str:
    """A digest of a pod template, without the hash label that the Deployment controller adds."""
    return hashlib.sha256(json.dumps(plain(template), sort_keys=True).encode()).hexdigest()[:16]


def plain(template: Object) -> Object:
    """A template as its author wrote it."""
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    if labels := metadata.get("labels"):
        metadata["labels"] = {name: value for name, value in labels.items() if name != "pod-template-hash"}
    return {**template, "metadata": metadata}


def is_noticed(one: Object) -> bool:
    """Its controller has seen the last change: before that, the revision of this change is not there yet."""
    seen = (one.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= one["metadata"].get("generation", 0))


async def kept(namespace: Namespace, kind: Kind, one: Object) -> list[Kept]:
    """Oldest first; none is current where the controller has not made the one that is wanted.

    Raises Unsupported for kinds that keep none.
    """
    if not kind.rolls:
        raise Unsupported(f"a {kind.name} keeps no revisions", "deploy a version by its name")
    selector = owner_labels(one)
    if kind is DEPLOYMENT:
        found = [
            Kept(rs["metadata"]["name"], int(rs["metadata"].get("annotations", {}).get(NUMBER, 0)),
                 moment(rs["metadata"].get("creationTimestamp")), plain(rs["spec"]["template"]), False,
                 _numbers(rs["metadata"].get("annotations", {}).get(EARLIER, "")))
            async for rs in namespace.api.pages(await namespace.of(REPLICA_SET), {"labelSelector": selector})
            if _owned(rs, one)
        ]  # fmt: skip
    else:
        path = await namespace.path("apps", ("v1",), "controllerrevisions")
        found = [
            Kept(revision["metadata"]["name"], int(revision["revision"]),
                 moment(revision["metadata"].get("creationTimestamp")),
                 plain({key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}),
                 False)
            async for revision in namespace.api.pages(path, {"labelSelector": selector})
            if _owned(revision, one)
        ]  # fmt: skip
    found.sort(key=lambda each: each.number)
    current = found[-1].name if found and _is_wanted(found[-1], kind, one) else ""
    followed = succession(deployed(found))
    return [replace(each, current=each.name == current, left=each.name not in followed) for each in found]


def deployed(found: Sequence[Kept]) -> list[str]:
    """The names of revisions in the order in which they were brought, with those that were gone back to once more.

    A ControllerRevision has no history of its numbers: one that is older than another, and has the higher number, got
    it when it was gone back to. It was brought first right before the next one that was made.
    """
    events: list[tuple[float, int, str]] = [
        (number, -1, each.name) for each in found for number in (*each.earlier, each.number)
    ]
    made = sorted(found, key=lambda each: (each.at.timestamp() if each.at else 0.0, each.number))
    lowest: float = math.inf
    following: float = math.inf
    for place, each in reversed(list(enumerate(made))):
        first: float = min([each.number, *each.earlier])
        # Compared with all that were made later: two may have been gone back to in their old order.
        if first > lowest:
            first = following
            events.append((first, place - len(made) - 1, each.name))
        lowest, following = min(lowest, each.number, *each.earlier), first
    return [name for _, _, name in sorted(events)]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(",") if one.strip().isdigit())


def _is_wanted(last: Kept, kind: Kind, one: Object) -> bool:
    """A paused Deployment is noticed, and its revision waits until it goes on."""
    return is_noticed(one) and (kind is not DEPLOYMENT or last.digest == digest_of(template_of(one)))


def _owned(one: Object, by: Object) -> bool:
    return any(owner["uid"] == by["metadata"]["uid"] for owner in one["metadata"].get("ownerReferences") or [])
