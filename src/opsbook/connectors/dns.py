"""Names in the DNS: do they resolve, and to what."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.names import addresses, literal
from opsbook.connectors.registry import connector
from opsbook.errors import Unreachable, UsageError


class DnsComponent(Component):
    """A name that must resolve."""

    kind: Literal["dns"]
    name: str = Field(min_length=1, description="the name, e.g. api.example.org")
    expected: tuple[str, ...] = Field((), description="addresses that it must resolve to, and no others")
    resolver: str = Field("", description="address[:port] of the name server to ask; this machine's own where empty")


@dataclass(frozen=True)
class Resolved:
    """The answer to a lookup; no addresses where the name does not exist."""

    addresses: tuple[str, ...]
    seconds: float
    words: str = ""


@connector(DnsComponent)
class DnsConnector(Connector):
    """Looks one name up."""

    component: DnsComponent

    async def resolved(self) -> Resolved:
        """The addresses, asked once for all facts of a sweep. Raises Unreachable where no name server answers."""
        return await self.once("lookup", self._lookup)

    async def _lookup(self) -> Resolved:
        started = time.perf_counter()
        if self.component.resolver:
            found, words = await self._ask_server(self.component.resolver)
        else:
            found, words = await self._ask_machine()
        return Resolved(tuple(sorted(found)), time.perf_counter() - started, words)

    async def _ask_machine(self) -> tuple[list[str], str]:
        import socket

        try:
            return [address for _, address in await addresses(self.component.name)], ""
        except Unreachable as error:
            cause = error.__cause__
            if isinstance(cause, socket.gaierror) and cause.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                return [], error.message
            raise

    async def _ask_server(self, server: str) -> tuple[list[str], str]:
        from dns.asyncresolver import Resolver
        from dns.exception import DNSException
        from dns.exception import Timeout as NoAnswerInTime
        from dns.resolver import NXDOMAIN, NoAnswer, NoNameservers

        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = _server(server)
        resolver.lifetime = 30.0  # the check's own time-out comes first
        found: list[str] = []
        words = ""
        for kind in ("A", "AAAA"):
            try:
                answer = await resolver.resolve(self.component.name, kind, search=False)
                found += [record.to_text() for record in answer]
            except NXDOMAIN:
                return [], f"{self.component.name} does not exist, says {server}"
            except NoAnswer:
                words = f"{self.component.name} has no address, says {server}"
            except (NoAnswerInTime, NoNameservers) as error:
                raise Unreachable(f"{server} does not answer: {error}", "is the name server running?") from error
            except DNSException as error:
                raise ReadFailed(f"{self.component.name}: {error}") from error
        return found, "" if found else words

    @property
    def expected(self) -> tuple[str, ...]:
        """The addresses that the book promises, references resolved."""
        return tuple(sorted(self.system.resolve(Reference(address)) for address in self.component.expected))


def _server(text: str) -> tuple[list[str], int]:
    """Address and port of a name server. Raises UsageError for a name: it would need a name server itself."""
    if literal(text):
        return [text.strip("[]")], 53
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not literal(host):
        raise UsageError(f"{text!r} is not the address of a name server", "write 10.0.0.2 or 10.0.0.2:53")
    return [host.strip("[]")], int(port)
