"""A local certificate authority and the server's certificate."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stack.credentials import write_private
from stack.instance import Instance
from stack.waiting import POLL_SECONDS, until

AUTHORITY_DAYS, SERVER_DAYS = 3650, 90
CLOCKS = timedelta(minutes=5)
LOOKS, SERVED_SECONDS = 10, 30.0
"""Answers in a row that must be the new certificate, and how long that may take."""
NAMES = ("localhost", "renec.localhost", "api.renec.localhost", "nginx")


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def key_text(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def certificate_text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def builder(
    subject: x509.Name, issuer: x509.Name, days: float, key: ec.EllipticCurvePrivateKey, began: timedelta = CLOCKS
) -> x509.CertificateBuilder:
    """A certificate valid until `days` from now. It `began` five minutes ago, so that clocks need not agree."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - began)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def make_authority(instance: Instance) -> None:
    """The authority's key and certificate, if they do not exist."""
    folder = instance.folder("tls")
    folder.mkdir(exist_ok=True)
    if (folder / "ca.crt").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = named("RENEC example authority")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        builder(name, name, AUTHORITY_DAYS, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.key", key_text(key))
    (folder / "ca.crt").write_text(certificate_text(certificate))


def issue(
    instance: Instance,
    days: float = SERVER_DAYS,
    name: str = "server",
    began: timedelta = CLOCKS,
    names: Sequence[str] = NAMES,
) -> None:
    """A new key and certificate for a server; nginx serves its own after a reload."""
    folder = instance.folder("tls")
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    hosts: list[x509.GeneralName] = [x509.DNSName(host) for host in names]
    hosts.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        builder(named("renec.localhost"), authority.subject, days, key, began)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    write_private(folder / f"{name}.key", key_text(key))
    (folder / f"{name}.crt").write_text(certificate_text(certificate))


def wait_until_served(instance: Instance) -> None:
    """Returns when nginx shows the certificate of its file: for a moment after a reload the old workers answer too."""
    wanted = x509.load_pem_x509_certificate((instance.folder("tls") / "server.crt").read_bytes())
    address = ("127.0.0.1", instance.port("https"))

    def all_new() -> bool:
        for look in range(LOOKS):
            time.sleep(POLL_SECONDS if look else 0)
            try:
                served = ssl.get_server_certificate(address, timeout=5)
            except OSError:
                return False
            if x509.load_pem_x509_certificate(served.encode()) != wanted:
                return False
        return True

    until(all_new, SERVED_SECONDS, "nginx does not serve the certificate of its file", "look at nginx's log")


def days_left(path: Path) -> float:
    """Days until the certificate in a file ends."""
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    return (end - datetime.now(UTC)).total_seconds() / 86400
