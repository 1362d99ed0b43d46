"""The two servers of a database that fails over: who is primary, asked of both, and who may become one.

A server that was the primary is fenced by a `standby.signal` in its data folder: PostgreSQL never starts as a primary
where that file lies (https://www.postgresql.org/docs/current/runtime-config-wal.html), whoever starts it. The file says
that it is ours; PostgreSQL does not read it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.forwarded import ForwardedSystem
from opsbook.connectors.postgres import Failover, FailoverServer, PostgresComponent
from opsbook.connectors.postgres_session import plain_url
from opsbook.errors import OpsbookError, Refused

if TYPE_CHECKING:
    import psycopg

SIGNAL = "standby.signal"
FENCED = "opsbook: fenced"
FENCE = f"{FENCED}, since the other server takes its place; rebuild it as a standby of that one\n"
GREETING_SECONDS = 3
STATE = """
SELECT pg_is_in_recovery(),
       coalesce((SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'),
                (SELECT timeline_id FROM pg_control_checkpoint())),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0',
       coalesce(pg_last_wal_receive_lsn() - '0/0', 0),
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
       (SELECT system_identifier::text FROM pg_control_system())
"""


FENCED_INSIDE = "SELECT coalesce(pg_read_file('standby.signal', 0, 100, true), '')"
SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))
"""The only message to which a server answers before it knows who asks, whatever state it is in:
https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST"""


class NoAnswer(ChangeFailed):
    """The server does not answer."""

    exit_code = 3


@dataclass(frozen=True)
class Server:
    """One of the two, with its address resolved."""

    workload: str
    parameters: Mapping[str, str]
    data: Path | None
    inside: str = ""
    """Its data folder, in its container."""
    among: str = ""
    """host:port by which other containers know it; empty where that is its address."""
    forwarded: int = 0
    """Its own port, where the one that is connected to leads there through a runtime."""

    @property
    def host(self) -> str:
        return self.parameters.get("host") or "127.0.0.1"

    @property
    def port(self) -> int:
        return self.forwarded or int(self.parameters.get("port") or 5432)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports by which it may be named: the one from this host, then the one among containers."""
        host, _, port = self.among.rpartition(":")
        return ((self.host, self.port), *(((host, int(port)),) if host else ()))

    def as_seen_by(self, other: Server) -> tuple[str, int]:
        """Host and port under which another server reaches it."""
        return self.addresses[-1 if other.inside else 0]

    @property
    def fenced(self) -> bool:
        """Whether opsbook keeps it from being a primary."""
        if self.data is None:
            return False
        try:
            return (self.data / SIGNAL).read_text(encoding="utf-8", errors="replace").startswith(FENCED)
        except OSError:
            return False

    def connect(self, **more: Any) -> psycopg.Connection[Any]:
        """A session of the superuser, in autocommit. Blocking. Raises psycopg.OperationalError."""
        import psycopg

        given: dict[str, Any] = {"connect_timeout": GREETING_SECONDS, "application_name": "opsbook:failover"}
        return psycopg.connect(**{**self.parameters, **given, **more}, autocommit=True)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement. Blocking. Raises NoAnswer."""
        import psycopg

        try:
            with self.connect() as connection:
                cursor = connection.execute(statement.encode(), values or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            words = error.diag.message_primary or str(error).strip().splitlines()[-1]
            raise NoAnswer(f"{self.workload} ({self.address}): {words}", "see its log") from None

    def accepts(self) -> bool:
        """Whether anything takes connections at its address."""
        host = self.parameters.get("hostaddr") or self.host
        port = int(self.parameters.get("port") or 5432)
        with suppress(OSError), socket.create_connection((host, port), timeout=GREETING_SECONDS) as line:
            return not self.inside or _greets(line)
        return False

    def processes(self) -> list[int]:
        """Processes that work in its data folder, as every process of a PostgreSQL server does. Linux, this host."""
        if self.data is None:
            return []
        found, here = [], str(self.data.resolve())
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str((entry / "cwd").readlink()) == here:
                    found.append(int(entry.name))
        return found


def _greets(line: socket.socket) -> bool:
    """Whether a server is behind a connection. What leads into containers takes connections for nobody, too."""
    try:
        line.sendall(SSL_REQUEST)
        return bool(line.recv(1))
    except TimeoutError:
        return True  # it hangs, and is not gone


@dataclass(frozen=True)
class Seen:
    """What a server said of itself. Positions in the log are bytes."""

    server: Server
    answers: bool
    words: str = ""
    in_recovery: bool = False
    timeline: int = 0
    position: int = 0
    received: int = 0
    streaming: bool = False
    identifier: str = ""
    fenced: bool = False
    """Whether opsbook keeps it from being a primary, as far as that is seen from here."""
    stopped: bool = False
    """Whether its runtime keeps it stopped, as far as that was asked."""

    @property
    def primary(self) -> bool:
        return self.answers and not self.in_recovery

    @property
    def told(self) -> str:
        """Its state in words."""
        if not self.answers:
            return "does not answer" + (", stopped" if self.stopped else "") + (", fenced" if self.fenced else "")
        role = "standby" + (", streams" if self.streaming else "") if self.in_recovery else "primary"
        return f"{role}, timeline {self.timeline}, at {lsn(self.position)}" + (
            ", fenced" if self.fenced and self.in_recovery else ""
        )


def lsn(position: int) -> str:
    """A position as PostgreSQL writes it: 0/16B3748."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def position_of(text: str) -> int:
    """The other way round."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def failover_of(system: System, component: str) -> Failover:
    """What the book says. Raises Refused where it says nothing."""
    settings = system.components.get(component)
    if not isinstance(settings, PostgresComponent) or settings.failover is None:
        raise Refused(
            f"the book does not say how {component} fails over",
            f"write `failover` of {component}: docs/how-to/failover.md",
        )
    return settings.failover


def pair(system: System, component: str) -> tuple[Server, Server]:
    """Both servers. Blocking: references are resolved. Raises Refused, MissingSecret."""
    first, second = (_server(system, one) for one in failover_of(system, component).servers)
    if first.address == second.address:
        raise Refused(f"both servers of {component} have the address {first.address}", "see `failover.servers`")
    return first, second


def _server(system: System, said: FailoverServer) -> Server:
    given = _parameters(system, said)
    data = system.path(said.data.text) if said.data is not None else None
    server = Server(said.workload, given, data, said.inside, said.address)
    if not isinstance(system, ForwardedSystem):
        return server
    own = _parameters(system.outside, said)
    return replace(server, forwarded=int(own.get("port") or 5432))


def _parameters(system: System, said: FailoverServer) -> dict[str, str]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = conninfo_to_dict(plain_url(system.resolve(said.url)))
    except psycopg.ProgrammingError:
        raise Refused(f"{said.url} is no address of PostgreSQL", "write postgresql://user:password@host/db") from None
    return {name: str(value) for name, value in given.items() if value is not None}


def see(server: Server) -> Seen:
    """Ask it. Blocking, a few seconds at most."""
    import psycopg

    try:
        ((recovery, timeline, position, received, streaming, identifier),) = server.rows(STATE)
        fenced = server.fenced
        if server.inside and recovery:
            ((signal,),) = server.rows(FENCED_INSIDE)
            fenced = signal.startswith(FENCED)
    except (NoAnswer, psycopg.Error, OpsbookError) as error:
        return Seen(server, False, getattr(error, "message", str(error)), fenced=server.fenced)
    return Seen(
        server, True, "", recovery, int(timeline or 0), int(position or 0), int(received), streaming, identifier,
        fenced,
    )  # fmt: skip


def look(system: System, component: str) -> tuple[Seen, Seen]:
    """What both say now."""
    first, second = pair(system, component)
    return see(first), see(second)


def one_primary(seen: Sequence[Seen]) -> Seen | None:
    """The primary, None where there is none. Raises Refused where there are two."""
    primaries = [one for one in seen if one.primary]
    if len(primaries) > 1:
        told = "; ".join(f"{one.server.workload} ({one.server.address}): {one.told}" for one in primaries)
        raise Refused(f"there are two primaries: {told}", "stop the one that the application does not use, at once")
    return primaries[0] if primaries else None


def successor(seen: Sequence[Seen]) -> tuple[Seen, Seen]:
    """Who is to be promoted where nobody is primary, and the other. Raises Refused."""
    able = [one for one in seen if one.answers and one.in_recovery and not one.fenced]
    if len(able) != 1:
        told = "; ".join(f"{one.server.workload}: {one.told} {one.words}".strip() for one in seen)
        raise Refused(
            f"it is not clear which server can be promoted ({told})",
            "start the standby, or restore a backup" if not able else "see `opsbook status`; fence one by hand",
        )
    (new,) = able
    (old,) = [one for one in seen if one is not new]
    return new, old
