"""A real etcd on loopback with certificates of its own, stopped by its pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def halting_wire(endpoint: str, after: int) -> Iterator[tuple[str, threading.Event]]:
    """A network before it: the first connection that has brought so many bytes brings no more, and stays open. The
    endpoint, and what is set when that has come.
    """
    target, halted, end = int(endpoint.rpartition(":")[2]), threading.Event(), threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def forward(one: socket.socket, other: socket.socket, counted: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
                passed += len(data)
                if counted and passed > after and not halted.is_set():
                    halted.set()
                    end.wait()
        for socket_ in (one, other):
            with suppress(OSError):
                socket_.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                there = socket.create_connection(("127.0.0.1", target))
                threading.Thread(target=forward, args=(client, there, False), daemon=True).start()
                threading.Thread(target=forward, args=(there, client, True), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.getsockname()[1]}", halted
    finally:
        server.close()
        end.set()
