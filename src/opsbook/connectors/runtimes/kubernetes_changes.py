"""Changes of workloads that Kubernetes holds, as effects that can be shown before they happen.

Every effect is the wanted state, so that applying it twice does it once. Planning asks the API server what it would say
(`dryRun=All`): what quota, admission or roles refuse is refused here, and nothing is written. The guard is the object's
uid and the images that were seen; `generation` and `resourceVersion` move with every step of the same run, and with
every status, so that they are not in it: the patch carries the `resourceVersion` under which the guard was checked.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from opsbook.book.load import nearest
from opsbook.connectors.change import Change
from opsbook.connectors.runtimes import kubernetes_revisions
from opsbook.connectors.runtimes.arguments import (
    DeployArguments,
    ExecArguments,
    NoArguments,
    RollbackArguments,
    ScaleArguments,
    StartArguments,
    read,
)
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Object
from opsbook.connectors.runtimes.kubernetes_autoscalers import autoscaler_of, bounded
from opsbook.connectors.runtimes.kubernetes_kinds import (
    CRON_JOB,
    Kind,
    image_with,
    ready_of,
    template_of,
    version_of,
    wanted_of,
)
from opsbook.connectors.runtimes.kubernetes_stuck import way_back
from opsbook.connectors.runtimes.kubernetes_targets import KIND, Target, patched, refusal, verdict
from opsbook.errors import Absent, Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

NOTICED_SECONDS = 10.0
NOTICED_PAUSE = 0.2
"""How long a controller may take to notice a change, and between looks at it."""
BEFORE_STOP = "opsbook/replicas-wanted"
"""Annotation that remembers how many ran, for a start that is not told."""


async def planned(runtime: Kubernetes, workload: str, verb: Verb, arguments: dict[str, Any]) -> Change:
    """The change that the verb would be now. Raises UsageError, Unsupported or Refused with the reason."""
    given = read(workload, verb, arguments)
    kind, now = await runtime.found(workload)
    change: Change = await PLANS[verb](_Wanted(runtime, workload, kind, now), given)
    return change


class _Wanted:
    """A workload whose change is planned."""

    def __init__(self, runtime: Kubernetes, workload: str, kind: Kind, now: Object) -> None:
        self.runtime, self.workload, self.kind, self.now = runtime, workload, kind, now
        self.target = Target.workload(kind, now["metadata"]["name"])

    @property
    def replicas(self) -> int:
        """How many it wants now."""
        return wanted_of(self.kind.name, self.now) or 0

    @property
    def images(self) -> dict[str, str]:
        """Container → image, of its template."""
        return {one["name"]: one.get("image", "") for one in template_of(self.now)["spec"]["containers"]}

    def more(self, wait: float, **keys: Any) -> dict[str, Any]:
        """What every effect says besides its patch."""
        return {"workload": self.workload, "wait": wait, **keys}

    def evidence(self, **keys: Any) -> dict[str, Any]:
        """What was seen: shown, and not in the digest."""
        metadata = self.now["metadata"]
        return {"wanted": wanted_of(self.kind.name, self.now), "ready": ready_of(self.kind.name, self.now),
                "images": self.images, "generation": metadata.get("generation"), **keys}  # fmt: skip

    def require_replicas(self) -> None:
        """Raises Unsupported for kinds without a number."""
        if not self.kind.scales:
            raise Unsupported(f"a {self.kind.name} has no number of pods to set: {_NUMBERLESS[self.kind.name]}")


_NUMBERLESS = {
    "DaemonSet": "it runs one on each node that fits",
    "CronJob": "its schedule starts jobs; `workload.stop` suspends it",
    "Job": "it runs until its work is done",
}


async def _scale(of: _Wanted, given: ScaleArguments) -> Change:
    of.require_replicas()
    hpa = await autoscaler_of(of.runtime, of.kind.name, of.target.name)
    if hpa is not None and given.autoscaler:
        return await bounded(of.runtime, hpa, given.replicas, given.replicas, of.workload, given.wait)
    if hpa is not None and of.replicas:
        raise Refused(
            f"the autoscaler {hpa.name} holds {of.workload} between {hpa.least} and {hpa.most} pods:"
            f" it would take a fixed number back",
            "set `autoscaler: true` to bring it to this number, or use `autoscaler.set`",
        )
    change = _replicas(of, "scale", given.replicas, given.wait)
    evidence = {**change.evidence, **await verdict(of.runtime, change.effect, of.now)}
    if given.replicas > of.replicas:
        await _admitted(of, template_of(of.now))
    return Change(KIND, change.effect, evidence, change.guard, change.inverse)


def _replicas(of: _Wanted, verb: str, count: int, wait: float) -> Change:
    return patched(of.target, of.now, {"spec": {"replicas": count}}, verb=verb, below="scale", undo_verb="scale",
                   evidence=of.evidence(), more=of.more(wait, until="ready"))  # fmt: skip


async def _stop(of: _Wanted, given: NoArguments) -> Change:
    if of.kind is CRON_JOB:
        return await _suspend(of, True, given.wait)
    of.require_replicas()
    patch: dict[str, Any] = {"spec": {"replicas": 0}}
    if of.replicas:
        patch["metadata"] = {"annotations": {BEFORE_STOP: str(of.replicas)}}
    change = patched(of.target, of.now, patch, verb="stop", undo_verb="start", evidence=of.evidence(),
                     more=of.more(given.wait, until="gone"))  # fmt: skip
    evidence = {**change.evidence, **await verdict(of.runtime, change.effect, of.now)}
    # That it wants none is the whole of the state: how many it wanted is memory, and differs when planned once more.
    effect = {**change.effect, "patch": {"spec": {"replicas": 0}}}
    back: Change | str = "it does not run now"
    if of.replicas:
        start = _started(of, of.replicas, given.wait)
        back = Change(KIND, start.effect, guard=start.guard)
    return Change(KIND, effect, evidence, change.guard, back)


def _started(of: _Wanted, count: int, wait: float) -> Change:
    change = _replicas(of, "start", count, wait)
    return Change(KIND, {**change.effect, "at_least": True}, change.evidence, change.guard, change.inverse)


async def _start(of: _Wanted, given: StartArguments) -> Change:
    if of.kind is CRON_JOB:
        return await _suspend(of, False, given.wait)
    of.require_replicas()
    remembered = (of.now["metadata"].get("annotations") or {}).get(BEFORE_STOP, "")
    count = given.replicas if given.replicas is not None else of.replicas or int(remembered or 1)
    change = _started(of, count, given.wait)
    evidence = {**change.evidence, **await verdict(of.runtime, change.effect, of.now)}
    if count > of.replicas:
        await _admitted(of, template_of(of.now))
    back: Change | str = "nothing to undo: it runs already"
    if not of.replicas:
        stop = patched(
            of.target, of.now, {"spec": {"replicas": 0}}, verb="stop", more=of.more(given.wait, until="gone")
        )
        back = Change(KIND, stop.effect, guard=change.guard)
    return Change(KIND, change.effect, evidence, change.guard, back)


async def _suspend(of: _Wanted, suspended: bool, wait: float) -> Change:
    verb, undo = ("stop", "start") if suspended else ("start", "stop")
    change = patched(of.target, of.now, {"spec": {"suspend": suspended}}, verb=verb, undo_verb=undo,
                     evidence=of.evidence(), more=of.more(wait))  # fmt: skip
    await verdict(of.runtime, change.effect, of.now)
    return change


async def _restart(of: _Wanted, given: NoArguments) -> Change:
    _require_rolls(of, "restarted")
    if of.kind.scales and not of.replicas:
        raise Refused(f"no pod of {of.workload!r} is wanted, so that none can be restarted", "start it")
    effect = {"verb": "restart", "object": of.target.said(), **of.more(given.wait)}
    probe = {**effect, **restart_patch("opsbook-plans-this")}
    evidence = of.evidence(**await verdict(of.runtime, probe, of.now))
    return Change(KIND, effect, evidence, {"uid": of.now["metadata"]["uid"]},
                  "a restart has no undo; the pods run again when it is done")  # fmt: skip


def restart_patch(key: str) -> dict[str, Any]:
    """The patch that makes a controller replace its pods, once for a key."""
    annotations = {"opsbook/restarted-by": key}
    return {"patch": {"spec": {"template": {"metadata": {"annotations": annotations}}}}, "how": "merge",
            "manager": "opsbook", "until": "ready"}  # fmt: skip


def _require_rolls(of: _Wanted, done: str) -> None:
    if not of.kind.rolls:
        raise Unsupported(f"the pods of a {of.kind.name} are not replaced by it, so that it cannot be {done}",
                          "hold it by a Deployment")  # fmt: skip
    strategy = of.now["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        raise Unsupported(f"{of.workload} replaces its pods only when they are deleted (updateStrategy: OnDelete)",
                          "set its updateStrategy to RollingUpdate")  # fmt: skip


async def _deploy(of: _Wanted, given: DeployArguments) -> Change:
    if of.kind is not CRON_JOB:
        _require_rolls(of, "brought to a version")
    container, image = of.runtime.image_of(of.now, of.workload)
    wanted = image_with(image, given.version)
    inner: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [{"name": container, "image": wanted}]}}}}
    patch = {"spec": {"jobTemplate": inner}} if of.kind is CRON_JOB else inner
    more = of.more(given.wait, version=version_of(wanted), **({} if of.kind is CRON_JOB else {"until": "ready"}))
    change = patched(of.target, of.now, patch, verb="deploy", how="apply", manager=f"opsbook-image-{container}",
                     evidence=of.evidence(version=version_of(image)), more=more,
                     guard={"images": of.images}, undo_verb="rollback")  # fmt: skip
    evidence = {**change.evidence, **await verdict(of.runtime, change.effect, of.now)}
    if words := await _admitted(of, _with_image(template_of(of.now), container, wanted), quota_refuses=False):
        evidence["quota"] = words
    back: Change | str = "nothing to undo: it runs this version already"
    if isinstance(change.inverse, Change):
        back = Change(KIND, {**change.inverse.effect, "version": version_of(image)}, guard=change.inverse.guard)
    return Change(KIND, change.effect, evidence, change.guard, back)


def _with_image(template: Object, container: str, image: str) -> Object:
    containers = [
        {**one, "image": image} if one["name"] == container else one for one in template["spec"]["containers"]
    ]
    return {**template, "spec": {**template["spec"], "containers": containers}}


async def _admitted(of: _Wanted, template: Object, quota_refuses: bool = True) -> str:
    """Asks whether one more pod of this template would be let in. Raises Refused; returns the words of a full quota.

    Only a credential that may create pods can ask this; another plans without the answer.
    """
    name = of.target.name
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
           "metadata": {**(template.get("metadata") or {}), "name": f"{name[:50]}-planned"}}  # fmt: skip
    pod["metadata"].pop("creationTimestamp", None)
    try:
        await of.runtime.api.post(of.runtime.namespace.core("pods"), pod, dry=True)
    except ApiFault as error:
        words = error.message
        if " cannot create " in words or error.code == 409:
            return ""
        if "exceeded quota" in words and not quota_refuses:
            return words
        raise refusal(error) from error
    return ""


async def _rollback(of: _Wanted, given: RollbackArguments) -> Change:
    _require_rolls(of, "brought back")
    await _noticed(of)
    container, _ = of.runtime.image_of(of.now, of.workload)
    kept = await kubernetes_revisions.kept(of.runtime.namespace, of.kind, of.now)
    now = next((one for one in kept if one.current), None)
    others = [one for one in kept if not one.current and not one.left]
    if given.version:
        # A tag may be a number too: `revision-2` is never one.
        named = [
            one
            for one in kept
            if given.version in (f"revision-{one.number}", str(one.number), one.name, one.version(container))
        ]
        if not named:
            known = {one.version(container) for one in kept}
            raise Absent(f"{of.workload} keeps no revision {given.version!r}", nearest(given.version, known))
        wanted = named[-1]
    elif others:
        wanted = others[-1]
    else:
        left = ", ".join(f"{one.number} ({one.version(container)})" for one in kept if one.left)
        was = f"; it was gone back from {left}" if left else ""
        raise Refused(f"there is no revision of {of.workload} before this one to go back to{was}",
                      "deploy one by its name")  # fmt: skip
    guard = {"uid": of.now["metadata"]["uid"], "images": of.images}
    effect = _to_revision(of, wanted, container, given.wait)
    evidence = of.evidence(revision=now.number if now else None, to=wanted.number)
    back: Change | str = "nothing to undo: it runs this revision already"
    if now is None:
        back = "what it was told to run is no revision yet (is it paused?): deploy it by its name"
    elif wanted is not now:
        images = {one["name"]: one.get("image", "") for one in wanted.template["spec"]["containers"]}
        back = Change(KIND, _to_revision(of, now, container, given.wait), guard={**guard, "images": images})
    return Change(KIND, effect, evidence, guard, back)


async def _noticed(of: _Wanted) -> None:
    """Waits for the controller: until it made the revision of the last change, the one before would pass as current,
    and going back would go one too far. Raises Refused."""
    deadline = time.monotonic() + NOTICED_SECONDS
    while not kubernetes_revisions.is_noticed(of.now):
        if time.monotonic() > deadline:
            raise Refused(
                f"the controller of {of.target.words} has not noticed its last change for {NOTICED_SECONDS:g} s",
                "look whether the controller manager of the cluster runs, then plan anew",
            )
        await asyncio.sleep(NOTICED_PAUSE)
        of.now = await of.target.read_now(of.runtime)


def _to_revision(of: _Wanted, to: kubernetes_revisions.Kept, container: str, wait: float) -> dict[str, Any]:
    # The template may hold plain passwords: its digest is in the plan, and it is read anew when it is applied.
    return {"verb": "rollback", "object": of.target.said(), "revision": to.name, "template": to.digest,
            **of.more(wait, version=to.version(container), until="ready"), **way_back(of.kind.name)}  # fmt: skip


async def _exec(of: _Wanted, given: ExecArguments) -> Change:
    if given.secrets:
        raise Unsupported(
            "a secret cannot be handed to a command in a pod: the API server's audit log would hold it",
            "let the workload have it as a Kubernetes secret, and the command read it there",
        )
    container, _ = of.runtime.image_of(of.now, of.workload)
    # The exchange begins with a GET: older servers ask for that right, newer ones for `create`.
    if not (await of.runtime.may("create", "", "pods", "exec") or await of.runtime.may("get", "", "pods", "exec")):
        raise Refused("this credential may not run commands in pods (pods/exec)", "grant it, or use another")
    effect = {"verb": "exec", "object": of.target.said(), "workload": of.workload, "container": container,
              "argv": list(given.argv), "timeout": given.timeout,
              **({"env": given.env} if given.env else {})}  # fmt: skip
    return Change(KIND, effect, guard={"uid": of.now["metadata"]["uid"]},
                  inverse="what a command did, only its author knows")  # fmt: skip


PLANS: dict[Verb, Any] = {
    Verb.START: _start,
    Verb.STOP: _stop,
    Verb.RESTART: _restart,
    Verb.SCALE: _scale,
    Verb.DEPLOY: _deploy,
    Verb.ROLLBACK: _rollback,
    Verb.EXEC: _exec,
}
