"""Applies changes of the kind `kubernetes`: exactly what the plan showed, bound to the object as its guard was checked.

Patches say the wanted state: applied again they change nothing more, and a restart is marked with its key. So a change
that was cut off anywhere is simply made again. EXEC and TRIGGER are told apart in their own files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes import (
    kubernetes_drain,
    kubernetes_exec,
    kubernetes_isolation,
    kubernetes_jobs,
    kubernetes_made,
    kubernetes_revisions,
)
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import JSON_PATCH, ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_changes import BEFORE_STOP, restart_patch
from opsbook.connectors.runtimes.kubernetes_kinds import KINDS, ready_of, template_of
from opsbook.connectors.runtimes.kubernetes_patches import holds
from opsbook.connectors.runtimes.kubernetes_targets import CONFLICT, KIND, Target, send
from opsbook.connectors.runtimes.kubernetes_wait import Rollout, until_bounded
from opsbook.errors import Refused, Unreachable

ATTEMPTS = 20
"""An object moves with each status of its controller; a patch that lost such a race is sent once more."""
BETWEEN_SECONDS = 0.1
AWAY_SECONDS, AWAY_PAUSE = 90.0, 2.0
"""How long an API server may be away in the middle of a change: it is restarted in less."""


@executor(KIND)
def make(connections: Connections) -> KubernetesExecutor:
    """The executor for the runtime of these connections."""
    found = connections.runtime
    assert isinstance(found, Kubernetes), "a change of Kubernetes in an environment without it"
    return KubernetesExecutor(found)


class KubernetesExecutor:
    """Applies exactly what a change says."""

    def __init__(self, runtime: Kubernetes) -> None:
        self._runtime = runtime

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:  # noqa: ARG002  none is told
        """Raises Refused where the guard no longer holds, NotReady where a workload does not become what it should."""
        act = _ACTS.get(change.effect["verb"], _patch)
        # A command is no state: only what can be asked for twice is asked for again while the API server is away.
        away = 0.0 if act is _exec else AWAY_SECONDS
        deadline = time.monotonic() + away
        while True:
            self._runtime.forget()
            try:
                return await act(self._runtime, key, change, out)
            except Unreachable as error:
                if time.monotonic() > deadline:
                    raise
                await out.write(f"{error.message}; asked again\n")
                await asyncio.sleep(AWAY_PAUSE)
            finally:
                self._runtime.forget()

    async def end(self, key: str, change: Change) -> bool:
        """Ends a command that carries the key in its pod. Everything else is a request, and over when it is cut."""
        if change.effect["verb"] == "exec":
            return await kubernetes_exec.end(self._runtime, key, change.effect)
        return True


async def _guarded(runtime: Kubernetes, change: Change) -> Object:
    """The object as it is, if it is still the one of the plan. Raises Refused."""
    target, guard = Target.read(change.effect["object"]), change.guard or {}
    try:
        now = await target.read_now(runtime)
    except NotThere as error:
        raise Refused(f"{target.words} is not there any more", "plan anew") from error
    if "uid" in guard and now["metadata"]["uid"] != guard["uid"]:
        raise Refused(f"{target.words} was deleted and made anew since this was planned", "plan anew")
    wanted = change.effect.get("patch")
    if "holds" in guard and not holds(guard["holds"], now) and not (wanted and holds(wanted, now)):
        raise Refused(f"{target.words} is not as it was left: somebody changed it since", "look at it, then plan anew")
    if "images" in guard:
        _same_images(target, guard["images"], now, change.effect)
    return now


def _same_images(target: Target, planned: Mapping[str, str], now: Object, effect: Mapping[str, Any]) -> None:
    """Nobody has deployed another version meanwhile. What this change itself wants is right too: it was cut off."""
    seen = {one["name"]: one.get("image", "") for one in template_of(now)["spec"]["containers"]}
    if seen == planned or holds(effect.get("patch", {"spec": None}), now):
        return
    if effect.get("template") == kubernetes_revisions.digest_of(template_of(now)):
        return
    raise Refused(
        f"{target.words} runs {', '.join(sorted(seen.values()))} now, and ran {', '.join(sorted(planned.values()))}"
        " when this was planned",
        "plan anew",
    )


async def _racing(runtime: Kubernetes, change: Change, act: Callable[[Object], Awaitable[Object | None]]) -> None:
    """Reads, checks the guard, acts; once more where the object moved in between."""
    for attempt in range(ATTEMPTS):
        now = await _guarded(runtime, change)
        try:
            await act(now)
            return
        except ApiFault as error:
            if error.code != CONFLICT or attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(BETWEEN_SECONDS)


async def _patch(runtime: Kubernetes, _key: str, change: Change, out: Sink) -> Done:
    effect = change.effect

    async def act(now: Object) -> Object | None:
        replicas = (now.get("spec") or {}).get("replicas")
        enough = effect.get("at_least") and replicas is not None and replicas >= effect["patch"]["spec"]["replicas"]
        if enough or holds(effect["patch"], now):
            return None
        return await send(runtime, _remembering(effect, replicas), now, dry=False)

    await _racing(runtime, change, act)
    return await _awaited(runtime, effect, out)


def _remembering(effect: Mapping[str, Any], replicas: int | None) -> Mapping[str, Any]:
    """What is stopped remembers how many ran."""
    if effect["verb"] != "stop" or not replicas:
        return effect
    memory = {"metadata": {"annotations": {BEFORE_STOP: str(replicas)}}}
    return {**effect, "patch": {**effect["patch"], **memory}}


async def _restart(runtime: Kubernetes, key: str, change: Change, out: Sink) -> Done:
    full = Change(KIND, {**change.effect, **restart_patch(key)}, guard=change.guard)
    return await _patch(runtime, key, full, out)


async def _rollback(runtime: Kubernetes, key: str, change: Change, out: Sink) -> Done:
    effect = change.effect
    if "patch" in effect:
        return await _patch(runtime, key, change, out)
    target = Target.read(effect["object"])

    async def act(now: Object) -> Object | None:
        if kubernetes_revisions.digest_of(template_of(now)) == effect["template"]:
            return None
        kept = await kubernetes_revisions.kept(runtime.namespace, KINDS[target.kind], now)
        wanted = next((one for one in kept if one.name == effect["revision"]), None)
        if wanted is None or wanted.digest != effect["template"]:
            raise ChangeFailed(f"the revision {effect['revision']} of {target.words} is gone",
                               "raise its revisionHistoryLimit; deploy the version by its name")  # fmt: skip
        body = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": now["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/spec/template", "value": wanted.template},
        ]
        try:
            return await runtime.api.patch(await target.path(runtime), body, JSON_PATCH)
        except ApiFault as error:
            # A failed `test` is told as 422, which is no conflict to the server, and one to us.
            if error.code == 422 and "testing" in error.message:
                raise ApiFault(CONFLICT, "Conflict", error.message) from error
            raise

    await _racing(runtime, change, act)
    return await _awaited(runtime, effect, out)


async def _awaited(runtime: Kubernetes, effect: Mapping[str, Any], out: Sink) -> Done:
    """Holds the run until what was asked for is so; the result tells what is."""
    target = Target.read(effect["object"])
    workload, until = effect.get("workload", target.words), effect.get("until", "")
    result: dict[str, Any] = {"workload": workload, "verb": effect["verb"]}
    if "version" in effect:
        result["version"] = effect["version"]
    if until == "bounded":
        await until_bounded(runtime, effect, out)
        return Done({**result, "replicas": effect["least"]})
    if not until:
        return Done(result)
    replaces = bool(effect.get("replaces_stuck"))
    rollout = Rollout(runtime, target, workload, effect["wait"], out, replaces_stuck=replaces)
    now = await (rollout.gone() if until == "gone" else rollout.ready())
    return Done({**result, "ready": ready_of(target.kind, now)})


async def _exec(runtime: Kubernetes, key: str, change: Change, out: Sink) -> Done:
    await _guarded(runtime, change)
    return await kubernetes_exec.run(runtime, key, change.effect, out)


async def _drain(runtime: Kubernetes, _key: str, change: Change, out: Sink) -> Done:
    await _guarded(runtime, change)
    return await kubernetes_drain.drain(runtime, change.effect, out)


async def _trigger(runtime: Kubernetes, key: str, change: Change, out: Sink) -> Done:
    now = await _guarded(runtime, change)
    return await kubernetes_jobs.trigger(runtime, key, change.effect, now, out)


async def _make(runtime: Kubernetes, _key: str, change: Change, _out: Sink) -> Done:
    return await kubernetes_made.make(runtime, change)


async def _unmake(runtime: Kubernetes, _key: str, change: Change, _out: Sink) -> Done:
    return await kubernetes_made.unmake(runtime, change)


async def _isolate(runtime: Kubernetes, _key: str, change: Change, out: Sink) -> Done:
    return await kubernetes_isolation.isolate(runtime, change, out)


async def _reconnect(runtime: Kubernetes, _key: str, change: Change, out: Sink) -> Done:
    return await kubernetes_isolation.reconnect(runtime, change, out)


_ACTS: dict[str, Callable[[Kubernetes, str, Change, Sink], Awaitable[Done]]] = {
    "restart": _restart,
    "rollback": _rollback,
    "exec": _exec,
    "drain": _drain,
    "trigger": _trigger,
    "make": _make,
    "unmake": _unmake,
    "isolate": _isolate,
    "reconnect": _reconnect,
}
