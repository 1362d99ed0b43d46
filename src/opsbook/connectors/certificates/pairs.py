"""A key and the chain that goes with it, as PEM."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from opsbook.errors import Refused

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KEYS: Mapping[str, Callable[[], PrivateKey]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
}
"""`key_type` of the book → a new key of it."""


@dataclass(frozen=True)
class Chain:
    """A certificate with those that lead to its root, the server's own first."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf, in hexadecimal."""
        return self.leaf.fingerprint(hashes.SHA256()).hex()

    @property
    def ends(self) -> datetime:
        return self.leaf.not_valid_after_utc

    @property
    def lifetime(self) -> timedelta:
        return self.leaf.not_valid_after_utc - self.leaf.not_valid_before_utc

    def names(self) -> frozenset[str]:
        """The host names and addresses that it is for, in lower case."""
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset()
        hosts = [str(one).lower() for one in found.get_values_for_type(x509.DNSName)]
        return frozenset([*hosts, *(str(one) for one in found.get_values_for_type(x509.IPAddress))])


def read_chain(pem: bytes, where: str) -> Chain:
    """Raises Refused for what is no certificate."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise Refused(f"{where} holds no certificate in PEM form", "look at the file") from error
    return Chain(tuple(found))


def read_key(pem: bytes, where: str) -> PrivateKey:
    """Raises Refused; never says what is in the file."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause: the error of the library may quote the key.
        raise Refused(f"{where} holds no private key without a passphrase (PEM)", "look at the file") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Refused(f"{where} holds a key that servers do not take", "use an ECDSA or RSA key")
    return key


def key_pem(key: PrivateKey) -> bytes:
    """PKCS #8, without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request_pem(key: PrivateKey, names: Sequence[str]) -> bytes:
    """A certificate signing request for these names (PKCS #10)."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])] if len(names[0]) <= 64 else [])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = request.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def fault(chain: Chain, key: PrivateKey | None, names: Sequence[str], now: datetime) -> str:
    """Why a chain must not be served for these names; empty where it may."""
    if missing := sorted({name.lower() for name in names} - chain.names()):
        return f"it is not for {', '.join(missing)}"
    if chain.ends <= now:
        return f"it ended on {chain.ends:%Y-%m-%d}"
    if key is not None and not belongs(chain, key):
        return "it does not belong to the key beside it"
    for one, issuer in zip(chain.certificates, chain.certificates[1:], strict=False):
        if one.issuer != issuer.subject:
            return "its chain is not in order: each certificate is signed by the next"
    return ""


def belongs(chain: Chain, key: PrivateKey) -> bool:
    """Whether the certificate is of this key."""
    return _public(key.public_key()) == _public(chain.leaf.public_key())


def _public(key: object) -> bytes:
    assert hasattr(key, "public_bytes")
    found: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found
