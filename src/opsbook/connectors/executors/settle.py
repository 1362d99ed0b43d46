"""Changes of the kind `settle`: nothing is changed; the run goes on once everything is well, or a node serves.

effect: `within` (seconds), and `checks` (ids that must not be critical or unknown) or `node` (its name).
result: `seconds`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.checks_held import bad_among
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.kubernetes_targets import Target
from opsbook.errors import Unreachable

LOOK_SECONDS = 1.0


@executor("settle")
class Settle:
    """Looks until it is so."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed with what is still wrong when the time is over."""
        effect, started = change.effect, time.monotonic()
        while True:
            wrong = await self._wrong(effect)
            took = time.monotonic() - started
            if not wrong:
                await out.write(f"well after {took:.1f} s\n")
                return Done({"seconds": round(took, 1)})
            if took > effect["within"]:
                raise ChangeFailed(f"not well after {effect['within']:g} s: {'; '.join(wrong[:3])}",
                                   "mend that, then: opsbook runs rerun")  # fmt: skip
            await asyncio.sleep(LOOK_SECONDS)

    async def _wrong(self, effect: dict[str, Any]) -> list[str]:
        if node := effect.get("node"):
            return await self._node(node)
        return list((await bad_among(self.connections, effect["checks"])).values())

    async def _node(self, name: str) -> list[str]:
        try:
            now = await Target.of("Node", name).read_now(kubernetes_of(self.connections.runtime))
        except (Unreachable, ReadFailed) as error:
            return [error.message]
        conditions = {one["type"]: one for one in (now.get("status") or {}).get("conditions") or []}
        ready = conditions.get("Ready", {})
        if ready.get("status") != "True":
            return [f"{name} is not ready: {ready.get('message') or 'its kubelet says nothing'}"]
        return [f"{name} takes no new pods"] if now["spec"].get("unschedulable") else []

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True
