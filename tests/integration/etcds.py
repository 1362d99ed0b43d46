"""A real etcd on loopback with certificates of its own, stopped by its pid."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.servers import free_port, until
from tests.integration.web import issue, server_context


@dataclass(frozen=True)
class Etcd:
    """A member that only answers who has a certificate of its authority."""

    folder: Path
    endpoint: str

    def ctl(self, *words: str) -> str:
        """What etcdctl says with the right credential; empty while it does not answer."""
        keys = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.endpoint, "ETCDCTL_CACERT": str(self.folder / "ca.pem"),
                "ETCDCTL_CERT": str(self.folder / "client/chain.pem"),
                "ETCDCTL_KEY": str(self.folder / "client/key.pem")}  # fmt: skip
        argv = ["etcdctl", "--command-timeout=3s", *words]
        return subprocess.run(argv, env={**os.environ, **keys}, capture_output=True, text=True, check=False).stdout


@contextmanager
def etcd(folder: Path, data: Path | None = None) -> Iterator[Etcd]:
    """Skips where it is not installed. `data`: a data folder that is there already, of a snapshot."""
    for program in ("etcd", "etcdctl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: etcd-server, etcd-client)")
    folder.mkdir(parents=True, exist_ok=True)
    authority = issue("etcd root", authority=True)
    (folder / "ca.pem").write_bytes(authority.pem())
    server_context(folder / "server", issue("etcd", authority, ("localhost", "127.0.0.1")))
    server_context(folder / "client", issue("opsbook", authority))
    client, peer = (f"https://127.0.0.1:{free_port()}" for _ in range(2))
    argv = [
        "etcd", "--name", "default", "--data-dir", str(data or folder / "data"), "--listen-client-urls", client,
        "--advertise-client-urls", client, "--listen-peer-urls", peer.replace("https", "http"), "--logger", "zap",
        "--initial-advertise-peer-urls", peer.replace("https", "http"), "--log-level", "error",
        "--initial-cluster", f"default={peer.replace('https', 'http')}", "--client-cert-auth",
        "--trusted-ca-file", str(folder / "ca.pem"), "--cert-file", str(folder / "server/chain.pem"),
        "--key-file", str(folder / "server/key.pem"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    one = Etcd(folder, client)
    try:
        until(lambda: process.poll() is not None or one.ctl("get", "nothing", "--write-out=json"), 60, "etcd answers")
        assert process.poll() is None, (folder / "log").read_text()
        yield one
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
