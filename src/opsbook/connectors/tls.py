"""TLS servers: what they serve, held against what clients accept. Everything is seen by handshakes; nothing is sent."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.http_client import unreadable
from opsbook.connectors.names import connect
from opsbook.connectors.registry import connector
from opsbook.connectors.trust import client_context
from opsbook.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

OLD_PROTOCOLS = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1}
"""Deprecated by RFC 8996."""


@dataclass(frozen=True)
class TlsAddress:
    """Where a certificate is served, and whose it should be."""

    host: str
    port: int
    server_name: str
    ca: Path | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Served:
    """What a server showed in a handshake that accepts everything: the chain, leaf first, and the protocol."""

    chain: tuple[Certificate, ...]
    protocol: str

    @property
    def leaf(self) -> Certificate:
        return self.chain[0]


class TlsComponent(Component):
    """A certificate as it is served."""

    kind: Literal["tls"]
    address: Reference = Field(description="host:port, or a URL; the port is 443 where left out")
    server_name: str = Field("", description="name to ask for and to find in the certificate; the host where left out")
    ca: str = Field("", description="PEM file of the CA that signed it; this machine's store where left out")


@connector(TlsComponent)
class TlsConnector(Connector):
    """Handshakes with one server."""

    component: TlsComponent

    def tls_address(self) -> TlsAddress:
        """Where its certificate is served."""
        host, port = split_address(self.system.resolve(self.component.address), 443)
        ca = self.system.path(self.component.ca) if self.component.ca else None
        return TlsAddress(host, port, self.component.server_name or host, ca)


def split_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of `host:port`, `[::1]:443` or a URL. Raises UsageError, which never tells the text: the value of a
    reference may be no address, but it may be a secret."""
    wrong = ""
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme) or default_port
    except ValueError as error:
        host, port, wrong = None, None, unreadable(error)
    if not wrong and (not host or any(one.isspace() or not one.isprintable() for one in text)):
        wrong = "it has no host"
    if wrong or not host or port is None:
        raise UsageError(f"its `address` is not host:port: {wrong or 'it has no port'}", "write host:port") from None
    return host, port


async def served(connector: Connector, address: TlsAddress) -> Served:
    """What it serves, asked once for all facts of a sweep. Raises Unreachable."""
    return await connector.once(("served", address), lambda: look(address))


async def refusal(connector: Connector, address: TlsAddress) -> str:
    """Why a client that verifies the chain refuses it, in OpenSSL's words; empty where it accepts."""
    return await connector.once(("verified", address), lambda: _refusal(address))


async def accepts(address: TlsAddress, version: ssl.TLSVersion) -> bool:
    """Whether the server makes a session with exactly this protocol version."""
    context = _open_context(version)
    try:
        await _handshake(address, context)
    except (ssl.SSLError, ConnectionError):
        return False
    return True


async def look(address: TlsAddress) -> Served:
    """What it serves at this moment. Raises Unreachable."""
    from cryptography import x509

    try:
        chain, protocol = await _handshake(address, _open_context())
    except OSError as error:
        raise _no_session(address, error) from error
    if not chain:
        raise ReadFailed(f"{address} shows no certificate")
    return Served(tuple(x509.load_der_x509_certificate(one) for one in chain), protocol)


async def _refusal(address: TlsAddress) -> str:
    try:
        await _handshake(address, client_context(address.ca, names=False))
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        raise _no_session(address, error) from error
    return ""


def _no_session(address: TlsAddress, error: OSError) -> Unreachable:
    reason = getattr(error, "reason", None) or error.strerror or str(error) or type(error).__name__
    return Unreachable(f"{address} makes no TLS session: {reason}", "does the server speak TLS on this port?")


def _open_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Accepts every certificate and every protocol, because it is here to look, not to trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Python warns of old versions; finding those that servers still accept is the purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version or ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
    return context


async def _handshake(address: TlsAddress, context: ssl.SSLContext) -> tuple[list[bytes], str]:
    sock, _ = await connect(address.host, address.port)
    try:
        _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=address.server_name)
    except BaseException:
        sock.close()
        raise
    try:
        session = writer.get_extra_info("ssl_object")
        return _chain(session), session.version() or ""
    finally:
        writer.transport.abort()


def _chain(session: Any) -> list[bytes]:
    """The chain as the server sent it, in DER. Public from Python 3.13, there before under the C object."""
    if hasattr(session, "get_unverified_chain"):
        return [bytes(one) for one in session.get_unverified_chain()]
    chain = session._sslobj.get_unverified_chain() or []
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain]
