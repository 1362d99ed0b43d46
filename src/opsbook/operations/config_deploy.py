"""Configuration that is deployed like a version: kept, rolled out with readiness, and gone back to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

from pydantic import Field, field_validator

from opsbook.book.catalogue import Risk
from opsbook.book.words import nearest
from opsbook.connectors.change import Change
from opsbook.connectors.config_files import (
    beside_compose,
    chosen,
    commands_of,
    decoded,
    files_of,
    made,
    values_in,
    version_of,
)
from opsbook.connectors.contract import Connections
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_create import alone, refuse_strange
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import NotThere
from opsbook.connectors.runtimes.kubernetes_config import base_of, changed, name_of, named_in
from opsbook.connectors.runtimes.kubernetes_kinds import template_of
from opsbook.connectors.runtimes.kubernetes_stuck import way_back
from opsbook.connectors.sides import serving_workload
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent, Refused
from opsbook.operations.contract import Facts, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.workloads import Workload, gate

MOST_SHOWN = 200
"""Characters of a value that a plan shows."""


class Configure(Workload):
    values: str = Field(min_length=2, description="keys and their new texts as a JSON object; null takes a key out")
    name: str = Field("", description="the config map, or the file's name; found by the values where left out")

    @field_validator("values")
    @classmethod
    def _object(cls, text: str) -> str:
        read(text)
        return text


def read(text: str) -> dict[str, str | None]:
    """The values. Raises ValueError."""
    found = json.loads(text)
    if (
        not isinstance(found, dict)
        or not found
        or not all(one is None or isinstance(one, str) for one in found.values())
    ):
        raise ValueError('it is no JSON object of texts, such as {"LEVEL": "debug"}')
    return found


@operation(
    "config.deploy", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Configure,
    doc="Gives a workload another version of its configuration, one instance at a time. Kubernetes: of a config map; "
    "the one before is kept as a map of its own, so that undo, and a rollback to an older revision, bring its values "
    "back. Elsewhere: of a file, which is kept beside as it was; a version that is not valid, or with which the "
    "workload does not come up, is put back at once.",
)  # fmt: skip
class _Configure(Repeatable):
    async def plan(self, parameters: Configure, facts: Facts) -> AsyncIterator[Change]:
        connections = facts.connector(parameters.of).connections
        workload = await serving_workload(connections, parameters.of) or workload_of(facts.system, parameters.of)
        if not isinstance(facts.runtime, Kubernetes):
            yield await _file(connections, workload, parameters)
            if (health := gate(facts, parameters)) is not None:
                yield health
            return
        runtime = facts.runtime
        kind, now = await runtime.found(workload)
        if not kind.rolls:
            raise Unsupported(f"the pods of a {kind.name} are not replaced by it: new values would not reach them")
        there = _map_of(named_in(template_of(now)), parameters.name, workload)
        try:
            held = await runtime.api.get(runtime.namespace.core("configmaps", there))
        except NotThere as error:
            raise Absent(f"there is no config map {there!r} in {runtime.namespace.name}") from error
        values, before = read(parameters.values), held.get("data") or {}
        base = base_of(there)
        to = name_of(base, changed(before, values), held.get("binaryData"))
        effect = {"workload": workload, "map": base, "from": there, "to": to, "values": values,
                  "wait": parameters.wait}  # fmt: skip
        guard = {"uid": now["metadata"]["uid"]}
        back: Change | str = "nothing to undo: it is so already"
        if to != there:
            undo = {"workload": workload, "map": base, "to": there, "wait": parameters.wait, **way_back(kind.name)}
            back = Change("config", undo, guard=guard, inverse="it is an undo")
        yield Change("config", effect, _shown(before, values, there), guard, back)
        wait = gate(facts, parameters)
        if wait is not None:
            yield wait


def _map_of(names: list[str], wanted: str, workload: str) -> str:
    """The version that the workload takes now. Raises Refused, Absent."""
    found = [one for one in names if not wanted or wanted in (one, base_of(one))]
    if not names:
        raise Refused(f"{workload} takes no config map", "name one in its `env`, `envFrom` or `volumes`")
    if not found:
        raise Absent(f"{workload} does not take the config map {wanted!r}", nearest(wanted, names))
    if len(found) > 1:
        raise Refused(f"{workload} takes several config maps: {', '.join(found)}", "say which with `name`")
    return found[0]


async def _file(connections: Connections, workload: str, parameters: Configure) -> Change:
    """The change of a file of this host. Raises Refused, Absent, Unsupported."""
    values, compose = read(parameters.values), connections.runtime
    file = beside_compose(connections, workload, values)
    if file is None:
        file = chosen(files_of(connections, parameters.of, workload), values, parameters.name, parameters.of)
    content = decoded(file.read(), file.path)
    there, to = version_of(content), version_of(made(file, content, values))
    check, reload = commands_of(connections, parameters.of, workload, file.path)
    common = {"component": parameters.of, "workload": workload, "path": str(file.path), "lines": file.lines,
              "wait": parameters.wait, "reload": reload}  # fmt: skip
    common["running"] = 0 if common["reload"] else (await connections.runtime.status(workload)).workload.ready
    before = {key: (text or "")[:MOST_SHOWN] for key, text in values_in(file, content, list(values)).items()}
    seen: dict[str, object] = {
        "now": there,
        "before": "not shown: only its owner may read it" if file.private else before,
    }
    if isinstance(compose, Compose) and not common["reload"]:
        service = compose.service(workload)
        refuse_strange(service)
        if why := alone(service):
            seen["gap"] = f"{why}, so that the old one stops before the new one starts"
    back: Change | str = "nothing to undo: it is so already"
    if to != there:
        undo = {"check": [], "from": to, "previous": there, "deployed": values}
        back = Change("config-file", {**common, **undo}, inverse="it is an undo")
    forward = {"check": check, "from": there, "to": to, "values": values}
    return Change("config-file", {**common, **forward}, seen, inverse=back)


def _shown(before: Mapping[str, str], values: Mapping[str, str | None], there: str) -> dict[str, object]:
    return {"now": there, "before": {key: (before.get(key) or "")[:MOST_SHOWN] for key in values}}
