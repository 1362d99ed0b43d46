"""Where a component is, as the others of its runtime reach it: the book's address, or what stands for it inside."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from opsbook.book.environments import SupervisorRuntime
from opsbook.book.references import Reference
from opsbook.book.semantics import dependencies
from opsbook.book.system import System
from opsbook.connectors.forwarded import PORTS
from opsbook.connectors.http import HttpSettings
from opsbook.connectors.http_client import unreadable
from opsbook.connectors.inside.look import Question
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import Absent, UsageError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104  compared with, not bound
ADDRESSES = ("url", "dsn", "address", "broker")


async def questions_to(system: System, runtime: Runtime, component: str) -> tuple[Question, ...]:
    """What tells whether a component is reached: its name, its port, and its page where it speaks HTTP.

    Raises Absent for one without an address, or with one that means another place inside.
    """
    settings = system.components[component]
    written = (getattr(settings, name, None) for name in ADDRESSES)
    reference = next((one for one in written if isinstance(one, Reference)), None)
    if reference is None:
        raise Absent(f"{component} has no address of its own that could be asked")
    scheme, host, port, path = _read(component, system.resolve(reference))
    speaks = isinstance(settings, HttpSettings)
    moved = await _inside(system, runtime, component, host, port)
    if moved != (host, port):
        # What a port of this host leads to speaks the same, but for a proxy that ends TLS outside.
        host, port = moved
    health = settings.health if isinstance(settings, HttpSettings) else ""
    asked = [Question("dns", host), Question("tcp", host, port)]
    if speaks:
        asked.append(Question("http", host, port, path.rstrip("/") + (health or "/"), scheme))
    return tuple(asked)


def _read(component: str, address: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path. Raises Absent."""
    if "://" not in address:
        host, colon, port = address.rpartition(":")
        if not colon and "=" not in address:
            return "https", address, 443, ""
        if not port.isdigit():
            raise Absent(f"the address of {component} is none that could be asked from inside")
        return "", host.strip("[]"), int(port), ""
    try:
        parts = urlsplit(address)
        scheme = parts.scheme.partition("+")[0]
        port_number = parts.port or PORTS.get(scheme, 0)
    except ValueError as error:
        raise UsageError(f"the address of {component} is none: {unreadable(error)}", "write host:port") from None
    if not parts.hostname or not port_number:
        raise Absent(f"{component} is reached by a socket of its own host, not by a name and a port")
    return scheme, parts.hostname, port_number, parts.path


async def _inside(system: System, runtime: Runtime, component: str, host: str, port: int) -> tuple[str, int]:
    """Host and port as the workloads see them. Raises Absent where loopback means something else to them."""
    if host not in LOOPBACK or isinstance(system.environment.runtime, SupervisorRuntime):
        return host, port
    if isinstance(runtime, Compose):
        for one in await runtime.found():
            for exposed, published in one.ports.items():
                if port in published:
                    return one.service, exposed
    raise Absent(
        f"the address of {component} is {host}:{port}, which within a container is the container itself",
        f"give {component} the address that the others use, with `through: runtime`",
    )


def needs(system: System, component: str) -> Sequence[str]:
    """The components that it depends on directly, each once."""
    return tuple(dict.fromkeys(name for name in dependencies(system.components[component]) if name != component))
