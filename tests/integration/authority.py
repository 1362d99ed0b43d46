"""A real ACME authority for tests: pebble, with the DNS server of its own project, on free loopback ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.integration.servers import free_port, until
from tests.integration.web import issue, server_context


@dataclass(frozen=True)
class Pebble:
    """A running authority: it asks `http_port` for proofs, whatever the name, and trusts nobody's word."""

    directory: str
    root: Path
    http_port: int
    dns_control: str


@contextmanager
def pebble(folder: Path) -> Iterator[Pebble]:
    """Skips where it is not installed."""
    for program in ("pebble", "pebble-challtestsrv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: pebble)")
    folder.mkdir(parents=True, exist_ok=True)
    listen, management, http, dns, control = (free_port() for _ in range(5))
    root = issue("pebble root", authority=True)
    server_context(folder, issue("localhost", root, ("localhost", "127.0.0.1")))
    (folder / "root.pem").write_bytes(root.pem())
    config = {
        "pebble": {
            "listenAddress": f"127.0.0.1:{listen}", "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(folder / "chain.pem"), "privateKey": str(folder / "key.pem"),
            "httpPort": http, "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
    }  # fmt: skip
    (folder / "pebble.json").write_text(json.dumps(config))
    names = subprocess.Popen(
        ["pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1", "-dns01", f"127.0.0.1:{dns}",
         "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{control}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    authority = subprocess.Popen(
        ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"],
        stdout=(folder / "pebble.log").open("wb"), stderr=subprocess.STDOUT,
        env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"},
    )  # fmt: skip
    found = Pebble(f"https://localhost:{listen}/dir", folder / "root.pem", http, f"http://127.0.0.1:{control}")
    try:
        until(lambda: _answers(found), 30, "pebble answers")
        yield found
    finally:
        for process in (authority, names):
            process.terminate()
            process.wait(10)


def _answers(found: Pebble) -> bool:
    import ssl

    try:
        context = ssl.create_default_context(cafile=str(found.root))
        return httpx.get(found.directory, verify=context).status_code == 200
    except httpx.HTTPError:
        return False
