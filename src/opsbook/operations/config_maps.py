"""Values of config maps. Pods that take them as variables see them after a restart; mounted ones within a minute."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.kubernetes_api import NotThere
from opsbook.connectors.runtimes.kubernetes_targets import Target, patched, verdict
from opsbook.errors import Absent, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class SetValue(OperationParameters):
    name: str = Field(min_length=1, description="name of the config map")
    key: str = Field(min_length=1, pattern=r"^[-._a-zA-Z0-9]+$", description="key in it")
    value: str | None = Field(None, description="its new text, which is no secret; the key is removed where left out")


@operation(
    "config_map.set", Risk.DISRUPTIVE, of="cluster", idempotent=True, parameters=SetValue,
    doc="Sets or removes one value of a config map. Undo brings the old text back.",
)  # fmt: skip
class _Set(Repeatable):
    async def plan(self, parameters: SetValue, facts: Facts) -> AsyncIterator[Change]:
        runtime = kubernetes_of(facts.runtime)
        target = Target.of("ConfigMap", parameters.name)
        try:
            now = await target.read_now(runtime)
        except NotThere as error:
            raise Absent(f"there is no config map {parameters.name!r} in {runtime.namespace.name}") from error
        if now.get("immutable"):
            raise Refused(
                f"the config map {parameters.name} is immutable", "make another one; let the workload name it"
            )
        before = (now.get("data") or {}).get(parameters.key)
        change = patched(target, now, {"data": {parameters.key: parameters.value}}, verb="configure",
                         evidence={"before": before})  # fmt: skip
        told = await verdict(runtime, change.effect, now)
        yield Change(change.kind, change.effect, {"before": before, **told}, change.guard, change.inverse)
