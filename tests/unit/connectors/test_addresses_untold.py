"""What is no address is told as that, whatever reads it, and its value is not: it may come from a secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.load import address_of
from opsbook.connectors.forwarded import forwarded
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.inside.targets import _read
from opsbook.connectors.objectstore.addresses import store_at
from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.compose_api import ComposeApi
from opsbook.connectors.runtimes.supervisor_rpc import settings_of_url
from opsbook.connectors.shells import shell
from opsbook.connectors.tcp import TcpConnector
from opsbook.connectors.tls import TlsConnector, split_address
from opsbook.errors import OpsbookError, UsageError

SECRETS = (
    "user:hunter2\nroot:hunter2",
    "http://db:hunter2",
    "redis://db:hunter2",
    "http://[hunter2",
    "unix://[hunter2",
)
"""What a file holds that was meant as an address."""


def test_it_reads_what_is_an_address() -> None:
    found = [
        split_address(text, 443) for text in ("db:5432", "[::1]:443", "https://shop", "shop", "http://shop:8080/x")
    ]
    assert found == [("db", 5432), ("::1", 443), ("shop", 443), ("shop", 443), ("shop", 8080)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("hunter2", "it has no port"),
        ("db:hunter2", "its port is not 0 to 65535"),
        ("db:99999", "its port is not 0 to 65535"),
        ("[hunter2", "it cannot be read"),
        ("hunter2\nhunter2:22", "it has no host"),
        (":22", "it has no host"),
        ("", "it has no host"),
    ],
)
def test_it_says_why_an_address_is_none_and_never_its_value(text: str, wrong: str) -> None:
    with pytest.raises(UsageError) as told:
        split_address(text)
    assert str(told.value).startswith(f"its `address` is not host:port: {wrong}")
    assert "hunter2" not in str(told.value) and "hunter2" not in repr(told.value.__cause__)


def system_of(folder: Path, value: str) -> System:
    (folder / "meant").write_text(value)
    kinds = {"web": ("http", "url"), "port": ("tcp", "address"), "cert": ("tls", "address"), "queue": ("redis", "url")}
    components = {name: {"kind": kind, key: "file:meant"} for name, (kind, key) in kinds.items()}
    book = {"opsbook": 1, "system": "shop", "environments": {"test": {"policy": "open"}}, "components": components}
    (folder / "book.yaml").write_text(yaml.safe_dump(book))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


async def _redis_cli(connections: Connections) -> None:
    async with shell(connections, "queue", [], write=True):
        pass


async def _read_by(reader: str, connections: Connections, value: str) -> Any:
    """What one of those that read addresses makes of it."""
    web, port, cert = (connections.of(name) for name in ("web", "port", "cert"))
    assert isinstance(web, HttpConnector) and isinstance(port, TcpConnector) and isinstance(cert, TlsConnector)
    ways: dict[str, Callable[[], Any]] = {
        "tls": cert.tls_address,
        "certificate of http": web.tls_address,
        "load": lambda: address_of(web, "/"),
        "from inside": lambda: _read("db", value),
        "supervisord": lambda: settings_of_url(value),
        "container engine": lambda: ComposeApi(value).another(),
    }
    if reader == "tcp":
        return await port.connect_seconds()
    return await _redis_cli(connections) if reader == "redis-cli" else ways[reader]()


READERS = (
    "tcp", "tls", "certificate of http", "load", "redis-cli", "from inside", "supervisord", "container engine",
)  # fmt: skip


@pytest.mark.parametrize("value", SECRETS)
@pytest.mark.parametrize("reader", READERS)
async def test_no_reader_tells_the_value(tmp_path: Path, reader: str, value: str) -> None:
    async with open_connections(system_of(tmp_path, value)) as connections:
        with pytest.raises(OpsbookError) as told:
            await _read_by(reader, connections, value)
    assert "hunter2" not in f"{told.value} {told.value.hint}"


def test_what_is_no_address_is_not_forwarded_and_is_no_bucket() -> None:
    assert forwarded("http://db:hunter2", lambda host, port: port) == "http://db:hunter2"
    with pytest.raises(UsageError, match="the address of a bucket cannot be read"):
        store_at("s3://[hunter2", {}, Path("/nowhere"))
