"""Names asked of a real name server on loopback, and ports."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from tests.integration.servers import ask, free_port, make_system, silent_server

pytestmark = pytest.mark.real


@contextmanager
def name_server(zone: dict[str, list[str]], silent: bool = False) -> Iterator[str]:
    """Answers A and AAAA queries from the zone; its address and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(0.2)
        ended = threading.Event()
        thread = threading.Thread(target=_serve, args=(one, zone, silent, ended), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{one.getsockname()[1]}"
        finally:
            ended.set()
            thread.join(5)


def _serve(one: socket.socket, zone: dict[str, list[str]], silent: bool, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            data, peer = one.recvfrom(4096)
        except TimeoutError:
            continue
        if silent:
            continue
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        name = question.name.to_text().rstrip(".")
        kind = "AAAA" if question.rdtype == 28 else "A"
        if name not in zone:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        for address in zone.get(name, ()):
            if (":" in address) == (kind == "AAAA"):
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, address))
        one.sendto(reply.to_wire(), peer)


async def read(folder: Path, component: dict[str, Any], *facts: Any, within: float = 5.0) -> list[Reading]:
    async with open_connections(make_system(folder, {"it": component})) as connections:
        return await ask(connections, "it", *facts, within=within)


async def test_a_name_resolves_to_what_is_expected(tmp_path: Path) -> None:
    with name_server({"api.test": ["10.0.0.2", "fd00::1"]}) as server:
        dns_component = {"kind": "dns", "name": "api.test", "resolver": server}
        plain, address, took = await read(tmp_path, dns_component, "dns.resolves", "dns.address", "dns.lookup_time")
        (good,) = await read(tmp_path, {**dns_component, "expected": ["fd00::1", "10.0.0.2"]}, "dns.resolves")
        (bad,) = await read(tmp_path, {**dns_component, "expected": ["10.0.0.9"]}, "dns.resolves")
    assert plain.value is True
    assert address.value == "10.0.0.2, fd00::1"
    assert took.value > 0
    assert good.value is True
    assert bad.value is False
    assert "not to 10.0.0.9" in bad.message


async def test_a_name_that_does_not_exist_is_down_and_has_no_address(tmp_path: Path) -> None:
    with name_server({}) as server:
        component = {"kind": "dns", "name": "gone.test", "resolver": server}
        resolves, address = await read(tmp_path, component, "dns.resolves", "dns.address")
    assert resolves.value is False
    assert "does not exist" in resolves.message
    assert address.failure is Failure.ABSENT


async def test_a_silent_name_server_is_cut_and_unknown(tmp_path: Path) -> None:
    with name_server({}, silent=True) as server:
        component = {"kind": "dns", "name": "api.test", "resolver": server}
        (reading,) = await read(tmp_path, component, "dns.resolves", within=0.5)
    assert (reading.value, reading.failure) == (None, Failure.TIMEOUT)


async def test_this_machines_own_names_resolve(tmp_path: Path) -> None:
    (local,) = await read(tmp_path, {"kind": "dns", "name": "localhost"}, "dns.address")
    assert local.value is not None
    assert "127.0.0.1" in str(local.value)


async def test_a_resolver_must_be_an_address(tmp_path: Path) -> None:
    component = {"kind": "dns", "name": "api.test", "resolver": "ns.example.test"}
    (reading,) = await read(tmp_path, component, "dns.resolves")
    assert reading.failure is Failure.FAILED
    assert "not the address of a name server" in reading.message


async def test_ports_are_open_or_not(tmp_path: Path) -> None:
    with silent_server() as port:
        is_open, seconds = await read(
            tmp_path, {"kind": "tcp", "address": f"localhost:{port}"}, "tcp.open", "tcp.connect_time"
        )
    assert is_open.value is True
    assert 0 < seconds.value < 1
    closed, unknown = await read(
        tmp_path, {"kind": "tcp", "address": f"127.0.0.1:{free_port()}"}, "tcp.open", "tcp.connect_time"
    )
    assert closed.value is False
    assert "Connection refused" in closed.message
    assert unknown.failure is Failure.UNREACHABLE


async def test_an_address_without_a_port_is_told(tmp_path: Path) -> None:
    (reading,) = await read(tmp_path, {"kind": "tcp", "address": "localhost"}, "tcp.open")
    assert reading.failure is not None
    assert "host:port" not in (reading.message or "") or reading.value is None
