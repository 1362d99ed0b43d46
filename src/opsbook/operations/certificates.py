"""Certificates that are kept valid: obtained from an authority, put where they are served, and seen as served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.planned import Certificate
from opsbook.book.system import System
from opsbook.book.units import show_duration
from opsbook.book.values import Duration, Name
from opsbook.connectors.certificates.acme_order import LETS_ENCRYPT, required
from opsbook.connectors.certificates.cert_manager import condition, kept_by_cert_manager, revision
from opsbook.connectors.certificates.pairs import Chain, fault, read_chain
from opsbook.connectors.certificates.places import Places, certificate_of, places_of, request_of
from opsbook.connectors.change import Change, Json
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.http import HttpConnector, ProxyComponent
from opsbook.connectors.tls import TlsConnector
from opsbook.errors import OpsbookError, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

KINDS = ("tls", "proxy", "http")


class OfCertificate(OperationParameters):
    certificate: Name = Field(description="its id among `certificates` of the book")


@operation(
    "certificate.renew",
    Risk.SAFE,
    of=KINDS,
    idempotent=True,
    parameters=OfCertificate,
    doc="Obtains a certificate with a new key from an ACME authority, puts it where it is served, tells the proxies, "
    "and sees that every endpoint serves it. Where one does not, the old pair is put back. Undo puts it back too.",
)
class _Renew(Repeatable):
    async def plan(self, parameters: OfCertificate, facts: Facts) -> AsyncIterator[Change]:
        certificate = certificate_of(facts.system, parameters.certificate)
        if certificate.method != "acme":
            raise Refused(f"{certificate.id} is not renewed by ACME", "see its `method` in the book")
        if lack := required(certificate.names, certificate.challenge, certificate.webroot, certificate.dns_hook):
            raise Refused(f"{certificate.id} cannot be proven by {certificate.challenge}", lack)
        places = _places(facts, certificate)
        directory = facts.system.resolve(certificate.directory) if certificate.directory else LETS_ENCRYPT
        effect = {**_what(certificate), "directory": directory, "challenge": certificate.challenge}
        evidence = await _evidence(places, facts.clock.now())
        facts.record(f"{certificate.id}: certificate", evidence)
        yield Change("certificate-issue", effect, evidence, inverse="what was obtained is not served yet")
        yield await _install(facts, certificate, places, "next")


@operation(
    "certificate.request",
    Risk.SAFE,
    of=KINDS,
    idempotent=True,
    parameters=OfCertificate,
    doc="Makes a new key beside the one that is served, and a signing request that a person takes to an authority. "
    "certificate.install puts what comes back where it is served.",
)
class _Request(Repeatable):
    async def plan(self, parameters: OfCertificate, facts: Facts) -> AsyncIterator[Change]:
        certificate = certificate_of(facts.system, parameters.certificate)
        places = _places(facts, certificate)
        evidence = {
            **await _evidence(places, facts.clock.now()),
            "request": str(request_of(facts.system, certificate, places)),
        }
        yield Change("certificate-request", _what(certificate), evidence, inverse="nothing is served of it yet")


class OfFile(OfCertificate):
    file: str = Field(min_length=1, description="the chain that came back, as PEM; from the book's folder")


@operation(
    "certificate.install",
    Risk.DISRUPTIVE,
    of=KINDS,
    idempotent=True,
    parameters=OfFile,
    doc="Puts a certificate that somebody signed where it is served, with the key of certificate.request, and sees "
    "that every endpoint serves it. Refused where it is for other names, has ended, or is of another key.",
)
class _Install(Repeatable):
    async def plan(self, parameters: OfFile, facts: Facts) -> AsyncIterator[Change]:
        certificate = certificate_of(facts.system, parameters.certificate)
        places, path = _places(facts, certificate), facts.system.path(parameters.file)
        try:
            chain = read_chain(await asyncio.to_thread(path.read_bytes), str(path))
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}", "name the file that the authority gave") from error
        key = await places.next.read_key()
        if key is None:
            raise Refused(f"no key waits for a certificate of {certificate.id}", "begin with certificate.request")
        if why := fault(chain, key, certificate.names, facts.clock.now()):
            raise Refused(f"{path} must not be served: {why}", "ask the authority for another one")
        yield await _install(facts, certificate, places, str(path))


@operation(
    "certificate.restore",
    Risk.DISRUPTIVE,
    of=KINDS,
    idempotent=True,
    parameters=OfCertificate,
    doc="Puts the pair that was served before back, and sees that every endpoint serves it.",
)
class _Restore(Repeatable):
    async def plan(self, parameters: OfCertificate, facts: Facts) -> AsyncIterator[Change]:
        certificate = certificate_of(facts.system, parameters.certificate)
        places = _places(facts, certificate)
        kept = await places.wanted_back()
        if kept is None:
            raise Refused(f"nothing was kept of {certificate.id}", "it was never renewed by opsbook")
        yield await _install(facts, certificate, places, "previous", fingerprint=kept.fingerprint)


@operation(
    "certificate.prove",
    Risk.READ,
    of=KINDS,
    idempotent=True,
    parameters=OfCertificate,
    doc="Makes handshakes with every endpoint of a certificate until each serves the one that lies there.",
)
class _Prove(Repeatable):
    async def plan(self, parameters: OfCertificate, facts: Facts) -> AsyncIterator[Change]:
        certificate = certificate_of(facts.system, parameters.certificate)
        served_by = endpoints(facts, certificate)
        if not served_by:
            raise Refused(f"the book names nothing that serves {certificate.id} over TLS", "set its `of`")
        effect = {"certificate": certificate.id, "served_by": served_by}
        yield Change("certificate-served", effect, inverse="it only looks")


class Asked(OfCertificate):
    within: Duration = Field(timedelta(minutes=5), description="how long cert-manager may take")


@operation(
    "certificate.ask",
    Risk.SAFE,
    of=(*KINDS, "cluster"),
    idempotent=True,
    parameters=Asked,
    doc="Asks cert-manager to issue a certificate anew, as `cmctl renew` does, and waits until it has.",
)
class _Ask(Repeatable):
    async def plan(self, parameters: Asked, facts: Facts) -> AsyncIterator[Change]:
        certificate = certificate_of(facts.system, parameters.certificate)
        if certificate.method != "runtime":
            raise Refused(f"{certificate.id} is not renewed by cert-manager", "see its `method` in the book")
        found = await kept_by_cert_manager(facts.system, kubernetes_of(facts.runtime), certificate)
        name, ready = found["metadata"]["name"], condition(found, "Ready")
        effect = {
            "certificate": certificate.id, "name": name, "revision": revision(found),
            "within": parameters.within.total_seconds(),
        }  # fmt: skip
        status = found.get("status") or {}
        evidence = {"ends": status.get("notAfter", "unknown"), "ready": ready.get("message", "it was never issued")}
        facts.record(f"{certificate.id}: certificate", evidence)
        yield Change("certificate-ask", effect, evidence, inverse="cert-manager keeps no earlier one")


def _places(facts: Facts, certificate: Certificate) -> Places:
    """Over the connections of the plan; any component has them."""
    name = certificate.of or next(iter(certificate.reload), "")
    if not name:
        raise Refused(f"the book does not say who serves {certificate.id}", "set its `of`, or its `reload`")
    return places_of(facts.system, facts.connector(name).connections, certificate)


def _what(certificate: Certificate) -> dict[str, Json]:
    return {"certificate": certificate.id, "names": list(certificate.names), "key_type": certificate.key_type}


async def _install(facts: Facts, certificate: Certificate, places: Places, take: str, **more: str) -> Change:
    reload = reloaded(facts.system, certificate)
    served_by = endpoints(facts, certificate)
    if restarting(facts.system, certificate):
        # What is served by who reads it only when it starts is seen after that.
        served_by = [name for name in served_by if name in reload]
    effect: dict[str, Any] = {
        "certificate": certificate.id, "chain": str(places.chain), "take": take, "reload": reload,
        "served_by": served_by, **more,
    }  # fmt: skip
    inverse: Change | str = "there was none before"
    with suppress(Refused):
        if (now := await places.read_chain()) is not None:
            back = {**effect, "take": "previous", "fingerprint": now.fingerprint}
            inverse = Change("certificate-install", back, inverse="it is an undo")
    return Change("certificate-install", effect, {"file": str(places.chain)}, inverse=inverse)


def reloaded(system: System, certificate: Certificate) -> list[str]:
    """The proxies among its `reload` that opsbook can tell to read it again."""
    found = [(name, system.components[name]) for name in certificate.reload]
    return [name for name, one in found if isinstance(one, ProxyComponent) and one.maintenance is not None]


def restarting(system: System, certificate: Certificate) -> list[str]:
    """The workloads among its `reload` that read it only when they start."""
    told = set(reloaded(system, certificate))
    return [name for name in certificate.reload if name not in told and system.components[name].workload]


def endpoints(facts: Facts, certificate: Certificate) -> list[str]:
    """The components that serve it over TLS."""
    names = dict.fromkeys([*([certificate.of] if certificate.of else []), *certificate.reload])
    return [name for name in names if _speaks_tls(facts, name)]


def _speaks_tls(facts: Facts, name: str) -> bool:
    connector = facts.connector(name)
    if not isinstance(connector, TlsConnector | HttpConnector):
        return False
    try:
        connector.tls_address()
    except OpsbookError:
        return False
    return True


async def _evidence(places: Places, now: datetime) -> dict[str, Json]:
    try:
        chain: Chain | None = await places.read_chain()
    except Refused as error:
        return {"now": error.message}
    if chain is None:
        return {"now": "there is none yet"}
    left = show_duration(max(0.0, (chain.ends - now).total_seconds()))
    return {"now": f"ends {chain.ends:%Y-%m-%d}", "left": left, "issuer": chain.leaf.issuer.rfc4514_string()}
