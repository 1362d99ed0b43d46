"""Certificates from a real ACME authority (pebble), served by a real nginx, also where things go wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from opsbook.connectors.certificates.pairs import read_chain
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.registry import OpenConnections
from opsbook.connectors.tls import TlsAddress, look
from opsbook.errors import Refused
from tests.integration.authority import Pebble, pebble
from tests.integration.hands import Hands
from tests.integration.servers import free_port, make_system, own_folder, until
from tests.integration.web import Issued, issue, server_context

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("acme"),
    pytest.mark.skipif(not Path(NGINX).exists(), reason="not installed: nginx"),
]

CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{proofs}; location /.well-known/ {{ root {folder}/web; }} }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {served}/chain.pem; ssl_certificate_key {served}/key.pem;
    location / {{ return 200 "open"; }}
  }}
}}
"""


@dataclass
class Site:
    """An nginx that serves a certificate with a day left, and the authority that it is renewed by."""

    folder: Path
    port: int
    authority: Pebble

    @property
    def chain(self) -> Path:
        return self.folder / "tls" / "chain.pem"

    async def served(self) -> x509.Certificate:
        return (await look(TlsAddress("127.0.0.1", self.port, "localhost"))).leaf

    @property
    def previous(self) -> Path:
        return self.chain.with_name(".chain.pem.previous")

    def keys(self, **keys: Any) -> dict[str, Any]:
        """Components and certificates of a book."""
        certificate = {
            "id": "web", "of": "site", "names": ["localhost"], "directory": self.authority.directory,
            "authority": str(self.authority.root), "webroot": str(self.folder / "web"),
            "certificate": f"file:{self.chain}", "key": f"file:{self.chain.with_name('key.pem')}",
            "reload": ["proxy"], **keys,
        }  # fmt: skip
        switch = {
            "include": str(self.folder / "maintenance.conf"), "pid_file": str(self.folder / "nginx.pid"),
            "check": [NGINX, "-t", "-q", "-c", str(self.folder / "nginx.conf")],
        }  # fmt: skip
        url = f"https://127.0.0.1:{self.port}"
        components = {
            "proxy": {"kind": "proxy", "url": url, "insecure": True, "maintenance": switch},
            "site": {"kind": "tls", "address": url, "server_name": "localhost"},
        }
        return {"components": components, "certificates": [certificate]}

    def hands(self, **keys: Any) -> Hands:
        book = self.keys(**keys)
        components = book.pop("components")
        return Hands(OpenConnections(make_system(self.folder / "book", components, **book)))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with own_folder("acme") as folder, pebble(folder / "pebble") as authority, serving_site(folder, authority) as one:
        yield one


@contextmanager
def serving_site(folder: Path, authority: Pebble) -> Iterator[Site]:
    """nginx in a folder of its own."""
    (folder / "web").mkdir()
    folder.chmod(0o755)
    found = Site(folder, free_port(), authority)
    server_context(folder / "tls", issue("localhost", None, ("localhost",), days=1))
    (folder / "tls" / "key.pem").chmod(0o640)
    text = CONFIG.format(folder=folder, port=found.port, proofs=authority.http_port, served=folder / "tls")
    (folder / "nginx.conf").write_text(text)
    nginx = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(found.port), what="nginx answers")
        yield found
    finally:
        nginx.terminate()
        nginx.wait(10)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"https://127.0.0.1:{port}", verify=False).status_code == 200
    except httpx.HTTPError:
        return False


async def renew(hands: Hands) -> list[dict[str, Any]]:
    return [await hands.apply(one) for one in await hands.plan("certificate.renew", of="site", certificate="web")]


def previous(site: Site) -> Path:
    return site.chain.with_name(".chain.pem.previous")


async def test_it_is_obtained_installed_and_served_and_the_old_one_kept(site: Site) -> None:
    hands, before = site.hands(), await site.served()
    changes = await hands.plan("certificate.renew", of="site", certificate="web")
    assert "left" in changes[0].evidence
    assert await site.served() == before, "a plan changes nothing"
    told = [await hands.apply(one) for one in changes]
    after = await site.served()
    assert after != before
    assert told[1]["fingerprint"] == after.fingerprint(hashes.SHA256()).hex()
    assert previous(site).read_bytes() == before.public_bytes(Encoding.PEM)
    proofs = [one for one in (site.folder / "web").rglob("*") if one.is_file()]
    assert not proofs, "what proved control is removed"
    assert site.chain.with_name("key.pem").stat().st_mode & 0o777 == 0o640, "its readers stay"
    assert site.chain.with_name(".key.pem.previous").stat().st_mode & 0o077 == 0, "only its owner may read a kept key"
    assert not site.chain.with_name(".key.pem.next").exists()


async def test_undo_serves_the_old_one_again(site: Site) -> None:
    hands = site.hands()
    before = await site.served()
    issued, install = await hands.plan("certificate.renew", of="site", certificate="web")
    await hands.apply(issued)
    await hands.apply(install)
    assert isinstance(install.inverse, Change)
    await hands.apply(install.inverse)
    assert await site.served() == before


