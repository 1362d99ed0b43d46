"""Plans operations from facts and applies their changes, as the engine does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from opsbook.clock import SystemClock
from opsbook.connectors.change import Change, Done
from opsbook.connectors.registry import OpenConnections, open_connections, registered
from opsbook.engine.facts import RecordedFacts
from opsbook.operations.registry import operations
from tests.integration.executing import RUN
from tests.integration.servers import make_system


class Out:
    """Takes what a change says."""

    def __init__(self) -> None:
        self.text = ""

    async def write(self, text: str) -> None:
        self.text += text


class Hands:
    """Plans, applies, verifies and undoes over one set of connections."""

    def __init__(self, connections: OpenConnections) -> None:
        self.connections, self.out, self.slices = connections, Out(), 0
        self.facts = RecordedFacts(connections.system, SystemClock(), connections)

    async def plan(self, name: str, /, **parameters: Any) -> list[Change]:
        operation = operations()[name]
        return [one async for one in operation.plan(operation.spec.parameters.model_validate(parameters), self.facts)]

    async def only(self, name: str, /, **parameters: Any) -> Change:
        (change,) = await self.plan(name, **parameters)
        return change

    async def apply(self, change: Change, key: str = f"{RUN}/1/0", cursor: Any = None) -> Any:
        executor = registered().executors[change.kind](self.connections)
        self.slices = 0
        while True:
            self.slices += 1
            said = await executor.apply(key, change, cursor, self.out)
            if isinstance(said, Done):
                return said.result
            cursor = said.cursor

    async def end(self, change: Change, key: str = f"{RUN}/1/0") -> bool:
        return await registered().executors[change.kind](self.connections).end(key, change)

    async def do(self, name: str, /, **parameters: Any) -> Any:
        """Plan and apply; the result of the last change."""
        result = None
        for number, change in enumerate(await self.plan(name, **parameters)):
            result = await self.apply(change, f"{RUN}/{name}/{number}")
        return result

    async def undo(self, change: Change) -> Any:
        assert isinstance(change.inverse, Change), change.inverse
        return await self.apply(change.inverse, f"{RUN}/1/0/undo")

    async def verify(self, name: str, change: Change, key: str = f"{RUN}/1/0") -> str:
        return await operations()[name].verify(key, change, self.facts)


@asynccontextmanager
async def hands_of(system: System) -> AsyncIterator[Hands]:
    """Hands on a system."""
    async with open_connections(system) as connections:
        yield Hands(connections)


@asynccontextmanager
async def hands_on(folder: Path, components: dict[str, dict[str, Any]], **keys: Any) -> AsyncIterator[Hands]:
    """Hands on a system of these components."""
    async with hands_of(make_system(folder, components, **keys)) as hands:
        yield hands
