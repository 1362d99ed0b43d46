"""An S3 server of our own (`rclone serve s3`), and a network in front of it that can be cut."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opsbook.connectors.objectstore.s3 import S3Address, S3Store
from tests.integration.servers import free_port, own_folder, until

KEY, SECRET, BUCKET = "who-writes", "s3cret-word-of-the-bucket", "bucket"


@dataclass(frozen=True)
class Bucket:
    """A bucket of a running server."""

    folder: Path
    port: int

    def store(self, prefix: str = "backups", port: int = 0, secret: str = SECRET) -> S3Store:
        """The store at a prefix of it, through another port where one is given."""
        endpoint = f"http://127.0.0.1:{port or self.port}"
        where = S3Address(BUCKET, prefix, endpoint, "us-east-1", KEY, secret)
        return S3Store(where, f"s3://{BUCKET}/{prefix}")

    def address(self, prefix: str = "backups", port: int = 0) -> str:
        return f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{port or self.port}&region=us-east-1"


@contextmanager
def new_bucket() -> Iterator[Bucket]:
    """A server with one empty bucket."""
    program = str(Path(sys.executable).with_name("rclone"))  # one of the system may be too old to serve
    if not Path(program).exists():
        pytest.skip("not installed: rclone")
    with own_folder("s3") as folder:
        (folder / BUCKET).mkdir()
        bucket = Bucket(folder / BUCKET, free_port())
        argv = [program, "serve", "s3", "--addr", f"127.0.0.1:{bucket.port}", "--auth-key", f"{KEY},{SECRET}",
                "--config", "/dev/null", "--vfs-cache-mode", "off", str(folder)]  # fmt: skip
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: _listens(bucket.port), 60, "the S3 server answers")
            yield bucket
        finally:
            process.kill()
            process.wait(10)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@dataclass
class Wire:
    """A TCP proxy that passes on so many bytes of each connection, and then cuts it."""

    target: int
    budgets: list[int] = field(default_factory=list)
    """Bytes towards the server after which the next connections are cut, one each; then none is."""
    back: list[int] = field(default_factory=list)
    """The same of what comes back."""
    cuts: int = 0

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            there = self.budgets.pop(0) if self.budgets else -1
            here = self.back.pop(0) if self.back else -1
            for one, other, budget in ((client, server, there), (server, client, here)):
                threading.Thread(target=self._pass, args=(one, other, budget), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, budget: int) -> None:
        passed = 0
        with suppress(OSError):
            while data := one.recv(65536):
                if 0 <= budget <= passed + len(data):
                    other.sendall(data[: budget - passed])
                    self.cuts += 1
                    break
                other.sendall(data)
                passed += len(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_wire(target: int, *there: int, back: tuple[int, ...] = ()) -> Iterator[Wire]:
    wire = Wire(target, list(there), list(back))
    try:
        yield wire
    finally:
        wire.close()
