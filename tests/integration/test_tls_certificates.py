"""Certificates that are good, late, foreign, short-lived, and servers that speak old protocols."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from tests.integration.servers import ask, free_port, make_system, silent_server
from tests.integration.web import Issued, answer, issue, server_context, serving

pytestmark = pytest.mark.real
DAY = 86400.0


@pytest.fixture(scope="module")
def root() -> Issued:
    return issue("Test Root", authority=True, days=3650)


async def read(
    folder: Path, context: ssl.SSLContext, ca: Issued | None, *facts: Any, name: str = "localhost"
) -> list[Reading]:
    component: dict[str, Any] = {"kind": "tls", "server_name": name}
    if ca is not None:
        (folder / "ca.pem").write_bytes(ca.pem())
        component["ca"] = str(folder / "ca.pem")
    with serving({"/health": answer("ok")}, context) as server:
        component["address"] = f"127.0.0.1:{server.port}"
        async with open_connections(make_system(folder, {"cert": component})) as connections:
            return await ask(connections, "cert", *facts)


async def test_a_good_chain_is_accepted(tmp_path: Path, root: Issued) -> None:
    middle = issue("Test Intermediate", root, authority=True, days=20)
    leaf = issue("api", middle, names=("localhost", "*.example.test"), days=60)
    left, valid, matches, protocol = await read(
        tmp_path, server_context(tmp_path, leaf, middle), root,
        "tls.days_left", "tls.chain_valid", "tls.name_matches", "tls.protocol",
    )  # fmt: skip
    assert left.value == pytest.approx(60 * DAY, abs=60)
    assert left.detail["chain_seconds_left"] == pytest.approx(20 * DAY, abs=60)
    assert len(left.detail["chain"]) == 2
    assert "only has 19 d" in left.message
    assert valid.value is True
    assert matches.value is True
    assert protocol.value == "TLSv1.3"


async def test_an_expired_certificate_has_a_negative_time_left(tmp_path: Path, root: Issued) -> None:
    leaf = issue("api", root, names=("localhost",), days=-2, began=10)
    left, valid = await read(tmp_path, server_context(tmp_path, leaf), root, "tls.days_left", "tls.chain_valid")
    assert left.value == pytest.approx(-2 * DAY, abs=60)
    assert valid.value is False
    assert "expired" in valid.message


async def test_a_missing_intermediate_is_found(tmp_path: Path, root: Issued) -> None:
    middle = issue("Test Intermediate", root, authority=True)
    leaf = issue("api", middle, names=("localhost",))
    (valid,) = await read(tmp_path, server_context(tmp_path, leaf), root, "tls.chain_valid")
    assert valid.value is False
    assert "issuer" in valid.message


async def test_a_self_signed_certificate_is_not_accepted_but_read(tmp_path: Path) -> None:
    leaf = issue("api", names=("localhost",), days=5)
    left, valid = await read(tmp_path, server_context(tmp_path, leaf), None, "tls.days_left", "tls.chain_valid")
    assert left.value == pytest.approx(5 * DAY, abs=60)
    assert valid.value is False
    assert "self-signed" in valid.message


async def test_a_certificate_of_another_name_is_found(tmp_path: Path, root: Issued) -> None:
    leaf = issue("localhost", root, names=("other.test",))
    matches, valid = await read(tmp_path, server_context(tmp_path, leaf), root, "tls.name_matches", "tls.chain_valid")
    assert matches.value is False
    assert "other.test" in matches.message
    assert valid.value is True, "the chain and the name are two questions"


async def test_old_protocols_are_found(tmp_path: Path, root: Issued) -> None:
    leaf = issue("api", root, names=("localhost",))
    modern = server_context(tmp_path, leaf)
    (none,) = await read(tmp_path, modern, root, "tls.weak_protocols")
    old = server_context(tmp_path, leaf)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    (both, protocol) = await read(tmp_path, old, root, "tls.weak_protocols", "tls.protocol")
    assert none.value == 0
    assert both.value == 2
    assert both.detail["accepted"] == ["TLSv1", "TLSv1.1"]
    assert protocol.value == "TLSv1.1"


async def test_a_server_without_tls_and_one_that_is_not_there_are_unreachable(tmp_path: Path) -> None:
    facts = ("tls.days_left", "tls.chain_valid", "tls.name_matches", "tls.protocol", "tls.weak_protocols")
    with serving({}) as plain:
        for port in (plain.port, free_port()):
            component = {"kind": "tls", "address": f"127.0.0.1:{port}"}
            async with open_connections(make_system(tmp_path, {"cert": component})) as connections:
                for reading in await ask(connections, "cert", *facts, within=0.5):
                    assert reading.value is None
                    assert reading.failure in (Failure.UNREACHABLE, Failure.TIMEOUT)


async def test_a_handshake_that_hangs_is_cut(tmp_path: Path) -> None:
    with silent_server() as port:
        component = {"kind": "tls", "address": f"127.0.0.1:{port}"}
        async with open_connections(make_system(tmp_path, {"cert": component})) as connections:
            (reading,) = await ask(connections, "cert", "tls.days_left", within=0.4)
    assert reading.failure is Failure.TIMEOUT


async def test_an_https_service_is_asked_with_its_ca(tmp_path: Path, root: Issued) -> None:
    (tmp_path / "ca.pem").write_bytes(root.pem())
    leaf = issue("api", root, names=("127.0.0.1",), days=40)
    with serving({"/health": answer("ok")}, server_context(tmp_path, leaf)) as server:
        url = f"https://127.0.0.1:{server.port}"
        components = {
            "good": {"kind": "http", "url": url, "ca": "ca.pem"},
            "untrusted": {"kind": "http", "url": url},
            "open": {"kind": "http", "url": url, "insecure": True},
            "wrong-name": {"kind": "http", "url": f"https://other.test:{server.port}", "ca": "ca.pem",
                           "address": "127.0.0.1"},
            "no-ca": {"kind": "http", "url": url, "ca": "absent.pem"},
        }  # fmt: skip
        async with open_connections(make_system(tmp_path, components)) as connections:
            found = {name: (await ask(connections, name, "http.up"))[0] for name in components}
            (left,) = await ask(connections, "good", "tls.days_left")
            (latency,) = await ask(connections, "good", ("http.latency_p95", {"probes": 4}))
    assert found["good"].value is True
    assert found["good"].detail["phases"]["tls"] > 0
    assert found["open"].value is True
    assert found["untrusted"].failure is Failure.UNREACHABLE
    assert "certificate is not accepted" in found["untrusted"].message
    assert "other.test" in found["wrong-name"].message
    assert "absent.pem cannot be used" in found["no-ca"].message
    assert left.value == pytest.approx(40 * DAY, abs=60)
    assert latency.detail["phases"]["tls"] > 0
