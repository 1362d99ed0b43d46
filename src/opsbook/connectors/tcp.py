"""TCP ports: is something listening, and how long does connecting take. Nothing is sent."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.connectors.contract import Connector
from opsbook.connectors.names import addresses, connect_to
from opsbook.connectors.registry import connector
from opsbook.connectors.tls import split_address


class TcpComponent(Component):
    """A port that must take connections."""

    kind: Literal["tcp"]
    address: Reference = Field(description="host:port")


@connector(TcpComponent)
class TcpConnector(Connector):
    """Connects and hangs up."""

    component: TcpComponent

    async def connect_seconds(self) -> tuple[float, str]:
        """How long connecting took, without the name lookup, and the address. Asked once for all facts of a sweep."""
        return await self.once("connect", self._connect)

    async def _connect(self) -> tuple[float, str]:
        host, port = split_address(self.system.resolve(self.component.address))
        found = await addresses(host)
        started = time.perf_counter()
        sock, address = await connect_to(found, host, port)
        seconds = time.perf_counter() - started
        sock.close()
        return seconds, f"{address}:{port}"
