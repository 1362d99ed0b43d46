"""Changes of the kinds `certificate-issue`, `certificate-request`, `certificate-install`: a certificate is kept valid.

effect of all: `certificate`, its id in the book. Of `certificate-issue` and `certificate-request` also what it is for:
`names`, `key_type`, and `directory` and `challenge` where an ACME authority is asked.
effect of `certificate-install`: `take`, "next" (what was obtained), "previous", or the path of a file that somebody
brings; `reload`, the proxies that read it again; `served_by`, the components that must then serve it.

A new key is written beside the one that is served before anything is asked for, as `.NAME.next`; so is the chain. What
an attempt that was cut off has obtained is used, not asked for again. Nothing of a key is in a plan or a result.

result: `fingerprint`, `ends`, `issuer`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbook.book.planned import Certificate
from opsbook.book.system import System
from opsbook.connectors.certificates.acme_order import LETS_ENCRYPT, Authority, order
from opsbook.connectors.certificates.pairs import KEYS, Chain, belongs, fault, key_pem, read_chain, request_pem
from opsbook.connectors.certificates.places import Places, certificate_of, places_of
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.file import replace_file
from opsbook.connectors.http import HttpConnector, ProxyComponent
from opsbook.connectors.nginx_reload import check_configuration, reload
from opsbook.connectors.registry import executor
from opsbook.connectors.tls import TlsConnector, look
from opsbook.errors import OpsbookError, Refused

WITHIN = timedelta(minutes=5)
"""How long an authority may take to verify and sign."""
SERVED_SECONDS = 20.0
LOOK_SECONDS = 0.2
IN_A_ROW = 3
"""Old workers of a proxy answer for a moment after a reload: so many handshakes must show the new one."""
PUBLIC, PRIVATE = 0o644, 0o600


class _Kept:
    """Nothing of these changes outlives this process, but for files that the next attempt uses."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def end(self, key: str, change: Change) -> bool:
        return True

    def _found(self, change: Change) -> tuple[Certificate, Places]:
        certificate = certificate_of(self.system, change.effect["certificate"])
        return certificate, places_of(self.system, certificate)


@executor("certificate-issue")
class Issue(_Kept):
    """Asks an ACME authority."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed with what the authority says, NotReached where it does not answer."""
        certificate, places = self._found(change)
        chain = await asyncio.to_thread(_usable, certificate, places.next)
        if chain is not None:
            await out.write("a certificate that was obtained before is there, and is used\n")
            return Done(told(chain))
        request = await asyncio.to_thread(_new_request, certificate, places)
        authority = _authority(self.system, certificate, places)
        await out.write(f"asking {authority.directory} for {', '.join(certificate.names)}\n")
        pem = await asyncio.to_thread(order, authority, request, WITHIN)
        chain = read_chain(pem, authority.directory)
        if why := fault(chain, places.next.read_key(), certificate.names, datetime.now(UTC)):
            raise ChangeFailed(f"what {authority.directory} gave cannot be used: {why}", "ask it why")
        await asyncio.to_thread(_written, places.next.chain, pem, PUBLIC)
        return Done(told(chain))


@executor("certificate-request")
class Request(_Kept):
    """Makes a key and a signing request, for an authority that a person asks."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where a file cannot be written."""
        certificate, places = self._found(change)
        request = await asyncio.to_thread(_new_request, certificate, places)
        await asyncio.to_thread(_written, places.request, request, PUBLIC)
        await out.write(f"the signing request is {places.request}\n")
        return Done({"request": str(places.request)})


