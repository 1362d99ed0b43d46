"""A workload cut off by a network policy that opsbook makes, while its pods go on running.

Policies only ever allow: beside one that lets traffic through, one that lets none through takes nothing away. So those
that select the same pods are made to leave them out, by a label that only they have, and given back afterwards.
Whether anything is cut at all is up to the network of the cluster: that is looked at from within the pods.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from opsbook.connectors.change import Change, ChangeFailed, Done, Sink
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.inside.look import Answer, Question, look, question_of
from opsbook.connectors.runtimes import kubernetes_made
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes_api import MERGE, ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_budgets import selects
from opsbook.connectors.runtimes.kubernetes_kinds import Kind, template_of
from opsbook.connectors.runtimes.kubernetes_patches import holds
from opsbook.connectors.runtimes.kubernetes_pods import owner_of
from opsbook.connectors.runtimes.kubernetes_targets import CONFLICT, KIND, Target, refusal
from opsbook.errors import Absent, Refused, Unreachable, UsageError

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

Proof = Literal["must", "tell", "no"]
ISOLATE, RECONNECT = "isolate", "reconnect"
POLICY = "NetworkPolicy"
MEMORY = "opsbook/left-out-of"
"""Annotation of our policy: which others leave its pods out, and how, and what its pods reached before."""
LONGEST_NAME = 253
ATTEMPTS = 20
PROOF_SECONDS = 20.0
"""How long the network of a cluster may take to do what a policy says."""
PAUSE_SECONDS = 1.0
LOOK_SECONDS = 2.0
MOST_PLACES = 6
CANNOT_TELL = "whether the network of this cluster does what policies say cannot be told"


def policy_name(workload: str) -> str:
    """The name of our policy."""
    name = f"opsbook-isolate-{workload}"
    return name if len(name) <= LONGEST_NAME else f"{name[:240]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


async def isolated(runtime: Kubernetes, workload: str, network: str, prove: Proof) -> Change:
    """The change that cuts it off. Raises Refused or Unsupported where that is not possible."""
    _whole(network)
    kind, now = await runtime.found(workload)
    target = Target.of(POLICY, policy_name(now["metadata"]["name"]))
    spec = {"podSelector": _selector(kind, now), "policyTypes": ["Ingress", "Egress"]}
    others = sorted(one["metadata"]["name"] for one in await _allowing(runtime, target, now))
    apart = await _apart(runtime, kind, now, others) if others else {}
    effect = {"verb": ISOLATE, "object": target.said(), "workload": workload, "spec": spec, "others": others,
              "apart": apart, "prove": prove}  # fmt: skip
    await _dry(runtime, effect)
    evidence = {
        "pods": len(await runtime.pods(workload)),
        "note": "a network (CNI) that knows no policies enforces none: it is looked at from within",
    }
    undo = {**{name: effect[name] for name in ("object", "workload", "spec", "others", "apart")}, "verb": RECONNECT}
    return Change(KIND, effect, evidence, None, Change(KIND, undo, guard={"holds": {"spec": spec}}))


def not_isolated(workload: str, why: str) -> Change:
    """In place of it, where a breach must be contained all the same: it only tells that it could not be cut off."""
    effect = {"verb": ISOLATE, "object": Target.of(POLICY, policy_name(workload)).said(), "workload": workload,
              "why_not": why}  # fmt: skip
    return Change(KIND, effect, inverse="nothing to undo: nothing is cut")


async def reconnected(runtime: Kubernetes, workload: str, network: str) -> Change:
    """The change that takes our policy away, and lets others select the pods again."""
    _whole(network)
    _, now = await runtime.found(workload)
    target = Target.of(POLICY, policy_name(now["metadata"]["name"]))
    effect: dict[str, Any] = {"verb": RECONNECT, "object": target.said(), "workload": workload, "spec": {},
                              "others": [], "apart": {}}  # fmt: skip
    try:
        policy = await target.read_now(runtime)
    except NotThere:
        return Change(KIND, effect, inverse="nothing to undo: it is connected already")
    said = _remembered(policy)
    rules = rules_of(said)
    known = {"spec": policy["spec"], "others": sorted(rules), "apart": said.get("apart", {}), "rules": rules}
    again = {**effect, **known, "verb": ISOLATE, "prove": "no"}
    guard = {"holds": {"spec": policy["spec"]}}
    return Change(KIND, {**effect, **known}, {"others": known["others"]}, guard, Change(KIND, again))


async def isolate(runtime: Kubernetes, change: Change, out: Sink) -> Done:
    """Makes the policy, then looks. `enforced`: True, False, or None where nobody can tell.

    Raises ChangeFailed where it must hold and does not, or cannot be proven: what this made is taken back then.
    """
    effect = change.effect
    if why := effect.get("why_not"):
        await out.write(f"{effect['workload']} is not cut off: {why}\n")
        return Done({"workload": effect["workload"], "enforced": False, "words": why})
    target = Target.read(effect["object"])
    there = await _there(runtime, target)
    memory = {"names": effect["others"], "apart": effect["apart"], "rules": rules_of(effect)}
    if effect["prove"] != "no":
        memory["reached"] = await _reached(runtime, effect, there)
    try:
        await _cut(runtime, effect, target, memory)
    except (ApiFault, Refused) as error:
        if effect["prove"] != "tell":
            raise
        # Whoever contains a breach goes on to the next means; what was made keeps cutting what it can.
        words = f"{effect['workload']} could not be cut off whole: {error.message}"
        await out.write(f"{words}\n")
        return Done({"workload": effect["workload"], "enforced": False, "words": words})
    places = [question_of(one) for one in memory.get("reached", [])]
    enforced, words = await _proven(runtime, effect, places)
    await out.write(f"{words}\n")
    if effect["prove"] == "must" and (enforced is False or (enforced is None and places)):
        await _fail(runtime, change, words, out, stays=enforced is None and there is not None)
    return Done({"workload": effect["workload"], "policy": effect["object"]["name"], "enforced": enforced,
                 "words": words})  # fmt: skip


async def _cut(runtime: Kubernetes, effect: Mapping[str, Any], target: Target, memory: Mapping[str, Any]) -> None:
    await kubernetes_made.make(runtime, Change(KIND, {**effect, "annotations": {MEMORY: json.dumps(memory)}}))
    await _remember(runtime, target, memory)
    for name, rules in rules_of(effect).items():
        await _select(runtime, name, rules, out=True)


async def _fail(runtime: Kubernetes, change: Change, words: str, out: Sink, *, stays: bool) -> NoReturn:
    """One that was there already may well cut it off: a look that failed opens nothing."""
    if stays:
        raise ChangeFailed(f"{words}; the policy was there already, and stays", "isolate it again, or reconnect it")
    assert isinstance(change.inverse, Change)
    await reconnect(runtime, Change(KIND, change.inverse.effect), out)
    raise ChangeFailed(f"{words}; the policy was taken away again", "stop the workload, or cut it off at its node")


async def reconnect(runtime: Kubernetes, change: Change, out: Sink) -> Done:
    """Others first: between the two the pods are cut off, and never open. Raises Refused before any of it."""
    effect = change.effect
    guard = {name: what for name, what in (change.guard or {}).items() if what}
    target = Target.read(effect["object"])
    left_out = rules_of(effect)
    if (there := await _there(runtime, target)) is not None:
        kubernetes_made.same(target, there, guard)
        # A later isolation may have made more of them leave the pods out.
        left_out = _merged(left_out, rules_of(_remembered(there)))
    for name, rules in sorted(left_out.items()):
        await _select(runtime, name, rules, out=False)
    done = await kubernetes_made.unmake(runtime, Change(KIND, effect, guard=guard))
    await out.write(f"{effect['workload']} is connected again\n")
    return done


async def _there(runtime: Kubernetes, target: Target) -> Object | None:
    try:
        return await target.read_now(runtime)
    except NotThere:
        return None


def _whole(network: str) -> None:
    if network:
        raise UsageError("a cluster has one network", "leave `network` out")


def _selector(kind: Kind, now: Object) -> Object:
    selector: Object = now["spec"].get("selector") or {}
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        raise Unsupported(f"a {kind.name} selects no pods, so that no policy can", "stop it")
    return {name: selector[name] for name in ("matchLabels", "matchExpressions") if selector.get(name)}


async def _dry(runtime: Kubernetes, effect: Mapping[str, Any]) -> None:
    """Asks the server. Our own that is there already is fine: it is an attempt that was cut off, or holds still."""
    target = Target.read(effect["object"])
    try:
        now = await target.read_now(runtime)
    except NotThere:
        await kubernetes_made.making(runtime, target, effect["spec"])
    except ApiFault as error:
        raise refusal(error) from error
    else:
        if not holds({"spec": effect["spec"]}, now):
            raise Refused(f"another {target.words} is there already", "look at it, then plan anew")


async def _allowing(runtime: Kubernetes, own: Target, now: Object) -> list[Object]:
    """The policies that select these pods and let something through, those that leave them out for us already too."""
    labels = template_of(now)["metadata"].get("labels") or {}
    path = await runtime.namespace.path(own.group, own.versions, own.plural)
    try:
        ours = _remembered(await own.read_now(runtime)).get("names", [])
    except NotThere:
        ours = []
    except ApiFault as error:
        raise refusal(error) from error
    found = []
    async for policy in runtime.api.pages(path):
        spec = policy["spec"]
        mine = selects(spec.get("podSelector") or {}, dict(labels)) or policy["metadata"]["name"] in ours
        if policy["metadata"]["name"] != own.name and mine and (spec.get("ingress") or spec.get("egress")):
            found.append(policy)
    return found


async def _apart(runtime: Kubernetes, kind: Kind, now: Object, others: Sequence[str]) -> Object:
    """What a selector says to leave these pods out, and no others. Raises Refused where no label tells them apart."""
    wanted = (now["spec"]["selector"].get("matchLabels") or {}).items()
    taken: set[tuple[str, str]] = set()
    async for pod in runtime.api.pages(runtime.namespace.core("pods")):
        ending = "deletionTimestamp" in pod["metadata"]
        if not ending and owner_of(pod) != (kind.name, now["metadata"]["name"]):
            taken |= set((pod["metadata"].get("labels") or {}).items())
    for name, value in sorted(wanted):
        if (name, value) not in taken:
            return {"key": name, "operator": "NotIn", "values": [value]}
    raise Refused(
        f"{', '.join(others)} let traffic of its pods through, and no label tells its pods from those of others",
        "stop the workload, or delete these policies",
    )


def rules_of(said: Mapping[str, Any]) -> dict[str, list[Object]]:
    """How each policy leaves the pods out, by its name: of an effect, or of the memory of our policy. Two isolations of
    one workload may have done it by different labels.
    """
    rules = said.get("rules") or {}
    return {name: rules.get(name) or [said["apart"]] for name in said.get("others", said.get("names", []))}


def _merged(one: Mapping[str, list[Object]], other: Mapping[str, list[Object]]) -> dict[str, list[Object]]:
    found = {name: list(rules) for name, rules in one.items()}
    for name, rules in other.items():
        known = found.setdefault(name, [])
        known += [rule for rule in rules if rule not in known]
    return found


async def _select(runtime: Kubernetes, name: str, rules: Sequence[Object], *, out: bool) -> None:
    """One policy leaves the pods out from now on, or selects them again. One that is gone lets nothing through."""

    def patch(now: Object) -> Object | None:
        there = (now["spec"].get("podSelector") or {}).get("matchExpressions") or []
        wanted = [one for one in there if one not in rules] + (list(rules) if out else [])
        return None if wanted == there else {"spec": {"podSelector": {"matchExpressions": wanted or None}}}

    with suppress(NotThere):
        await _racing(runtime, Target.of(POLICY, name), patch)


async def _remember(runtime: Kubernetes, target: Target, memory: Mapping[str, Any]) -> None:
    """What this adds to what an earlier isolation left in the annotation of the policy."""

    def patch(now: Object) -> Object | None:
        said = _remembered(now)
        rules = _merged(rules_of(said), memory["rules"])
        apart = memory["apart"] or said.get("apart", {})
        wanted = {**said, **memory, "names": sorted(rules), "apart": apart, "rules": rules}
        return None if wanted == said else {"metadata": {"annotations": {MEMORY: json.dumps(wanted)}}}

    await _racing(runtime, target, patch)


async def _racing(runtime: Kubernetes, target: Target, patch_of: Callable[[Object], Object | None]) -> None:
    """Patches an object as it is read; once more where it moved in between. Raises NotThere."""
    for attempt in range(ATTEMPTS):
        now = await target.read_now(runtime)
        patch = patch_of(now)
        if patch is None:
            return
        bound = {**patch.get("metadata", {}), "resourceVersion": now["metadata"]["resourceVersion"]}
        try:
            await runtime.api.patch(await target.path(runtime), {**patch, "metadata": bound}, MERGE)
            return
        except ApiFault as error:
            if error.code != CONFLICT or attempt == ATTEMPTS - 1:
                raise


def _remembered(policy: Object) -> dict[str, Any]:
    try:
        said = json.loads((policy["metadata"].get("annotations") or {}).get(MEMORY, "{}"))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


async def _proven(
    runtime: Kubernetes, effect: Mapping[str, Any], places: Sequence[Question]
) -> tuple[bool | None, str]:
    """Cut off is only what was reached before, and of which every pod says that it is not any more."""
    workload = effect["workload"]
    untold = f"{workload} is selected by {effect['object']['name']}; {CANNOT_TELL}"
    if not places:
        why = "not asked" if effect["prove"] == "no" else "its pods reached nothing that could be asked before either"
        return None, f"{untold}: {why}"
    deadline = time.monotonic() + PROOF_SECONDS
    while True:
        answers: list[Answer] = []
        why = "no answer came back"
        try:
            answers = await look(runtime, workload, places, LOOK_SECONDS, every=True)
        except (ReadFailed, Unreachable, Absent) as error:
            why = error.message
        if {one.question for one in answers if one.ok is False} >= set(places) and not [
            one for one in answers if one.ok is not False
        ]:
            return True, f"{workload} is cut off: its pods reached {places[0].words} before, and do not any more"
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    for one in answers:
        if one.ok:
            return False, (
                f"{one.instance} still reaches {one.question.words} {PROOF_SECONDS:g} s after a policy forbade it:"
                " the network of this cluster does not enforce network policies"
            )
    why = next((one.words for one in answers if one.ok is None), why)
    return None, f"{untold}: nothing could look from its pods for {PROOF_SECONDS:g} s ({why})"


async def _reached(runtime: Kubernetes, effect: Mapping[str, Any], there: Object | None) -> list[str]:
    """What any pod reaches now, and reached before a policy that is there already.

    Raises Unreachable, and ChangeFailed where it must be proven, and nobody looked before that policy was made.
    """
    said, workload = _remembered(there) if there is not None else {}, effect["workload"]
    try:
        places = await _places(runtime, workload)
        answers = await look(runtime, workload, places, LOOK_SECONDS, every=True) if places else []
    except (ReadFailed, Absent):
        answers = []
    found = sorted({one.question.words for one in answers if one.ok} | set(said.get("reached", [])))
    if there is not None and not found and "reached" not in said and effect["prove"] == "must":
        raise ChangeFailed(
            f"{effect['object']['name']} is there already, and nobody looked before what the pods of {workload} reach:"
            " that it cuts them off cannot be proven",
            "leave it as it is (`prove: no`), or reconnect it and isolate it again",
        )
    return found


async def _places(runtime: Kubernetes, workload: str) -> list[Question]:
    """What a pod usually reaches, by address, as names need another one: the API server, and services beside it."""
    found: list[Question] = []
    told = ["sh", "-c", 'echo "$KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT"']
    for seen in await runtime.look_inside(workload, told, LOOK_SECONDS * 5, instances=None, every=False):
        host, _, port = seen.said.strip().partition(" ")
        if seen.code == 0 and host and port.isdigit():
            found.append(Question("tcp", host, int(port)))
    try:
        async for service in runtime.api.pages(runtime.namespace.core("services")):
            address = service["spec"].get("clusterIP") or "None"
            ports = [one["port"] for one in service["spec"].get("ports") or [] if one.get("protocol", "TCP") == "TCP"]
            if address != "None" and ports and len(found) < MOST_PLACES:
                found.append(Question("tcp", address, ports[0]))
    except ApiFault:
        return found
    return found
