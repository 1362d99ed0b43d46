"""Changes of the kind `smoke`: smoke tests of the book, which change nothing.

effect: `component`; `tests`, their ids. result: `tests`, each with its seconds. One that fails fails the change.
"""

from __future__ import annotations

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.connectors.smoke_tests import smoke_tested, tests_of


@executor("smoke")
class SmokeExecutor:
    """Asks."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed with the first answer that is wrong."""
        effect = change.effect
        wanted = tests_of(self.connections.system.model.smoke_tests, [effect["component"]], effect["tests"])
        found = await smoke_tested(self.connections, wanted)
        for one in found:
            await out.write(f"{one.message}\n")
        if wrong := next((one for one in found if not one.good), None):
            raise ChangeFailed(wrong.message, f"see the logs of {wrong.component}")
        return Done({"tests": {one.id: one.seconds for one in found}})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True
