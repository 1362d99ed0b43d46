"""Changes of the kind `config`: a workload is rolled to another version of a config map that it takes.

effect: `workload`, `map` (the map of which there are versions), `to` (the version's name), `from` (the version that its
values are changed in), `values` (key → text, or None to take it out), `wait` in seconds, `replaces_stuck` (a pod that
holds up the way back of a StatefulSet is deleted). guard: `uid` of the workload.
An undo has no `values`: its version is there. Applied again it does nothing more.

result: `map`, the version's name; `ready`, its pods.
"""

from __future__ import annotations

import asyncio
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import JSON_PATCH, ApiFault, NotThere
from opsbook.connectors.runtimes.kubernetes_config import changed, manifest, name_of, with_map
from opsbook.connectors.runtimes.kubernetes_kinds import ready_of, template_of
from opsbook.connectors.runtimes.kubernetes_targets import Target
from opsbook.connectors.runtimes.kubernetes_wait import Rollout
from opsbook.connectors.switches.service import patiently
from opsbook.errors import Refused

ATTEMPTS = 20
BETWEEN_SECONDS = 0.1


@executor("config")
class Config:
    """Makes the version, and rolls the workload to it."""

    def __init__(self, connections: Connections) -> None:
        self.runtime: Kubernetes = kubernetes_of(connections.runtime)

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the workload or the map is another, NotReady where its pods do not come up."""
        effect = change.effect
        self.runtime.forget()
        try:
            await patiently(lambda: self._made(effect))
            kind, _ = await patiently(lambda: self.runtime.found(effect["workload"]))
            await patiently(lambda: self._named(effect, (change.guard or {}).get("uid", "")))
            await out.write(f"{effect['workload']} takes {effect['to']}\n")
            target = Target.workload(kind, effect["workload"].rpartition("/")[2])
            replaces = bool(effect.get("replaces_stuck"))
            rollout = Rollout(self.runtime, target, effect["workload"], effect["wait"], out, replaces_stuck=replaces)
            now = await rollout.ready()
        finally:
            self.runtime.forget()
        return Done({"map": effect["to"], "ready": ready_of(target.kind, now)})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True

    async def _made(self, effect: dict[str, Any]) -> None:
        """The version is there; made where it is not."""
        maps, api = self.runtime.namespace, self.runtime.api
        try:
            there = await api.get(maps.core("configmaps", effect["to"]))
            held = name_of(effect["map"], there.get("data") or {}, there.get("binaryData"))
            if "values" in effect and effect["to"] not in (held, effect["from"]):
                raise Refused(f"the config map {effect['to']} was changed since it was made",
                              "delete it where nothing uses it, then deploy again")  # fmt: skip
            return
        except NotThere:
            if "values" not in effect:
                raise Refused(f"the config map {effect['to']} is gone", "deploy its values anew") from None
        before = await api.get(maps.core("configmaps", effect["from"]))
        data = changed(before.get("data") or {}, effect["values"])
        if name_of(effect["map"], data, before.get("binaryData")) != effect["to"]:
            raise Refused(f"the config map {effect['from']} was changed since this was planned", "plan anew")
        try:
            await api.post(maps.core("configmaps"),
                           manifest(effect["map"], effect["to"], data, before.get("binaryData") or {}))  # fmt: skip
        except ApiFault as error:
            if error.reason != "AlreadyExists":
                raise ChangeFailed(f"{effect['to']} cannot be made: {error.message}", error.hint) from error

    async def _named(self, effect: dict[str, Any], uid: str) -> None:
        """The pod template names it. Bound to the workload as it was read; once more where that moved."""
        for attempt in range(ATTEMPTS):
            kind, now = await self.runtime.found(effect["workload"])
            if uid and now["metadata"]["uid"] != uid:
                raise Refused(f"{effect['workload']} was deleted and made anew since this was planned", "plan anew")
            template = template_of(now)
            wanted = with_map(template, effect["map"], effect["to"])
            if wanted == template:
                return
            body = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": now["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/spec/template", "value": wanted},
            ]
            path = await Target.workload(kind, now["metadata"]["name"]).path(self.runtime)
            try:
                await self.runtime.api.patch(path, body, JSON_PATCH)
                return
            except ApiFault as error:
                if attempt == ATTEMPTS - 1 or not (error.code == 422 and "testing" in error.message):
                    raise ChangeFailed(f"{effect['workload']}: {error.message}", error.hint) from error
                await asyncio.sleep(BETWEEN_SECONDS)
