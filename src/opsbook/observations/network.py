"""Names and ports."""

from __future__ import annotations

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact
from opsbook.connectors.dns import DnsConnector
from opsbook.connectors.tcp import TcpConnector
from opsbook.errors import Unreachable
from opsbook.observations.registry import Absent, observation


@observation(
    "dns.resolves",
    Dimension.STATE,
    of="dns",
    vital=True,
    critical="is down",
    doc="Whether the name resolves, and to exactly the addresses that the book expects, where it names any.",
)
async def resolves(dns: DnsConnector) -> Fact:
    found = await dns.resolved()
    expected = dns.expected
    detail = {"addresses": list(found.addresses), "expected": list(expected), "seconds": found.seconds}
    if not found.addresses:
        return Fact(False, detail, found.words)
    shown = ", ".join(found.addresses)
    if expected and found.addresses != expected:
        return Fact(False, detail, f"resolves to {shown}, not to {', '.join(expected)}")
    return Fact(True, detail, f"resolves to {shown}")


@observation("dns.address", Dimension.TEXT, of="dns", doc="The addresses that the name resolves to, in order.")
async def address(dns: DnsConnector) -> str:
    found = await dns.resolved()
    if not found.addresses:
        raise Absent(found.words)
    return ", ".join(found.addresses)


@observation("dns.lookup_time", Dimension.DURATION, of="dns", doc="How long looking the name up takes.")
async def lookup_time(dns: DnsConnector) -> float:
    return (await dns.resolved()).seconds


@observation(
    "tcp.open",
    Dimension.STATE,
    of="tcp",
    vital=True,
    critical="is down",
    doc="Whether the port takes connections.",
)
async def tcp_open(tcp: TcpConnector) -> Fact:
    try:
        _, where = await tcp.connect_seconds()
    except Unreachable as error:
        return Fact(False, message=error.message)
    return Fact(True, message=f"{where} takes connections")


@observation("tcp.connect_time", Dimension.DURATION, of="tcp", doc="How long connecting takes, without name lookup.")
async def connect_time(tcp: TcpConnector) -> float:
    return (await tcp.connect_seconds())[0]
