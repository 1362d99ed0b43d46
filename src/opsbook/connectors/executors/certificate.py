"""Changes of the kinds `certificate-issue`, `-request`, `-install`, `-served`: a certificate is kept valid.

effect of all: `certificate`, its id in the book. Of `certificate-issue` and `certificate-request` also what it is for:
`names`, `key_type`, and `directory` and `challenge` where an ACME authority is asked.
effect of `certificate-install`: `take`, "next" (what was obtained), "previous", or the path of a file that somebody
brings; `fingerprint` of what is put back, with "previous"; `reload`, the proxies that read it again; `served_by`, the
components that must then serve it. Of `certificate-served`: `served_by`.

A new key is written beside the one that is served before anything is asked for, as `.NAME.next`, or in the Secret
`NAME.next`; so is the chain. What an attempt that was cut off has obtained is used, not asked for again. Nothing of a
key is in a plan or a result.

result: `fingerprint`, `ends`, `issuer`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from opsbook.book.planned import Certificate
from opsbook.book.system import System
from opsbook.connectors.certificates.acme_order import LETS_ENCRYPT, Authority, order
from opsbook.connectors.certificates.pairs import KEYS, Chain, fault, key_pem, read_chain, request_pem
from opsbook.connectors.certificates.places import Places, certificate_of, places_of, request_of
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.held.contract import PRIVATE, PUBLIC, write
from opsbook.connectors.held.files import InFile
from opsbook.connectors.http import HttpConnector, ProxyComponent
from opsbook.connectors.http_client import what_is_wrong
from opsbook.connectors.registry import executor
from opsbook.connectors.switches.nginx import MasterProcess, ProxyWorkload
from opsbook.connectors.tls import TlsConnector, look
from opsbook.errors import OpsbookError, Refused, UsageError

WITHIN = timedelta(minutes=5)
"""How long an authority may take to verify and sign."""
SERVED_SECONDS = 20.0
MOUNTED_SECONDS = 150.0
"""A Secret that is mounted reaches its pods with the next round of the kubelet, about a minute later."""
LOOK_SECONDS = 0.2
IN_A_ROW = 3
"""Old workers of a proxy answer for a moment after a reload: so many handshakes must show the new one."""


class _Kept:
    """Nothing of these changes outlives this process, but for files that the next attempt uses."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def end(self, key: str, change: Change) -> bool:
        return True

    def _found(self, change: Change) -> tuple[Certificate, Places]:
        certificate = certificate_of(self.system, change.effect["certificate"])
        return certificate, places_of(self.system, self.connections, certificate)


@executor("certificate-issue")
class Issue(_Kept):
    """Asks an ACME authority."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed with what the authority says, NotReached where it does not answer."""
        certificate, places = self._found(change)
        chain = await _usable(certificate, places.next)
        if chain is not None:
            await out.write("a certificate that was obtained before is there, and is used\n")
            return Done(told(chain))
        request = await _new_request(certificate, places)
        authority = await _authority(self.system, certificate, places)
        await out.write(f"asking {authority.directory} for {', '.join(certificate.names)}\n")
        pem = await asyncio.to_thread(order, authority, request, WITHIN)
        chain = read_chain(pem, authority.directory)
        if why := fault(chain, await places.next.read_key(), certificate.names, datetime.now(UTC)):
            raise ChangeFailed(f"what {authority.directory} gave cannot be used: {why}", "ask it why")
        await write(places.next.chain, pem, PUBLIC)
        return Done(told(chain))


@executor("certificate-request")
class Request(_Kept):
    """Makes a key and a signing request, for an authority that a person asks."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where a file cannot be written."""
        certificate, places = self._found(change)
        path = request_of(self.system, certificate, places)
        await write(InFile(path), await _new_request(certificate, places), PUBLIC)
        await out.write(f"the signing request is {path}\n")
        return Done({"request": str(path)})


@executor("certificate-install")
class Install(_Kept):
    """Puts a pair where it is served, and sees that it is; else puts the old one back."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused for a pair that must not be served, ChangeFailed where it is not served afterwards."""
        certificate, places = self._found(change)
        take = change.effect["take"]
        chain, pem, private = await self._wanted(certificate, places, take, change.effect.get("fingerprint", ""))
        before = await places.read_chain()
        # One that is there already, while it still lies beside too, is of an attempt that was cut off.
        changes = before is None or before.fingerprint != chain.fingerprint or await places.next.pem() is not None
        if changes:
            if take == "previous":
                # What is replaced is kept where this one is now.
                await places.restoring.write(pem, private)
            await _swap(places, pem, private)
            await out.write(f"{places.chain}: {', '.join(certificate.names)} until {chain.ends:%Y-%m-%d}\n")
        try:
            await self._read_again(change.effect["reload"])
            await served(self.connections, change.effect["served_by"], places, chain, out)
        except OpsbookError:
            if changes and before is not None:
                await _put_back(places)
                if take == "previous":
                    await places.previous.write(pem, private)
                    await places.restoring.remove()
                with suppress(OpsbookError):
                    await self._read_again(change.effect["reload"])
            raise
        await places.restoring.remove()
        await _tidy(places.next, chain)
        return Done(told(chain))

    async def _wanted(
        self, certificate: Certificate, places: Places, take: str, fingerprint: str
    ) -> tuple[Chain, bytes, bytes]:
        if take == "previous":
            # An attempt that was cut off may have put it anywhere on its way.
            source = await _one_of(places.restoring, places.previous, places, fingerprint=fingerprint)
        elif take == "next":
            source = places.next if await places.next.pem() is not None else places
        else:
            brought = Places(InFile(self.system.path(take)), places.next.key)
            told = await brought.read_chain()
            # Its key is no longer beside where an attempt that was cut off had put all in its place.
            source = await _one_of(brought, places, fingerprint=told.fingerprint) if told is not None else brought
        pem, chain, key = await source.pem(), await source.read_chain(), await source.read_key()
        if pem is None or chain is None or key is None:
            raise Refused(f"there is no {take} pair of {certificate.id}", "obtain one first")
        if why := fault(chain, key, certificate.names, datetime.now(UTC)):
            raise Refused(f"{source.chain} must not be served: {why}", "obtain another one")
        return chain, pem, key_pem(key)

    async def _read_again(self, proxies: list[str]) -> None:
        for name in proxies:
            settings = self.system.components[name]
            assert isinstance(settings, ProxyComponent), "planned for proxies"
            assert settings.maintenance is not None, "planned for those that can be told"
            if settings.maintenance.pid_file:
                await MasterProcess(self.system, settings.maintenance).take(b"")
            elif settings.reload is not None:
                await ProxyWorkload(self.connections, name, settings.reload).take(b"")