@executor("certificate-install")
class Install(_Kept):
    """Puts a pair where it is served, and sees that it is; else puts the old one back."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused for a pair that must not be served, ChangeFailed where it is not served afterwards."""
        certificate, places = self._found(change)
        chain, pem, private = await asyncio.to_thread(self._wanted, certificate, places, change.effect["take"])
        before = await asyncio.to_thread(places.read_chain)
        # One that is there already, while it still lies beside too, is of an attempt that was cut off.
        changes = before is None or before.fingerprint != chain.fingerprint or places.next.chain.exists()
        if changes:
            await asyncio.to_thread(_swap, places, pem, private)
            await out.write(f"{places.chain}: {', '.join(certificate.names)} until {chain.ends:%Y-%m-%d}\n")
        try:
            await self._read_again(change.effect["reload"])
            await self._served(change.effect["served_by"], chain, out)
        except OpsbookError:
            if changes and before is not None:
                await asyncio.to_thread(_put_back, places)
                with suppress(OpsbookError):
                    await self._read_again(change.effect["reload"])
            raise
        await asyncio.to_thread(_tidy, places, chain)
        return Done(told(chain))

    def _wanted(self, certificate: Certificate, places: Places, take: str) -> tuple[Chain, bytes, bytes]:
        source = {"next": places.next, "previous": places.previous}.get(take)
        if source is None:
            source = Places(self.system.path(take), places.next.key)
        if take == "next" and not source.chain.exists():
            source = places  # an attempt that was cut off has put it there already
        chain, key = source.read_chain(), source.read_key()
        if chain is None or key is None:
            raise Refused(f"there is no {take} pair of {certificate.id}", "obtain one first")
        if why := fault(chain, key, certificate.names, datetime.now(UTC)):
            raise Refused(f"{source.chain} must not be served: {why}", "obtain another one")
        return chain, source.chain.read_bytes(), key_pem(key)

    async def _read_again(self, proxies: list[str]) -> None:
        for name in proxies:
            settings = self.system.components[name]
            assert isinstance(settings, ProxyComponent), "planned for proxies"
            assert settings.maintenance is not None, "planned for those with a pid file"
            await check_configuration(self.system, settings.maintenance)
            await reload(self.system, settings.maintenance)

    async def _served(self, components: list[str], chain: Chain, out: Sink) -> None:
        for name in components:
            connector = self.connections.of(name)
            assert isinstance(connector, TlsConnector | HttpConnector), "planned for what serves TLS"
            address = connector.tls_address()
            deadline, good, said = time.monotonic() + SERVED_SECONDS, 0, "nothing"
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


def _usable(certificate: Certificate, places: Places) -> Chain | None:
    """What lies there, where it may still be served for most of its time."""
    try:
        chain, key = places.read_chain(), places.read_key()
    except Refused:
        return None
    now = datetime.now(UTC)
    if chain is None or key is None or fault(chain, key, certificate.names, now):
        return None
    return chain if chain.ends - now > chain.lifetime * 0.9 else None


def _new_request(certificate: Certificate, places: Places) -> bytes:
    """A signing request by the key that is to come, which is made where there is none."""
    try:
        key = places.next.read_key()
    except Refused:
        key = None
    if key is None:
        key = KEYS[certificate.key_type]()
        _written(places.next.key, key_pem(key), PRIVATE)
    return request_pem(key, certificate.names)


def _authority(system: System, certificate: Certificate, places: Places) -> Authority:
    account = system.path(certificate.account_key) if certificate.account_key else _account(places)
    if not account.exists():
        _written(account, key_pem(KEYS["ecdsa-p256"]()), PRIVATE)
    return Authority(
        directory=system.resolve(certificate.directory) if certificate.directory else LETS_ENCRYPT,
        account_key=account,
        email=certificate.account_email,
        roots=str(system.path(certificate.authority)) if certificate.authority else "",
        challenge=certificate.challenge,
        webroot=system.path(certificate.webroot) if certificate.webroot else None,
        hook=str(system.path(certificate.dns_hook)) if certificate.dns_hook else "",
    )


def _account(places: Places) -> Path:
    return places.key.with_name(f".{places.key.name}.account")


def _swap(places: Places, pem: bytes, private: bytes) -> None:
    """The old pair is kept, then the new one takes its place."""
    # Else an attempt was cut off on the way, and has kept the old pair already.
    if _is_pair(places) and places.chain.read_bytes() != pem:
        _written(places.previous.key, places.key.read_bytes(), PRIVATE)
        _written(places.previous.chain, places.chain.read_bytes(), PUBLIC)
    _written(places.key, private, PRIVATE)
    _written(places.chain, pem, PUBLIC)


def _is_pair(places: Places) -> bool:
    try:
        chain, key = places.read_chain(), places.read_key()
    except Refused:
        return False
    return chain is not None and key is not None and belongs(chain, key)


def _put_back(places: Places) -> None:
    previous = places.previous
    if _is_pair(previous):
        _written(places.key, previous.key.read_bytes(), PRIVATE)
        _written(places.chain, previous.chain.read_bytes(), PUBLIC)


def _tidy(places: Places, served: Chain) -> None:
    """What is served now is no longer to come."""
    coming = places.next
    with suppress(OSError, Refused):
        found = coming.read_chain()
        if found is None or found.fingerprint == served.fingerprint:
            coming.chain.unlink(missing_ok=True)
            coming.key.unlink(missing_ok=True)


def _written(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content, mode)
    except OSError as error:
        raise ChangeFailed(f"{path}: {error.strerror}", "check its folder, permissions and free space") from error
