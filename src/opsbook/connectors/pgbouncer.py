"""PgBouncer, asked over its admin console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.postgres_session import Row, Session
from opsbook.connectors.registry import connector

if TYPE_CHECKING:
    import psycopg

CONSOLE = "pgbouncer"
"""The database of the console; it is no pool of anybody."""


class PgBouncerComponent(Component):
    """A PgBouncer. Its URL names the database `pgbouncer`, with a user of stats_users or admin_users."""

    kind: Literal["pgbouncer"]
    dsn: Reference = Field(description="postgresql://user:password@host:port/pgbouncer")
    admin: Reference | None = Field(None, description="the same of a user of admin_users, who may RELOAD")


class Console(Session):
    """The console: it knows SHOW commands alone, in the simple protocol, and no transactions."""

    async def _run(
        self,
        connection: psycopg.AsyncConnection[Row],
        settings: Mapping[str, Any],  # noqa: ARG002 - the console has none
        statement: str,
        parameters: Mapping[str, Any],  # noqa: ARG002
    ) -> list[Row]:
        cursor = await connection.execute(statement.encode(), prepare=False)
        names = [column.name for column in cursor.description or ()]
        return [(dict(zip(names, row, strict=True)),) for row in await cursor.fetchall()]


@connector(PgBouncerComponent)
class PgBouncerConnector(Connector):
    """One connection to the console."""

    component: PgBouncerComponent

    def __init__(self, name: str, component: PgBouncerComponent, system: System, connections: Connections) -> None:
        super().__init__(name, component, system, connections)
        self.console = Console(name, component.dsn, system)

    async def show(self, what: str) -> list[dict[str, Any]]:
        """The rows of a SHOW command, asked once for all facts of a sweep."""
        rows = await self.once(what, lambda: self.console.read(f"SHOW {what}"))
        return [row for (row,) in rows]

    async def close(self) -> None:
        await self.console.close()