@executor("certificate-served")
class Prove(_Kept):
    """Sees that what lies there is what is served."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where an endpoint serves another one."""
        certificate, places = self._found(change)
        chain = await places.read_chain()
        if chain is None:
            raise Refused(f"there is no certificate {certificate.id} yet", "renew it")
        await served(self.connections, change.effect["served_by"], places, chain, out)
        return Done(told(chain))


async def served(connections: Connections, components: list[str], places: Places, chain: Chain, out: Sink) -> None:
    """Handshakes with each until it serves the chain. Raises ChangeFailed."""
    patience = SERVED_SECONDS if isinstance(places.chain, InFile) else MOUNTED_SECONDS
    for name in components:
        connector = connections.of(name)
        assert isinstance(connector, TlsConnector | HttpConnector), "planned for what serves TLS"
        address = connector.tls_address()
        deadline, good, said = time.monotonic() + patience, 0, "nothing"
        while good < IN_A_ROW:
            if time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{name} does not serve the new certificate on {address}: {said}",
                    "does it read these files, and was it told to?",
                )
            try:
                leaf = Chain((await look(address)).chain)
                good = good + 1 if leaf.fingerprint == chain.fingerprint else 0
                said = f"it serves one that ends on {leaf.ends:%Y-%m-%d %H:%M}"
            except OpsbookError as error:
                good, said = 0, error.message
            await asyncio.sleep(LOOK_SECONDS)
        await out.write(f"{name} serves it on {address}\n")


def told(chain: Chain) -> dict[str, Json]:
    """A certificate in a result."""
    return {
        "fingerprint": chain.fingerprint,
        "ends": chain.ends.isoformat(),
        "issuer": chain.leaf.issuer.rfc4514_string(),
    }


async def _usable(certificate: Certificate, places: Places) -> Chain | None:
    """What lies there, where it may still be served for most of its time."""
    try:
        chain, key = await places.read_chain(), await places.read_key()
    except Refused:
        return None
    now = datetime.now(UTC)
    if chain is None or key is None or fault(chain, key, certificate.names, now):
        return None
    return chain if chain.ends - now > chain.lifetime * 0.9 else None


async def _new_request(certificate: Certificate, places: Places) -> bytes:
    """A signing request by the key that is to come, which is made where there is none."""
    try:
        key = await places.next.read_key()
    except Refused:
        key = None
    if key is None:
        key = KEYS[certificate.key_type]()
        await write(places.next.key, key_pem(key), PRIVATE)
    return request_pem(key, certificate.names)


async def _authority(system: System, certificate: Certificate, places: Places) -> Authority:
    account = InFile(system.path(certificate.account_key)) if certificate.account_key else places.key.beside("account")
    if await account.read() is None:
        await write(account, key_pem(KEYS["ecdsa-p256"]()), PRIVATE)
    directory = system.resolve(certificate.directory) if certificate.directory else LETS_ENCRYPT
    if wrong := what_is_wrong(directory):
        raise UsageError(f"`directory` of {certificate.id} is not an address: {wrong}", "write https://host/directory")
    return Authority(
        directory=directory,
        account_key=await account.read() or b"",
        email=certificate.account_email,
        roots=str(system.path(certificate.authority)) if certificate.authority else "",
        challenge=certificate.challenge,
        webroot=system.path(certificate.webroot) if certificate.webroot else None,
        hook=str(system.path(certificate.dns_hook)) if certificate.dns_hook else "",
    )


async def _swap(places: Places, pem: bytes, private: bytes) -> None:
    """The old pair is kept, then the new one takes its place."""
    old, key = await places.pem(), await places.key.read()
    # Else an attempt was cut off on the way, and has kept the old pair already.
    if old is not None and key is not None and old != pem and await places.is_pair():
        await places.previous.write(old, key)
    await places.write(pem, private)


async def _put_back(places: Places) -> None:
    pem, key = await places.previous.pem(), await places.previous.key.read()
    if pem is not None and key is not None and await places.previous.is_pair():
        await places.write(pem, key)


async def _one_of(*sources: Places, fingerprint: str) -> Places:
    """The first that holds this certificate with its key; without a fingerprint the first that holds any."""
    for one in sources:
        if await one.is_pair():
            chain = await one.read_chain()
            if chain is not None and fingerprint in ("", chain.fingerprint):
                return one
    return sources[0]


async def _tidy(coming: Places, served: Chain) -> None:
    """What is served now is no longer to come."""
    with suppress(OpsbookError):
        found = await coming.read_chain()
        if found is None or found.fingerprint == served.fingerprint:
            await coming.remove()
