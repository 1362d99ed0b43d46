"""A certificate of the example with one day left: it is told, renewed by its authority, and proven as served."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from opsbook.connectors.tls import TlsAddress, look
from tests.integration.conftest import Renec
from tests.integration.renec import api
from tests.integration.renec_book import OPSBOOK, Book
from tests.integration.servers import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("renec"),
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("pebble") is None, reason="pebble is not installed (Debian: pebble)"),
]


@pytest.fixture(scope="module")
def book(ops: Path, renec: Renec) -> Book:
    return Book(ops, renec)


def served(renec: Renec) -> x509.Certificate:
    return asyncio.run(look(TlsAddress("127.0.0.1", renec.base + 443, "localhost"))).leaf


def broken_checks(book: Book) -> dict[str, str]:
    found = book.checks("certificate", "certificate-chain", "proxy-up", "api-up")
    return {check: state for check, state in found.items() if state != "ok"}


def test_it_is_critical_with_a_day_left_and_renewed_by_its_procedure(book: Book, renec: Renec) -> None:
    with renec.broken("old-certificate"):
        old = served(renec)
        assert book.checks("certificate") == {"certificate": "critical"}
        book.done("renew-certificate")
        new = served(renec)
        assert "pebble" in new.issuer.rfc4514_string().lower()
        assert new.not_valid_after_utc > old.not_valid_after_utc
        assert broken_checks(book) == {}
        kept = renec.run_dir / "tls" / ".server.crt.previous"
        assert x509.load_pem_x509_certificate(kept.read_bytes()) == old
        with api(renec) as client:
            assert client.get("/ready").status_code == 200
    assert served(renec) == new, "mending what is mended changes nothing"


def test_the_watch_renews_it_by_itself(book: Book, renec: Renec, tmp_path: Path) -> None:
    with renec.broken("old-certificate"):
        old = served(renec)
        with (tmp_path / "serve.log").open("wb") as log:
            command = [str(OPSBOOK), "serve", "--book", str(book.ops), "--no-http"]
            watching = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                until(lambda: served(renec) != old, 120, "the watch did not renew it")
                coming = renec.run_dir / "tls" / ".server.key.next"
                until(lambda: not coming.exists(), 60, "the renewal did not end")
            finally:
                watching.terminate()
                watching.wait(60)
        assert broken_checks(book) == {}


def test_a_renewal_that_is_refused_leaves_what_is_served(book: Book, renec: Renec) -> None:
    shutil.rmtree(renec.run_dir / "acme")
    try:
        with renec.broken("old-certificate"):
            old = served(renec)
            (renec.run_dir / "acme").write_text("no folder\n")
            view = book.run("renew-certificate")
            assert view["state"] != "done"
            assert served(renec) == old
    finally:
        (renec.run_dir / "acme").unlink(missing_ok=True)
        (renec.run_dir / "acme" / ".well-known" / "acme-challenge").mkdir(parents=True)
    book.done("renew-certificate")
