"""Certificates and protocols as they are served."""

from __future__ import annotations

import asyncio
import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbook.book.catalogue import Cost
from opsbook.book.units import Dimension, show_duration
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.tls import OLD_PROTOCOLS, TlsConnector, accepts, refusal, served
from opsbook.observations.registry import observation

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

TLS = ("tls", "http", "proxy")
Serves = TlsConnector | HttpConnector


def names_of(certificate: Certificate) -> list[str]:
    """The DNS names and addresses of its subjectAltName. The common name does not count (RFC 9525)."""
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    return [*names.get_values_for_type(DNSName), *map(str, names.get_values_for_type(IPAddress))]


def covers(pattern: str, name: str) -> bool:
    """Whether a name of a certificate is meant for a host: `*` stands for exactly one leftmost label (RFC 9525)."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and not _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def describe(certificate: Certificate) -> dict[str, object]:
    """What people look for in a certificate."""
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "serial": f"{certificate.serial_number:x}",
    }


@observation(
    "tls.days_left",
    Dimension.DURATION,
    of=TLS,
    cost=Cost.MODERATE,
    warning="< 30d",
    critical="< 7d",
    doc="Time until the served certificate expires; negative once it has. The detail has every certificate of the"
    " chain and the shortest time in it.",
)
async def days_left(connector: Serves) -> Fact:
    found = await served(connector, connector.tls_address())
    now = datetime.now(UTC)
    left = [(one.not_valid_after_utc - now).total_seconds() for one in found.chain]
    detail = {"chain": [{**describe(one), "seconds_left": s} for one, s in zip(found.chain, left, strict=True)],
              "chain_seconds_left": min(left)}  # fmt: skip
    message = f"until {found.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if min(left) < left[0]:
        message += f"; a certificate above it only has {show_duration(min(left))} left"
    return Fact(left[0], detail, message)


@observation(
    "tls.chain_valid",
    Dimension.STATE,
    of=TLS,
    cost=Cost.MODERATE,
    critical="is down",
    doc="Whether a client that trusts the component's CA, or this machine's own, accepts the served chain.",
)
async def chain_valid(connector: Serves) -> Fact:
    address = connector.tls_address()
    why = await refusal(connector, address)
    return Fact(
        not why, {"ca": str(address.ca) if address.ca else "this machine's own"}, why or "the chain is accepted"
    )


@observation(
    "tls.name_matches",
    Dimension.STATE,
    of=TLS,
    cost=Cost.MODERATE,
    critical="is down",
    doc="Whether the served certificate is meant for the name under which it is asked for.",
)
async def name_matches(connector: Serves) -> Fact:
    address = connector.tls_address()
    names = names_of((await served(connector, address)).leaf)
    good = any(covers(name, address.server_name) for name in names)
    shown = ", ".join(names[:10]) or "no name at all"
    return Fact(good, {"names": names}, f"{address.server_name} is asked for, the certificate is for {shown}")


@observation(
    "tls.protocol",
    Dimension.TEXT,
    of=TLS,
    cost=Cost.MODERATE,
    doc="The protocol that server and client agree on, such as TLSv1.3.",
)
async def protocol(connector: Serves) -> str:
    return (await served(connector, connector.tls_address())).protocol


@observation(
    "tls.weak_protocols",
    Dimension.COUNT,
    of=TLS,
    cost=Cost.HEAVY,
    critical="> 0",
    doc="How many of the withdrawn protocols TLS 1.0 and 1.1 (RFC 8996) the server still speaks.",
)
async def weak_protocols(connector: Serves) -> Fact:
    import ssl

    address = connector.tls_address()
    await served(
        connector, address
    )  # a server that is not there speaks no old protocol either: that must not look well
    spoken = [name for name in OLD_PROTOCOLS if getattr(ssl, "HAS_" + name.replace(".", "_"), False)]
    if not spoken:
        raise ReadFailed("this machine's OpenSSL cannot speak the old protocols, so that it cannot look for them")
    answers = await asyncio.gather(*(accepts(address, OLD_PROTOCOLS[name]) for name in spoken))
    found = [name for name, accepted in zip(spoken, answers, strict=True) if accepted]
    return Fact(float(len(found)), {"accepted": found}, ", ".join(found) or "neither is spoken")