async def test_what_an_attempt_that_was_cut_off_obtained_is_used(site: Site) -> None:
    hands = site.hands()
    issued, install = await hands.plan("certificate.renew", of="site", certificate="web")
    first = await hands.apply(issued)
    again = await hands.apply(issued)
    assert first == again, "no second certificate is asked for"
    # Cut off between the two files: the old pair is kept, the key is new, the chain is old.
    previous(site).write_bytes(site.chain.read_bytes())
    site.chain.with_name(".key.pem.previous").write_bytes(site.chain.with_name("key.pem").read_bytes())
    site.chain.with_name("key.pem").write_bytes(site.chain.with_name(".key.pem.next").read_bytes())
    await hands.apply(install)
    assert (await site.served()).fingerprint(hashes.SHA256()).hex() == first["fingerprint"]
    kept = read_chain(previous(site).read_bytes(), "previous")
    assert kept.fingerprint != first["fingerprint"]


async def test_a_proof_that_fails_touches_nothing_that_is_served(site: Site) -> None:
    before = await site.served()
    hands = site.hands(webroot=str(site.folder / "elsewhere"))
    issued, _ = await hands.plan("certificate.renew", of="site", certificate="web")
    with pytest.raises(ChangeFailed, match="could not verify: localhost"):
        await hands.apply(issued)
    assert await site.served() == before
    site.chain.with_name(".key.pem.next").unlink()


async def test_one_that_is_not_served_is_put_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsbook.connectors.executors.certificate.SERVED_SECONDS", 1.0)
    before = await site.served()
    hands = site.hands(reload=[])
    issued, install = await hands.plan("certificate.renew", of="site", certificate="web")
    await hands.apply(issued)
    with pytest.raises(ChangeFailed, match="does not serve the new certificate"):
        await hands.apply(install)
    assert read_chain(site.chain.read_bytes(), "chain").leaf == before
    # With the proxy told, what was obtained serves.
    told = await renew(site.hands())
    assert (await site.served()).fingerprint(hashes.SHA256()).hex() == told[1]["fingerprint"]


async def test_a_name_with_a_star_is_proven_by_dns(site: Site) -> None:
    hook = site.folder / "hook"
    hook.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = set ] && call=set-txt || call=clear-txt\n'
        f'exec curl -fsS --max-time 10 -d "{{\\"host\\":\\"$2.\\",\\"value\\":\\"$3\\"}}" '
        f"{site.authority.dns_control}/$call\n"
    )
    hook.chmod(0o755)
    hands = site.hands(names=["*.example.test", "localhost"], challenge="dns-01", dns_hook=str(hook))
    issued, install = await hands.plan("certificate.renew", of="site", certificate="web")
    await hands.apply(issued)
    await hands.apply(install)
    assert "*.example.test" in read_chain(site.chain.read_bytes(), "chain").names()
    with pytest.raises(Refused, match="cannot be proven by http-01"):
        await site.hands(names=["*.example.test"]).plan("certificate.renew", of="site", certificate="web")


async def test_an_authority_that_does_not_answer_is_said(site: Site) -> None:
    before = await site.served()
    hands = site.hands(directory=f"https://localhost:{free_port()}/dir")
    issued, _ = await hands.plan("certificate.renew", of="site", certificate="web")
    with pytest.raises(ChangeFailed) as failed:
        await hands.apply(issued)
    assert failed.value.exit_code == 3
    assert await site.served() == before
    site.chain.with_name(".key.pem.next").unlink()


async def test_by_hand_a_request_is_made_and_what_comes_back_is_looked_at(site: Site) -> None:
    hands = site.hands(method="by-hand", names=["localhost"])
    (request,) = await hands.plan("certificate.request", of="site", certificate="web")
    await hands.apply(request)
    wanted = x509.load_pem_x509_csr(site.chain.with_name("chain.pem.csr").read_bytes())
    root = issue("own authority", authority=True)
    signed = site.folder / "signed.pem"
    signed.write_bytes(issue("localhost", root, ("localhost",)).pem())
    with pytest.raises(Refused, match="does not belong to the key"):
        await hands.plan("certificate.install", of="site", certificate="web", file=str(signed))
    signed.write_bytes(_signed(root, wanted).public_bytes(Encoding.PEM) + root.pem())
    (install,) = await hands.plan("certificate.install", of="site", certificate="web", file=str(signed))
    await hands.apply(install)
    assert (await site.served()).public_key() == wanted.public_key()
    (back,) = await hands.plan("certificate.restore", of="site", certificate="web")
    await hands.apply(back)
    assert (await site.served()).public_key() != wanted.public_key()


def _signed(root: Issued, request: x509.CertificateSigningRequest) -> x509.Certificate:
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(root.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.replace(year=now.year - 1))
        .not_valid_after(now.replace(year=now.year + 1))
        .add_extension(names, critical=False)
        .sign(root.key, hashes.SHA256())
    )
