"""PostgreSQL: a primary and, where the book names one, its replica."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.postgres_session import Session
from opsbook.connectors.registry import connector


class PostgresComponent(Component):
    """A PostgreSQL server (12 or newer). Its URL names one database of it."""

    kind: Literal["postgres"]
    dsn: Reference = Field(description="postgresql://user:password@host:port/database of a role with pg_monitor")
    replica: Reference | None = Field(None, description="URL of the standby that replays this server's WAL")
    admin: Reference | None = Field(None, description="URL of the role that changes things; observations never use it")


@connector(PostgresComponent)
class PostgresConnector(Connector):
    """One connection to the primary and one to the replica, each opened at its first use."""

    component: PostgresComponent

    def __init__(self, name: str, component: PostgresComponent, system: System, connections: Connections) -> None:
        super().__init__(name, component, system, connections)
        self.primary = Session(name, component.dsn, system)
        self.replica = Session(f"{name} (replica)", component.replica, system) if component.replica else None

    async def close(self) -> None:
        await self.primary.close()
        if self.replica is not None:
            await self.replica.close()
