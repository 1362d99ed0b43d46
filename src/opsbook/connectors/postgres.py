"""PostgreSQL: a primary and, where the book names one, its replica."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Component, Strict
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.book.values import Name, Size
from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.postgres_session import Session
from opsbook.connectors.registry import connector


class FailoverServer(Strict):
    """One of the two servers. It is named by what stays the same whichever of them is the primary."""

    workload: str = Field(min_length=1, description="its name in the runtime")
    url: Reference = Field(description="its own address, of a superuser; never one that follows the primary")
    data: Reference | None = Field(None, description="its data folder, where that is on this host")
    inside: str = Field(
        "", pattern=r"^(/[^/]+)*$", description="its data folder in its container, where it runs in one"
    )
    address: str = Field(
        "",
        pattern=r"^([A-Za-z0-9._-]+:\d+)?$",
        description="host:port by which other containers know it, where that is not what `url` says",
    )

    @model_validator(mode="after")
    def _one_folder(self) -> FailoverServer:
        if self.data is not None and self.inside:
            raise ValueError("`data` is a folder of this host, `inside` one of a container: name one of them")
        return self


class Repoint(Strict):
    """What says where the primary is, changed by a failover: a file, or a service of Kubernetes."""

    file: Reference | None = Field(None, description="databases of a PgBouncer, or KEY=VALUE lines")
    service: str = Field("", description="a service of Kubernetes; its selector is set to the pods of one server")
    follows: Literal["primary", "standby"] = Field("primary", description="which server the service leads to")
    reload: Name | None = Field(None, description="the PgBouncer that reads it, told to RELOAD")
    primary: tuple[str, ...] = Field((), description="variables of it with the primary's address")
    standby: tuple[str, ...] = Field((), description="variables of it with the standby's address")
    restart: tuple[Name, ...] = Field((), description="components whose workloads read it only when they start")

    @model_validator(mode="after")
    def _file_or_service(self) -> Repoint:
        if (self.file is None) == (not self.service):
            raise ValueError("a place is a `file` or a `service`: name one of them")
        if self.service and (self.reload or self.primary or self.standby):
            raise ValueError("`reload`, `primary` and `standby` are keys of a file; a service `follows` one of both")
        return self

    @property
    def named(self) -> str:
        """As people name it."""
        return f"service/{self.service}" if self.service else str(self.file)


class Failover(Strict):
    """How a standby takes the primary's place."""

    servers: tuple[FailoverServer, FailoverServer] = Field(description="both servers, in any order")
    repoint: tuple[Repoint, ...] = Field((), description="where the address of the database lives, and who reads it")


class ReadersPlace(Strict):
    """A file by which readers find a read replica; it leads them to the primary while there is none."""

    file: Reference = Field(description="databases of a PgBouncer, or KEY=VALUE lines")
    reload: Name | None = Field(None, description="the PgBouncer that reads it, told to RELOAD")
    databases: tuple[str, ...] = Field((), description="entries of the PgBouncer that are for readers")
    variables: tuple[str, ...] = Field((), description="variables with the address that readers use")


class ReadReplica(Strict):
    """A further standby for readers, which is added and removed; its workload is known to the runtime, and stopped."""

    id: Name = Field(description="its own name; its replication slot is named by it")
    workload: str = Field(min_length=1, description="its name in the runtime")
    url: Reference = Field(description="its own address, of a superuser")
    data: Reference = Field(description="its data folder on this host, not there yet or empty")
    source: Reference | None = Field(
        None, description="URL of the role that copies and follows; the admin where left out"
    )
    settings: dict[str, str] = Field({}, description="server settings in which it differs from the primary")
    lag: Size = Field(16 << 20, description="how far behind it may be to count as ready")
    readers: tuple[ReadersPlace, ...] = Field((), description="where readers are led to it")


class PostgresComponent(Component):
    """A PostgreSQL server (12 or newer). Its URL names one database of it."""

    kind: Literal["postgres"]
    dsn: Reference = Field(description="postgresql://user:password@host:port/database of a role with pg_monitor")
    replica: Reference | None = Field(None, description="URL of the standby that replays this server's WAL")
    admin: Reference | None = Field(None, description="URL of the role that changes things; observations never use it")
    replica_admin: Reference | None = Field(
        None, description="the same of a role that reads everything: backups of the standby are taken by it"
    )
    failover: Failover | None = Field(None, description="how its standby takes its place")
    read_replicas: tuple[ReadReplica, ...] = Field((), description="standbys for readers, added and removed by a run")


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
