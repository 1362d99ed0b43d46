"""A service cut off from a network, and connected again: for a breach, or to see what depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opsbook.connectors.change import Change, Done, Sink
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_api import NotThere
from opsbook.connectors.runtimes.compose_changes import KIND, evidence
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.errors import Absent, Refused

ISOLATE, RECONNECT = "isolate", "reconnect"
VERBS = frozenset({ISOLATE, RECONNECT})


async def isolated(compose: Compose, workload: str, network: str) -> Change:
    """Takes the containers out of one network, or out of all. Undo connects them under the names they had."""
    found = [one for one in await compose.containers(workload) if one.active]
    now = {name: _aliases(one, name) for one in found for name in one.networks}
    chosen = _chosen(compose, workload, now, network) if now or network else {}
    if not chosen:
        raise Refused(f"{workload} is in no network now", "workload.reconnect connects it again")
    effect = {"verb": ISOLATE, "workload": workload, "networks": sorted(chosen)}
    undo = Change(KIND, {"verb": RECONNECT, "workload": workload, "networks": chosen}, guard=_guard(found))
    return Change(KIND, effect, evidence(found), _guard(found), undo)


async def reconnected(compose: Compose, workload: str, network: str) -> Change:
    """Connects the containers to the networks that the file gives the service, or to one of them."""
    from opsbook.connectors.runtimes import compose_create

    found = [one for one in await compose.containers(workload) if one.active]
    file, service = compose.file, compose.service(workload)
    declared = {key: [workload, *_said(service.settings.get("networks"), key)]
                for key in compose_create.network_keys(service)}  # fmt: skip
    named = {file.network(key)[0]: aliases for key, aliases in declared.items()}
    chosen = _chosen(compose, workload, named, network)
    missing = [name for name in chosen if any(name not in one.networks for one in found)]
    effect = {"verb": RECONNECT, "workload": workload, "networks": chosen}
    undo: Change | str = "nothing to undo: it is connected already"
    if missing:
        undo = Change(KIND, {"verb": ISOLATE, "workload": workload, "networks": sorted(missing)}, guard=_guard(found))
    return Change(KIND, effect, evidence(found), _guard(found), undo)


def _said(networks: Any, key: str) -> list[str]:
    said = networks.get(key) if isinstance(networks, dict) else None
    return [str(one) for one in (said or {}).get("aliases") or ()]


def _chosen(compose: Compose, workload: str, known: Mapping[str, list[str]], network: str) -> dict[str, list[str]]:
    if not network:
        return dict(known)
    for name in (network, compose.file.network(network)[0]):
        if name in known:
            return {name: known[name]}
    raise Absent(f"{workload} is not in a network {network!r}", "its networks: " + (", ".join(sorted(known)) or "none"))


def _aliases(one: Container, network: str) -> list[str]:
    """Its names there, without its own id, which the engine adds."""
    said = one.networks[network].get("Aliases") or []
    return [alias for alias in said if not one.id.startswith(alias)]


def _guard(found: Sequence[Container]) -> dict[str, Any]:
    return {"ids": {one.name: one.id for one in found}}


async def apply(compose: Compose, effect: Mapping[str, Any], found: Sequence[Container], out: Sink) -> Done:
    """What is so already is left alone."""
    touched = []
    for one in found:
        for network in effect["networks"]:
            inside = network in one.networks
            if effect["verb"] == ISOLATE and inside:
                try:
                    await compose.api.call("disconnect_container_from_network", one.id, network)
                except NotThere:
                    continue
            elif effect["verb"] == RECONNECT and one.active and not inside:
                aliases = list(effect["networks"][network])
                await compose.api.call("connect_container_to_network", one.id, network, aliases=aliases)
            else:
                continue
            touched.append(one.name)
            await out.write(f"{one.name}: {effect['verb']} {network}\n")
    return Done({"workload": effect["workload"], effect["verb"]: touched})
