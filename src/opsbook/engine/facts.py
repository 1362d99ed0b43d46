"""What operations may look at while they plan and verify: reads only, and everything that was read is recorded."""

from __future__ import annotations

from typing import Any

from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.clock import Clock
from opsbook.connectors.change import Json
from opsbook.connectors.contract import (
    Connections,
    Connector,
    CredentialRefused,
    Fact,
    LoginRefused,
    ReadFailed,
    Request,
    Value,
)
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import OpsbookError, Unreachable, UsageError
from opsbook.observations.registry import observations, read_parameters

READ_SECONDS = 15.0
"""A fact that takes longer keeps a plan from being made: the system is not in a state to be changed."""


def recorded_as(observation: str, component: str) -> str:
    """The name under which an observation of a component is recorded."""
    return f"{component}: {observation}"


class RecordedFacts:
    """The facts of one step, read through the connections of its run."""

    def __init__(self, system: System, clock: Clock, connections: Connections) -> None:
        self.system, self.clock, self.connections = system, clock, connections
        self.recorded: dict[str, Json] = {}

    def connector(self, component: str) -> Connector:
        """Raises UsageError for a name that the book does not have."""
        if component not in self.system.components:
            raise UsageError(f"there is no component named {component!r}", nearest(component, self.system.components))
        return self.connections.of(component)

    @property
    def runtime(self) -> Runtime:
        return self.connections.runtime

    async def observe(self, observation: str, component: str, **parameters: Any) -> Fact:
        """A registered observation, read now. Raises Unreachable or ReadFailed."""
        found = observations().get(observation)
        if found is None:
            raise UsageError(f"there is no observation named {observation!r}", nearest(observation, observations()))
        request = Request(observation, found.spec, read_parameters(found.spec, parameters), READ_SECONDS)
        connector = self.connector(component)
        connector.forget()
        (reading,) = await found.reader.read(connector, [request])
        if reading.failure is not None:
            error: type[OpsbookError] = Unreachable if reading.failure in ("unreachable", "timeout") else ReadFailed
            if reading.credential:
                error = LoginRefused if error is Unreachable else CredentialRefused
            raise error(f"{observation} of {component}: {reading.message}", "`opsbook check` says more")
        self.record(recorded_as(observation, component), reading.value)
        return Fact(reading.value, reading.detail, reading.message)

    async def rows(
        self, component: str, statement: str, parameters: dict[str, Any] | None = None
    ) -> list[dict[str, Value]]:
        """Rows as plain data, from a read-only transaction."""
        connector = self.connector(component)
        if not isinstance(connector, PostgresConnector):
            raise UsageError(f"{component} is no PostgreSQL component", "name one that is")
        wrapped = f"SELECT to_jsonb(opsbook_row) FROM (\n{statement.rstrip().rstrip(';')}\n) AS opsbook_row"  # noqa: S608
        rows = await connector.primary.read(wrapped, parameters, limit=READ_SECONDS)
        return [row[0] for row in rows]

    def record(self, name: str, value: Json) -> None:
        self.recorded[name] = value
