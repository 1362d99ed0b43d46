"""A token that the API server does not take any more is told as that, and a new one in the kubeconfig is taken up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.connectors.contract import CredentialRefused
from opsbook.connectors.runtimes.kubernetes_api import KubernetesApi

ASKING = 4


class Server(ThreadingHTTPServer):
    """Takes one token."""

    token = "old"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        good = self.headers.get("Authorization") == f"Bearer {self.server.token}"
        body = b"{}" if good else b'{"kind": "Status", "code": 401, "reason": "Unauthorized"}'
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
        yield one
        one.shutdown()


def kubeconfig(folder: Path, server: Server, token: str) -> Path:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "opsbook", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "opsbook"}}],
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_all_that_ask_at_once_are_told_that_it_is_refused_and_go_on_with_a_new_one(
    server: Server, tmp_path: Path
) -> None:
    api = KubernetesApi(str(kubeconfig(tmp_path, server, "old")), "", 20)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(api.get("/api/v1/pods") for _ in range(ASKING)), return_exceptions=True)

    try:
        assert await ask() == [{}] * ASKING
        server.token = "new"
        for _ in range(2):
            refused = await ask()
            assert all(isinstance(one, CredentialRefused) for one in refused), refused
        kubeconfig(tmp_path, server, "new")
        assert await ask() == [{}] * ASKING
    finally:
        await api.close()


async def test_a_token_that_was_never_taken_is_told_as_that(server: Server, tmp_path: Path) -> None:
    api = KubernetesApi(str(kubeconfig(tmp_path, server, "nonsense")), "", 20)
    try:
        with pytest.raises(CredentialRefused, match="the credential is not taken"):
            await api.version()
    finally:
        await api.close()
