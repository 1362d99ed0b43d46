"""A network before an S3 server that refuses every request after so many bytes: the credential has expired."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BODY = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)
REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)


@contextmanager
def refusing_wire(target: int, after: int) -> Iterator[int]:
    """The port of it."""
    server = socket.create_server(("127.0.0.1", 0))
    passed, lock = [0], threading.Lock()

    def expired(more: int = 0) -> bool:
        with lock:
            passed[0] += more
            return passed[0] > after

    def forward(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
                if expired(len(data)):
                    break
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def refuse(client: socket.socket) -> None:
        with suppress(OSError):
            client.settimeout(5)
            client.recv(65536)
            client.sendall(REFUSAL)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                continue
        client.close()

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
                if expired():
                    threading.Thread(target=refuse, args=(client,), daemon=True).start()
                    continue
                there = socket.create_connection(("127.0.0.1", target))
            except OSError:
                return
            for ends in ((client, there), (there, client)):
                threading.Thread(target=forward, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.close()
