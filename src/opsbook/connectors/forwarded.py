"""Components inside a cluster, reached from outside: their addresses lead to a port of this host that is forwarded.

A component says `through: runtime`; its address is the one that the cluster's own pods use. Its connector resolves it
as ever and never learns of the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import UsageError

PORTS = {"http": 80, "https": 443, "postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "amqp": 5672}
LOOPBACK = "127.0.0.1"
_BARE = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<port>\d+)")

Forward = Callable[[str, int], int]
"""Host and port inside → the port of loopback that leads there."""


@runtime_checkable
class Forwarding(Protocol):
    """A runtime that can lead a port of this host to a service inside."""

    def forward(self, host: str, port: int) -> int: ...


@dataclass(frozen=True)
class ForwardedSystem(System):
    """A system in which the addresses of one component lead through its runtime."""

    outside: System
    to: Forward
    bare: bool
    """Whether its address is `host:port` and not a URL."""

    def resolve(self, reference: Reference) -> str:
        return forwarded(self.outside.resolve(reference), self.to, bare=self.bare)


def through(system: System, settings: Component, runtime: Runtime) -> tuple[System, Component]:
    """The system and settings with which a connector reaches the component. Raises UsageError."""
    if not isinstance(runtime, Forwarding):
        raise UsageError(
            f"the runtime {system.environment.runtime.kind} cannot lead to a service inside",
            "give the component an address of this host in this environment, and no `through`",
        )
    address = getattr(settings, "address", None)
    if isinstance(address, str):
        # The URL keeps its own name, for `Host` and for the certificate; only the way to it changes.
        settings = settings.model_copy(update={"address": LOOPBACK})
    if isinstance(address, Reference) and getattr(settings, "server_name", None) == "":
        # The name that the certificate is for is that of the address, not of the port that leads there.
        settings = settings.model_copy(update={"server_name": _host(system.resolve(address))})
    inside = ForwardedSystem(system.book, system.name, system.model, system, runtime.forward,
                             isinstance(address, Reference))  # fmt: skip
    return inside, settings


def forwarded(address: str, to: Forward, *, bare: bool = False) -> str:
    """An address of the cluster, as this host reaches it; what is no address stays as it is."""
    if bare and (match := _BARE.fullmatch(address)):
        return f"{LOOPBACK}:{to(match['host'], int(match['port']))}"
    try:
        parts = urlsplit(address) if "://" in address else None
        given = parts.port if parts else None
    except ValueError:
        return address
    if parts is None or parts.scheme.partition("+")[0] not in PORTS or not parts.hostname:
        return address
    scheme = parts.scheme.partition("+")[0]
    port = to(parts.hostname, given or PORTS[scheme])
    if bare:
        return f"{LOOPBACK}:{port}"
    user, at, _ = parts.netloc.rpartition("@")
    # Where the client can be told another address, the name stays: certificates and virtual hosts are found by it.
    host = LOOPBACK if scheme in ("redis", "rediss", "amqp") else parts.hostname
    query = parts.query
    if scheme.startswith("postgres"):
        query = "&".join(filter(None, [query, f"hostaddr={LOOPBACK}"]))
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}", query=query))


def _host(address: str) -> str:
    """The host that an address names, be it `host:port` or a URL; empty for what is no address."""
    with suppress(ValueError):
        return urlsplit(address if "://" in address else f"//{address}").hostname or ""
    return ""
